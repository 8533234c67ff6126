"""Every morning: what the shop sold the day before, and how the month stands."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task


def day_of(dag_run):
    """The day a run reports on, as a date: the day before the run's own."""
    # BEGIN SOLUTION the run's logical date or, without one, its run_after; then one day back
    return (dag_run.logical_date or dag_run.run_after).date() - timedelta(days=1)
    # STARTER
    # | return datetime.now(UTC).date() - timedelta(days=1)
    # END SOLUTION


def path_of(day, name):
    """Where the file `name` of a day belongs."""
    # BEGIN SOLUTION a folder for each day
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "daily_sales" / day.isoformat()
    # STARTER
    # | folder = Path(os.environ["WINDTUNNEL_DATA"]) / "daily_sales"
    # END SOLUTION
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def get(endpoint, **parameters):
    """What the shop answers, as Python has it."""
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters).json()


def revenue(orders, first, last):
    """What orders of the days from `first` to `last`, both included, brought, in euros."""
    days = [order for order in orders if first.isoformat() <= order["order_date"] <= last.isoformat()]
    return round(sum(order["total_amount"] for order in days), 2)


with DAG(
    "daily_sales",
    description="What the day before brought, and how the month stands",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    # BEGIN SOLUTION mornings that were missed are made up for
    catchup=True,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    # STARTER
    # | default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "catchup": True},
    # END SOLUTION
):

    @task
    def fetch_orders(dag_run=None):
        """The completed orders that the report needs -> the path of their file."""
        day = day_of(dag_run)
        # BEGIN SOLUTION from the first of the month, and at least from the day before; into the day's folder
        first = min(day.replace(day=1), day - timedelta(days=1))
        file = path_of(day, "orders.json")
        # STARTER
        # | first = day
        # | file = path_of(day, "latest.json")
        # END SOLUTION
        orders = get("orders", start=f"{first}", end=f"{day + timedelta(days=1)}")["orders"]
        file.write_text(json.dumps([order for order in orders if order["status"] == "completed"]))
        return str(file)

    @task
    def count_customers(dag_run=None):
        """How many customers there were at the end of the day."""
        # BEGIN SOLUTION ask the CRM as of the end of the day that is reported on
        end = day_of(dag_run) + timedelta(days=1)
        # STARTER
        # | end = datetime.now(UTC).date()
        # END SOLUTION
        return len(get("crm/customers", as_of=f"{end}")["customers"])

    @task
    def write_report(path, customers, dag_run=None):
        """All of it -> report.json."""
        day = day_of(dag_run)
        orders = json.loads(Path(path).read_text())
        today = revenue(orders, day, day)
        # BEGIN SOLUTION both from the orders, and nothing from what an earlier run has left
        day_before = revenue(orders, day - timedelta(days=1), day - timedelta(days=1))
        month = revenue(orders, day.replace(day=1), day)
        # STARTER
        # | state = path_of(day, "state.json")  # what yesterday's run has left
        # | last = json.loads(state.read_text()) if state.exists() else {"revenue": 0, "month_to_date": 0}
        # | day_before = last["revenue"]
        # | month = round(today + (last["month_to_date"] if day.day > 1 else 0), 2)
        # | state.write_text(json.dumps({"revenue": today, "month_to_date": month}))
        # END SOLUTION
        report = {
            "day": day.isoformat(),
            "orders": sum(order["order_date"] == day.isoformat() for order in orders),
            "revenue": today,
            "change": round(today - day_before, 2),
            "month_to_date": month,
            "customers": customers,
        }
        path_of(day, "report.json").write_text(json.dumps(report, indent=2))

    write_report(fetch_orders(), count_customers())
