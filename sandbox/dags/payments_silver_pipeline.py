"""Every night: the payments of the day that ended. Whoever needs them waits for the asset silver_payments.

This file says what runs, when, and what it updates. What it computes is in pipelines/daily_revenue.py.
"""

from datetime import timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, Asset, task

from pipelines import daily_revenue

SILVER_PAYMENTS = Asset("silver_payments")

with DAG(
    "payments_silver_pipeline",
    description="Yesterday's payments",
    schedule="0 2 * * *",
    catchup=False,
    # In production, give the other side time to recover: minutes. Here you are waiting.
    default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
    tags=["silver", "revenue"],
):

    @task(outlets=[SILVER_PAYMENTS])
    def load_payments(dag_run=None, outlet_events=None):
        """The update is registered when this task succeeds, and says which day it is about."""
        day = daily_revenue.day_before(dag_run.logical_date or dag_run.run_after)
        shop = HttpHook(method="GET", http_conn_id="shop_api")
        answer = shop.run("transactions", data={"start": day, "end": day + timedelta(days=1)}).json()
        table = daily_revenue.silver("payments", answer["transactions"])
        rows = daily_revenue.save("silver", "payments", str(day), table)
        outlet_events[SILVER_PAYMENTS].extra = {"day": str(day), "rows": rows}

    load_payments()
