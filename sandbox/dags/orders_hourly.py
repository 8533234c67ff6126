"""Today's takings so far, for the dashboard of operations.

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
    "orders_hourly",
    description="Today's takings so far",
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def refresh_takings(dag_run=None):
        """The day the run is in; at midnight, the day that ends."""
        moment = dag_run.logical_date or dag_run.run_after
        return cadences.takings(orders(cadences.day_so_far(moment)))

    refresh_takings()
