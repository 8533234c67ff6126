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
    raise NotImplementedError("TODO: the run's logical date or, without one, its run_after; then one, two, three days back")


def ask_shop(endpoint, days):
    """The shop's rows of these days: a GET of `endpoint` through the connection shop_api."""
    raise NotImplementedError("TODO: an HttpHook and its `run`; `start` is included, `end` is not")


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
    raise NotImplementedError("TODO: delete those days, and no others; then insert every order")


def replace_payments(connection, days, payments):
    """Make `payments` all that the table has of `days`."""
    raise NotImplementedError("TODO: the same for the payments")


with DAG(
    "load_sales",
    description="Orders and payments of the last three days, replaced as a whole",
    # TODO: when it runs, from which day on, no catching up, and how often a task is tried again
):

    @task
    def load(dag_run=None):
        """Orders and payments of the run's days -> warehouse.db, both or neither."""
        raise NotImplementedError("TODO: fetch first and write last, in one transaction; do not believe that a day is gone")

    load()
