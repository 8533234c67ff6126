"""Every night: how the day before went, in one small report. No report for a day of which nobody knows."""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

STATUSES = ["completed", "cancelled", "refunded"]


def day_of(dag_run):
    """The day a run reports on, as a date: the day before the run's own.

    A manual run may have no logical date. It always has a run_after, the moment from which it may start.
    """
    raise NotImplementedError("TODO: the run's logical date or, without one, its run_after; then one day back")


def path_of(day, name):
    """Where the file `name` of a day belongs: daily_orders/<day> under WINDTUNNEL_DATA."""
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "daily_orders" / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def totals(orders):
    """How many orders, how many of each status, and what the completed ones brought, in euros."""
    raise NotImplementedError("TODO: count, add, round; every status is listed, also at 0")


with DAG(
    "daily_orders",
    description="How many orders the day before had, and what they brought",
    # TODO: when it runs, from which day on, no catching up, and how often a task is tried again
):

    @task
    def fetch_orders(dag_run=None):
        """The day's orders, as the shop sent them -> the path of orders.json."""
        raise NotImplementedError("TODO: ask the shop for the `orders` of one day; `end` is exclusive")

    @task
    def add_up(path):
        """The orders in the file at `path` -> their totals."""
        return totals(json.loads(Path(path).read_text()))

    @task
    def write_report(numbers, dag_run=None):
        """The totals -> report.json, with the day they are about."""
        raise NotImplementedError("TODO: one file for each day, whole, however often the run is made")

    orders = fetch_orders()
    # TODO: say what runs after what: each task takes what the one before it returned
