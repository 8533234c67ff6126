"""How many of today's orders are in which state, every hour.

This file says what runs and when. What it computes is in pipelines/cadences.py.
"""

from datetime import UTC, datetime

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

from pipelines import cadences


def orders(days):
    """The shop's orders from the first day to before the second."""
    shop = HttpHook(method="GET", http_conn_id="shop_api")
    return shop.run("orders", data={"start": f"{days[0]}", "end": f"{days[1]}"}).json()["orders"]


with DAG(
    "process_hourly_data",
    description="Today's orders by status",
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def count_by_status(dag_run=None):
        """The day the run is in; at midnight, the day that ends."""
        moment = dag_run.logical_date or dag_run.run_after
        return cadences.by_status(orders(cadences.day_so_far(moment)))

    count_by_status()
