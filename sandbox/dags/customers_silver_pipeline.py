"""Every night: the customers as of the end of the day. Whoever needs them waits for the asset silver_customers.

This file says what runs, when, and what it updates. What it computes is in pipelines/daily_revenue.py.
"""

from datetime import timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, Asset, task

from pipelines import daily_revenue

SILVER_CUSTOMERS = Asset("silver_customers")

with DAG(
    "customers_silver_pipeline",
    description="Everybody who had registered when yesterday ended",
    schedule="0 2 * * *",
    catchup=False,
    # In production, give the other side time to recover: minutes. Here you are waiting.
    default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
    tags=["silver", "revenue"],
):

    @task(outlets=[SILVER_CUSTOMERS])
    def load_customers(dag_run=None, outlet_events=None):
        """The update is registered when this task succeeds, and says which day it is about."""
        day = daily_revenue.day_before(dag_run.logical_date or dag_run.run_after)
        shop = HttpHook(method="GET", http_conn_id="shop_api")
        answer = shop.run("crm/customers", data={"as_of": day + timedelta(days=1)}).json()
        table = daily_revenue.silver("customers", answer["customers"])
        rows = daily_revenue.save("silver", "customers", str(day), table)
        outlet_events[SILVER_CUSTOMERS].extra = {"day": str(day), "rows": rows}

    load_customers()
