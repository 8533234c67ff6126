"""Last month's takings, on the first of the month.

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
    "monthly_financial_reports",
    description="Last month's takings",
    schedule="0 6 1 * *",  # of a day that every month has
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def report_month(dag_run=None):
        """The whole month before the one the run is in."""
        moment = dag_run.logical_date or dag_run.run_after
        days = cadences.month_before(moment)
        return {"month": f"{days[0]:%Y-%m}"} | cadences.takings(orders(days))

    report_month()
