"""Every night: yesterday's sales, checked, summed up in one row of the warehouse, and the file between them removed.

This file says what runs, when, and after what. What the steps compute is in pipelines/ecommerce_analytics.py.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, task

from pipelines import ecommerce_analytics as analytics
from pipelines.orders_by_day import transaction


def day_of(dag_run):
    """The day a run is about: the one that has ended."""
    return analytics.day_before(dag_run.logical_date or dag_run.run_after)


def get(endpoint, **parameters):
    """The shop's answer, decoded. HttpHook raises for a status of 400 or more, so the task fails."""
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters).json()


with DAG(
    "ecommerce_daily_analytics",
    description="Yesterday's sales in one row",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 3, 31, 23, tzinfo=UTC),  # the course looks at one spring
    catchup=False,
    max_active_runs=1,
    tags=["orders", "warehouse"],
):

    @task
    def extract_sales_data(dag_run=None):
        """Orders and countries, as they come, into the day's file. Judging them is the next task's."""
        day = day_of(dag_run)
        after = day + timedelta(days=1)
        orders = get("orders", start=f"{day}", end=f"{after}")["orders"]
        customers = get("crm/customers", as_of=f"{after}")["customers"]
        analytics.save(analytics.sales(orders, customers), day)

    @task
    def validate_data_quality(dag_run=None):
        """Stop here when something cannot be right."""
        day = day_of(dag_run)
        return analytics.validate(analytics.load(day), day)

    @task
    def calculate_daily_metrics(dag_run=None):
        """One row for the day; a second run replaces it."""
        day = day_of(dag_run)
        found = analytics.metrics(analytics.load(day), day)
        with transaction(PostgresHook("warehouse").get_conn()) as cursor:
            analytics.upsert(cursor, found)
        return found

    @task
    def cleanup_temp_files(dag_run=None):
        """Remove the day's file. A teardown: it runs after a failure, too, and has no say in the run's state."""
        analytics.remove(day_of(dag_run))

    extract = extract_sales_data()
    work = extract >> validate_data_quality() >> calculate_daily_metrics()
    work >> cleanup_temp_files().as_teardown(setups=extract)
