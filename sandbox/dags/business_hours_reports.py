"""Today beside the same day a week ago, while somebody is there to read it.

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
    "business_hours_reports",
    description="Today and a week ago",
    schedule="0 9-17 * * 1-5",  # both ends are included: nine runs a day
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def compare_with_last_week(dag_run=None):
        """Takings of the day the run is in, and of the same weekday before."""
        moment = dag_run.logical_date or dag_run.run_after
        days = cadences.day_so_far(moment)
        return cadences.compared(orders(days), orders(cadences.week_before(days)))

    compare_with_last_week()
