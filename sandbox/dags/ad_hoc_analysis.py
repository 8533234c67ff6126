"""Takings day by day, whenever somebody asks.

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
    "ad_hoc_analysis",
    description="Takings day by day",
    schedule=None,  # it waits for somebody
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["orders"],
):

    @task
    def add_up_days(dag_run=None):
        """The days in the run's conf, ``start`` to before ``end``; without it, the last seven."""
        moment = dag_run.logical_date or dag_run.run_after
        return cadences.by_day(orders(cadences.days_asked_for(dag_run.conf, moment)))

    add_up_days()
