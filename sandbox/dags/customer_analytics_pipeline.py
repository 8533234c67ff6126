"""Every night: customers and their orders, joined, valued, and pushed to the analytics dashboard.

This file says what runs, when, and after what. What the steps compute is in pipelines/customer_analytics.py.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

from pipelines import customer_analytics as analytics


def day_of(dag_run):
    """The day a run is for. A manual run may have no logical date; when it may start, it always has."""
    return (dag_run.logical_date or dag_run.run_after).date()


def get(endpoint, **parameters):
    """The shop's answer, decoded. HttpHook raises for a status of 400 or more, so the task fails."""
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters).json()


with DAG(
    "customer_analytics_pipeline",
    description="Customer lifetime value for the analytics dashboard",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={
        "retries": 2,
        # In production, give the other side time to recover: minutes. Here you are waiting.
        "retry_delay": timedelta(seconds=5),
    },
    tags=["analytics", "customers"],
):

    @task
    def extract_crm_data(dag_run=None):
        """Everybody who had registered when the day began."""
        day = day_of(dag_run)
        customers = get("crm/customers", as_of=day.isoformat())
        return analytics.save(analytics.customers_table(customers), day, "customers")

    @task
    def extract_orders_data(dag_run=None):
        """Every order placed before the day began."""
        day = day_of(dag_run)
        orders = get("orders", end=day.isoformat())
        return analytics.save(analytics.orders_table(orders), day, "orders")

    @task
    def join_customer_orders(customers, orders, dag_run=None):
        """Customers with their orders; those without orders stay in."""
        joined = analytics.join(analytics.load(customers), analytics.load(orders))
        return analytics.save(joined, day_of(dag_run), "joined")

    @task
    def calculate_customer_lifetime_value(joined, dag_run=None):
        """What each customer has been worth so far."""
        day = day_of(dag_run)
        return analytics.save(analytics.lifetime_value(analytics.load(joined), day), day, "lifetime_value")

    @task
    def refresh_analytics_dashboard(values, dag_run=None):
        """Show it. A dashboard that refuses the refresh fails the task."""
        push = analytics.dashboard_refresh(analytics.load(values), day_of(dag_run))
        HttpHook(method="POST", http_conn_id="shop_api").run("dashboard/refresh", json=push)

    joined = join_customer_orders(extract_crm_data(), extract_orders_data())
    refresh_analytics_dashboard(calculate_customer_lifetime_value(joined))
