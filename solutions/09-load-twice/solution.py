"""Every night: the shop's orders and payments into the warehouse, however often it is asked for."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

WINDOW = 3  # days: a till that was offline delivers up to two days late


def days_of(dag_run):
    """The days that a run loads, as ISO dates, the oldest first: the WINDOW days before the run's own.

    A manual run may have no logical date. It always has a run_after, the moment from which it may start.
    """
    # BEGIN SOLUTION the run's logical date or, without one, its run_after; then one, two, three days back
    today = (dag_run.logical_date or dag_run.run_after).date()
    return [str(today - timedelta(days=back)) for back in range(WINDOW, 0, -1)]
    # END SOLUTION


def ask_shop(endpoint, days):
    """The shop's rows of these days: a GET of `endpoint` through the connection shop_api."""
    # BEGIN SOLUTION an HttpHook and its `run`; `start` is included, `end` is not
    end = datetime.fromisoformat(days[-1]).date() + timedelta(days=1)
    shop = HttpHook(method="GET", http_conn_id="shop_api")
    return shop.run(endpoint, data={"start": days[0], "end": f"{end}"}).json()[endpoint]
    # END SOLUTION


def warehouse():
    """A connection to warehouse.db, which is closed at the end of the `with` it is used in."""
    return closing(sqlite3.connect(Path(os.environ["WINDTUNNEL_DATA"]) / "warehouse.db"))


def create_tables(connection):
    """Both tables, unless they are there."""
    connection.execute(
        """
        CREATE TABLE IF NOT EXISTS orders (
            order_id TEXT PRIMARY KEY, customer_id TEXT, order_date TEXT, status TEXT, total_amount REAL
        )
        """
    )
    connection.execute(
        """
        CREATE TABLE IF NOT EXISTS payments (
            transaction_id TEXT PRIMARY KEY, customer_id TEXT, transaction_date TEXT, amount REAL
        )
        """
    )


def known(connection, day):
    """How many orders of a day the table has."""
    return connection.execute("SELECT count(*) FROM orders WHERE order_date = ?", [day]).fetchone()[0]


def replace_orders(connection, days, orders):
    """Make `orders` all that the table has of `days`."""
    # BEGIN SOLUTION delete those days, and no others; then insert every order
    connection.execute("DELETE FROM orders WHERE order_date BETWEEN ? AND ?", [days[0], days[-1]])
    connection.executemany(
        "INSERT INTO orders VALUES (:order_id, :customer_id, :order_date, :status, :total_amount)", orders
    )
    # END SOLUTION


def replace_payments(connection, days, payments):
    """Make `payments` all that the table has of `days`."""
    # BEGIN SOLUTION the same for the payments
    connection.execute("DELETE FROM payments WHERE transaction_date BETWEEN ? AND ?", [days[0], days[-1]])
    connection.executemany(
        "INSERT INTO payments VALUES (:transaction_id, :customer_id, :transaction_date, :amount)", payments
    )
    # END SOLUTION


with DAG(
    "load_sales",
    description="Orders and payments of the last three days, replaced as a whole",
    # BEGIN SOLUTION when it runs, from which day on, no catching up, and how often a task is tried again
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    # END SOLUTION
):

    @task
    def load(dag_run=None):
        """Orders and payments of the run's days -> warehouse.db, both or neither."""
        # BEGIN SOLUTION fetch first and write last, in one transaction; do not believe that a day is gone
        days = days_of(dag_run)
        orders = ask_shop("orders", days)
        payments = ask_shop("transactions", days)
        may_be_empty = (dag_run.conf or {}).get("may_be_empty", False)

        # The connection itself, in a `with`, commits at the end or takes everything back.
        with warehouse() as connection, connection:
            create_tables(connection)
            sold = {order["order_date"] for order in orders}
            lost = [day for day in days if day not in sold and known(connection, day)]
            if lost and not may_be_empty:
                raise ValueError(f"the shop knows nothing of {', '.join(lost)}, and the table does")
            replace_orders(connection, days, orders)
            replace_payments(connection, days, payments)
        # END SOLUTION

    load()
