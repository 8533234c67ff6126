"""Today's orders that a person should look at, for the people who look for fraud.

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
    "orders_15min",
    description="Orders a person should look at",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def find_suspicious(dag_run=None):
        """The day the run is in, looked through again each quarter of an hour."""
        moment = dag_run.logical_date or dag_run.run_after
        return cadences.suspicious(orders(cadences.day_so_far(moment)))

    find_suspicious()
