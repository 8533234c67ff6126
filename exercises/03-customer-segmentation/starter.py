"""Every Monday: what each customer is worth, who is drifting away, and a report about it.

A task leaves its table in the folder of its run's date and hands on the path, never the data.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

CUSTOMERS = ["customer_id", "registration_date", "email"]
TRANSACTIONS = ["transaction_id", "customer_id", "amount", "transaction_date"]
SEGMENTS = ["At Risk", "New Customers", "High Value", "Regular"]  # the first that fits is taken
AT_RISK_DAYS = 90


# --- where a run's tables are


def run_date(dag_run):
    """The day this run is for, as a pandas Timestamp at midnight.

    A manual run may have no logical date. It always has a run_after, the moment from which it may start.
    """
    raise NotImplementedError("TODO: the run's logical date or, without one, its run_after, cut to the day")


def write(name, text, dag_run):
    """Put `text` into the file `name` of this run's folder, segmentation/<date> under WINDTUNNEL_DATA.

    A second run of the same date replaces the file, and nobody ever reads half of one. Returns the path.
    """
    raise NotImplementedError("TODO: write another file next to it, then rename that to `name`")


def read(path):
    """The table in the CSV file at `path`. Ids are text, dates are Timestamps."""
    table = pd.read_csv(path, dtype={"customer_id": str, "transaction_id": str})
    for column in table.columns.intersection(["registration_date", "transaction_date"]):
        table[column] = pd.to_datetime(table[column])
    return table


def ask_shop(endpoint, **parameters):
    """The shop's rows: a GET of `endpoint` through the connection shop_api."""
    raise NotImplementedError("TODO: an HttpHook, its `run`, and the list in the JSON that comes back")


# --- what the tables say


def problems(customers, transactions):
    """What is wrong with the two tables: one sentence for each kind of problem, naming the ids."""
    raise NotImplementedError("TODO: nulls, ids listed twice, amounts of 0 or less, transactions of nobody")


def score(values):
    """Scores from 1 to 5 for a Series in which more is better; equal values get equal scores.

    The score is 1, plus 1 for every full fifth of all values that are lower than this one.
    """
    raise NotImplementedError("TODO: rank, so that ties do no harm")


def rfm(customers, transactions, day):
    """One row for each customer: recency, frequency, monetary, purchases (ever), and three scores."""
    raise NotImplementedError("TODO: start from the customers, so that those who never bought are kept")


def segments(table):
    """The segment of each customer of an RFM table, as a Series: the first rule that fits decides."""
    raise NotImplementedError("TODO: three rules in their order; the top 20 % of all customers, ties included")


def summary(table, day):
    """The report on a table with segments, as a dict ready for JSON: see the exercise for its form."""
    raise NotImplementedError("TODO: every segment gets its entry, an empty one too")


# --- what runs, when, and after what

with DAG(
    "customer_segmentation_pipeline",
    description="RFM segmentation of the shop's customers",
    schedule="0 6 * * 1",
    start_date=datetime(2025, 1, 6, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["marketing", "segmentation"],
):

    @task
    def extract_customers(dag_run=None):
        """Everybody who registered before the run's date -> the path of customers.csv."""
        raise NotImplementedError("TODO: ask the shop for `customers`, as_of the run's date")

    @task
    def extract_transactions(dag_run=None):
        """Every purchase before the run's date -> the path of transactions.csv."""
        raise NotImplementedError("TODO: ask the shop for `transactions`; `end` is exclusive")

    @task
    def validate_data(customers, transactions):
        """Stop the run when the data is not fit for use -> both paths, when it is."""
        raise NotImplementedError("TODO: raise ValueError with every problem found")

    @task
    def calculate_rfm(paths, dag_run=None):
        """Both tables -> the path of rfm.csv."""
        raise NotImplementedError("TODO: read, rfm, write")

    @task
    def segment_customers(path, dag_run=None):
        """The RFM table -> the path of segments.csv."""
        raise NotImplementedError("TODO: the RFM table with one column more")

    @task
    def generate_report(path, dag_run=None):
        """The segments -> the path of report.json."""
        raise NotImplementedError("TODO: the summary, as JSON")

    customers = extract_customers()
    transactions = extract_transactions()
    # TODO: say what runs after what: each task takes what the one before it returned
