"""Three tables are loaded each night, and a report is made of them as soon as all three are there.

What is computed is written. What is asked is which task updates which table, and what the report waits for.
"""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, Asset, task

COLUMNS = {
    "orders": ["order_id", "customer_id"],
    "customers": ["customer_id", "country"],
    "payments": ["transaction_id", "customer_id", "amount"],
}
EVERY_NIGHT = {
    "schedule": "0 2 * * *",
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "default_args": {"retries": 1, "retry_delay": timedelta(minutes=1)},
}


# --- what the tasks compute


def path_of(layer, table):
    """The file of a table, in the folder that WINDTUNNEL_DATA names."""
    return Path(os.environ["WINDTUNNEL_DATA"]) / layer / f"{table}.json"


def write(layer, table, day, content):
    """Replace a table's file."""
    path = path_of(layer, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"day": day, table: content}, indent=2))


def read(layer, table):
    """The day and the content that `write` wrote."""
    found = json.loads(path_of(layer, table).read_text())
    return found["day"], found[table]


def fetch(table, endpoint, dag_run, *, until_the_end=False):
    """Ask the shop for the day before the run's, and keep the answer as it came: the raw table."""
    date = (dag_run.logical_date or dag_run.run_after).date()
    day = date - timedelta(days=1)
    period = {"as_of": f"{date}"} if until_the_end else {"start": f"{day}", "end": f"{date}"}
    shop = HttpHook(method="GET", http_conn_id="shop_api")
    [rows] = shop.run(endpoint, data=period).json().values()
    write("raw", table, f"{day}", rows)


def clean(table):
    """Make the silver table of the raw one. KeyError when the shop has left out a column that is needed."""
    day, rows = read("raw", table)
    kept = [row for row in rows if row.get("status", "completed") == "completed"]
    write("silver", table, day, [{column: row[column] for column in COLUMNS[table]} for row in kept])


def report():
    """Make the gold table of the three silver ones: how many orders, and what was paid from each country."""
    day, orders = read("silver", "orders")
    _, customers = read("silver", "customers")
    _, payments = read("silver", "payments")
    country = {customer["customer_id"]: customer["country"] for customer in customers}
    cents = Counter()
    for payment in payments:
        cents[country[payment["customer_id"]]] += round(payment["amount"] * 100)
    revenue = {name: cents[name] / 100 for name in sorted(cents)}
    write("gold", "revenue", day, {"orders": len(orders), "by_country": revenue})


# --- what runs when, and what it updates

ORDERS = Asset("silver_orders")
# TODO: the other two tables: silver_customers and silver_payments

with DAG("orders_to_silver", **EVERY_NIGHT):
    @task(outlets=[ORDERS])
    def fetch_orders(dag_run=None):
        fetch("orders", "orders", dag_run)

    @task
    def load_orders():
        clean("orders")

    fetch_orders() >> load_orders()

with DAG("customers_to_silver", **EVERY_NIGHT):

    @task
    def fetch_customers(dag_run=None):
        fetch("customers", "crm/customers", dag_run, until_the_end=True)

    @task
    def load_customers():
        clean("customers")

    fetch_customers() >> load_customers()

with DAG("payments_to_silver", **EVERY_NIGHT):

    @task
    def fetch_payments(dag_run=None):
        fetch("payments", "transactions", dag_run)

    @task
    def load_payments():
        clean("payments")

    fetch_payments() >> load_payments()

with DAG(
    "gold_revenue",
    # TODO: when all three tables have been updated
):

    @task
    def make_report():
        report()

    make_report()
