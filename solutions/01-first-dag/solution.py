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
    # BEGIN SOLUTION the run's logical date or, without one, its run_after; then one day back
    return (dag_run.logical_date or dag_run.run_after).date() - timedelta(days=1)
    # END SOLUTION


def path_of(day, name):
    """Where the file `name` of a day belongs: daily_orders/<day> under WINDTUNNEL_DATA."""
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "daily_orders" / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def totals(orders):
    """How many orders, how many of each status, and what the completed ones brought, in euros."""
    # BEGIN SOLUTION count, add, round; every status is listed, also at 0
    found = Counter(order["status"] for order in orders)
    revenue = sum(order["total_amount"] for order in orders if order["status"] == "completed")
    return {
        "orders": len(orders),
        "revenue": round(revenue, 2),
        "by_status": {status: found[status] for status in STATUSES},
    }
    # END SOLUTION


with DAG(
    "daily_orders",
    description="How many orders the day before had, and what they brought",
    # BEGIN SOLUTION when it runs, from which day on, no catching up, and how often a task is tried again
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    # END SOLUTION
):

    @task
    def fetch_orders(dag_run=None):
        """The day's orders, as the shop sent them -> the path of orders.json."""
        # BEGIN SOLUTION ask the shop for the `orders` of one day; `end` is exclusive
        day = day_of(dag_run)
        shop = HttpHook(method="GET", http_conn_id="shop_api")
        answer = shop.run("orders", data={"start": f"{day}", "end": f"{day + timedelta(days=1)}"})
        file = path_of(day, "orders.json")
        file.write_text(json.dumps(answer.json()["orders"]))
        return str(file)
        # END SOLUTION

    @task
    def add_up(path):
        """The orders in the file at `path` -> their totals."""
        return totals(json.loads(Path(path).read_text()))

    @task
    def write_report(numbers, dag_run=None):
        """The totals -> report.json, with the day they are about."""
        # BEGIN SOLUTION one file for each day, whole, however often the run is made
        day = day_of(dag_run)
        path_of(day, "report.json").write_text(json.dumps({"day": day.isoformat()} | numbers, indent=2))
        # END SOLUTION

    orders = fetch_orders()
    # BEGIN SOLUTION say what runs after what: each task takes what the one before it returned
    write_report(add_up(orders))
    # END SOLUTION
