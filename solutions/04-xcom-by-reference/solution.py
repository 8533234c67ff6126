"""Every morning: what the shop sold in the seven days before, as a digest for the breakfast meeting."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

ORDERS = ["order_id", "customer_id", "total_amount", "order_date", "status"]
# BEGIN SOLUTION a task is a process of its own: nothing that is remembered here reaches the next one
# STARTER
# | SHARED = {}  # what one task has worked out and others need
# END SOLUTION


def run_date(dag_run):
    """The day this run is for. A manual run may have no logical date; when it may start, it always has."""
    return (dag_run.logical_date or dag_run.run_after).date()


def ask_shop(day):
    """The orders of the seven days before `day`, a dict each: a GET through the connection shop_api."""
    week = {"start": (day - timedelta(days=7)).isoformat(), "end": day.isoformat()}
    return HttpHook(method="GET", http_conn_id="shop_api").run("orders", data=week).json()["orders"]


# BEGIN SOLUTION write a table to a file in the folder of the run's date, and read it as it was
# --- where a run's tables are


def write(name, text, dag_run):
    """Put `text` into the file `name` of this run's folder, digest/<date> under WINDTUNNEL_DATA.

    A second run of the same date replaces the file, and nobody ever reads half of one. Returns the path.
    """
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "digest" / run_date(dag_run).isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.part"
    unfinished.write_text(text)
    return str(unfinished.replace(folder / name))


def write_table(name, table, dag_run):
    """The same for a table, as CSV."""
    return write(name, table.to_csv(index=False), dag_run)


def read_table(path):
    """The table in the CSV file at `path`. A CSV does not know that an id is text: we have to say it."""
    return pd.read_csv(path, dtype={"order_id": str, "customer_id": str})


# STARTER
# END SOLUTION
# --- what the tables say


def per_customer(orders):
    """Each customer's number of orders and revenue, the best first."""
    named = {"orders": ("order_id", "size"), "revenue": ("total_amount", "sum")}
    table = orders.groupby("customer_id", as_index=False).agg(**named).round(2)
    return table.sort_values(["revenue", "customer_id"], ascending=[False, True])


def figures(orders):
    """The week in four figures, as a dict."""
    amounts = orders["total_amount"]
    per_day = orders.groupby("order_date").size()
    # BEGIN SOLUTION say what is not there as None, and use Python's own types: both go into a JSON file
    return {
        "orders": len(orders),
        "revenue": round(float(amounts.sum()), 2),
        # The mean of nothing is NaN, which is no JSON; neither as an XCom nor in a file.
        "mean_amount": round(float(amounts.mean()), 2) if amounts.notna().any() else None,
        "busiest_day": str(per_day.idxmax()) if len(per_day) else None,
    }
    # STARTER
    # | return {
    # |     "orders": len(orders),
    # |     "revenue": round(amounts.sum(), 2),
    # |     "mean_amount": round(amounts.mean(), 2),
    # |     "busiest_day": per_day.idxmax().date(),
    # | }
    # END SOLUTION


# --- what runs, when, and after what

with DAG(
    "weekly_orders_digest",
    description="The orders of the last seven days, for the breakfast meeting",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["orders"],
):

    @task
    def extract_orders(dag_run=None):
        """The week's orders, as the shop sends them."""
        # BEGIN SOLUTION hand on the path of orders.csv
        table = pd.DataFrame(ask_shop(run_date(dag_run)), columns=ORDERS)
        return write_table("orders.csv", table, dag_run)
        # STARTER
        # | return ask_shop(run_date(dag_run))
        # END SOLUTION

    @task
    def keep_completed(orders, dag_run=None):
        """Those that were neither cancelled nor refunded."""
        # BEGIN SOLUTION hand on the path of completed.csv
        table = read_table(orders)
        return write_table("completed.csv", table[table["status"] == "completed"], dag_run)
        # STARTER
        # | table = pd.DataFrame(orders)
        # | table["order_date"] = pd.to_datetime(table["order_date"])
        # | SHARED["completed"] = table[table["status"] == "completed"]
        # | return "completed"
        # END SOLUTION

    @task
    def rank_customers(completed, dag_run=None):
        """What each customer spent, the best first."""
        # BEGIN SOLUTION hand on the path of customers.csv
        return write_table("customers.csv", per_customer(read_table(completed)), dag_run)
        # STARTER
        # | SHARED["customers"] = per_customer(SHARED[completed])
        # | return "customers"
        # END SOLUTION

    @task
    def summarise(completed):
        """The four figures. They are no table, and may be handed on as they are."""
        # BEGIN SOLUTION read the table from its file
        return figures(read_table(completed))
        # STARTER
        # | return figures(SHARED[completed])
        # END SOLUTION

    @task
    def write_digest(summary, customers, dag_run=None):
        """The figures and the three best customers, as JSON."""
        # BEGIN SOLUTION put digest.json into the folder of the run's date
        best = read_table(customers).head(3)[["customer_id", "revenue"]].to_dict("records")
        digest = {"run_date": run_date(dag_run).isoformat(), **summary, "best_customers": best}
        return write("digest.json", json.dumps(digest, indent=2), dag_run)
        # STARTER
        # | best = SHARED[customers].head(3)[["customer_id", "revenue"]].to_dict("records")
        # | digest = {"run_date": run_date(dag_run), **summary, "best_customers": best}
        # | file = Path(os.environ["WINDTUNNEL_DATA"]) / "digest.json"
        # | file.write_text(json.dumps(digest, indent=2, default=str))
        # END SOLUTION

    completed = keep_completed(extract_orders())
    write_digest(summarise(completed), rank_customers(completed))
