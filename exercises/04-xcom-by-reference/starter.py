"""Every morning: what the shop sold in the seven days before, as a digest for the breakfast meeting."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

ORDERS = ["order_id", "customer_id", "total_amount", "order_date", "status"]
SHARED = {}  # what one task has worked out and others need


def run_date(dag_run):
    """The day this run is for. A manual run may have no logical date; when it may start, it always has."""
    return (dag_run.logical_date or dag_run.run_after).date()


def ask_shop(day):
    """The orders of the seven days before `day`, a dict each: a GET through the connection shop_api."""
    week = {"start": (day - timedelta(days=7)).isoformat(), "end": day.isoformat()}
    return HttpHook(method="GET", http_conn_id="shop_api").run("orders", data=week).json()["orders"]


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
    return {
        "orders": len(orders),
        "revenue": round(amounts.sum(), 2),
        "mean_amount": round(amounts.mean(), 2),
        "busiest_day": per_day.idxmax().date(),
    }


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
        return ask_shop(run_date(dag_run))

    @task
    def keep_completed(orders, dag_run=None):
        """Those that were neither cancelled nor refunded."""
        table = pd.DataFrame(orders)
        table["order_date"] = pd.to_datetime(table["order_date"])
        SHARED["completed"] = table[table["status"] == "completed"]
        return "completed"

    @task
    def rank_customers(completed, dag_run=None):
        """What each customer spent, the best first."""
        SHARED["customers"] = per_customer(SHARED[completed])
        return "customers"

    @task
    def summarise(completed):
        """The four figures. They are no table, and may be handed on as they are."""
        return figures(SHARED[completed])

    @task
    def write_digest(summary, customers, dag_run=None):
        """The figures and the three best customers, as JSON."""
        best = SHARED[customers].head(3)[["customer_id", "revenue"]].to_dict("records")
        digest = {"run_date": run_date(dag_run), **summary, "best_customers": best}
        file = Path(os.environ["WINDTUNNEL_DATA"]) / "digest.json"
        file.write_text(json.dumps(digest, indent=2, default=str))

    completed = keep_completed(extract_orders())
    write_digest(summarise(completed), rank_customers(completed))
