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
    # BEGIN SOLUTION the run's logical date or, without one, its run_after, cut to the day
    return pd.Timestamp((dag_run.logical_date or dag_run.run_after).date())
    # END SOLUTION


def write(name, text, dag_run):
    """Put `text` into the file `name` of this run's folder, segmentation/<date> under WINDTUNNEL_DATA.

    A second run of the same date replaces the file, and nobody ever reads half of one. Returns the path.
    """
    # BEGIN SOLUTION write another file next to it, then rename that to `name`
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "segmentation" / f"{run_date(dag_run):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.part"
    unfinished.write_text(text)
    return str(unfinished.replace(folder / name))
    # END SOLUTION


def read(path):
    """The table in the CSV file at `path`. Ids are text, dates are Timestamps."""
    table = pd.read_csv(path, dtype={"customer_id": str, "transaction_id": str})
    for column in table.columns.intersection(["registration_date", "transaction_date"]):
        table[column] = pd.to_datetime(table[column])
    return table


def ask_shop(endpoint, **parameters):
    """The shop's rows: a GET of `endpoint` through the connection shop_api."""
    # BEGIN SOLUTION an HttpHook, its `run`, and the list in the JSON that comes back
    answer = HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters)
    return answer.json()[endpoint]
    # END SOLUTION


# --- what the tables say


def problems(customers, transactions):
    """What is wrong with the two tables: one sentence for each kind of problem, naming the ids."""
    # BEGIN SOLUTION nulls, ids listed twice, amounts of 0 or less, transactions of nobody
    found = []

    def report(what, rows, key):
        if len(rows):
            found.append(f"{what}: {', '.join(rows[key].astype(str).head(10))}")

    for name, table, key in (
        ("customers", customers, "customer_id"),
        ("transactions", transactions, "transaction_id"),
    ):
        report(f"{name} with a missing value", table[table.isna().any(axis=1)], key)
        report(f"{name} listed twice", table[table[key].notna() & table[key].duplicated()], key)
    report("amounts that are not positive", transactions[transactions["amount"] <= 0], "transaction_id")
    known = transactions["customer_id"].isin(customers["customer_id"])
    report("transactions of unknown customers", transactions[~known], "transaction_id")
    return found
    # END SOLUTION


def score(values):
    """Scores from 1 to 5 for a Series in which more is better; equal values get equal scores.

    The score is 1, plus 1 for every full fifth of all values that are lower than this one.
    """
    # BEGIN SOLUTION rank, so that ties do no harm
    lower = values.rank(method="min") - 1
    return (1 + lower * 5 // len(values)).astype(int)
    # END SOLUTION


def rfm(customers, transactions, day):
    """One row for each customer: recency, frequency, monetary, purchases (ever), and three scores."""
    # BEGIN SOLUTION start from the customers, so that those who never bought are kept
    known = customers.set_index("customer_id")
    bought = transactions.groupby("customer_id")
    recent = transactions[transactions["transaction_date"] >= day - pd.DateOffset(months=12)]
    table = pd.DataFrame(index=known.index)
    last = bought["transaction_date"].max().reindex(known.index)
    table["recency"] = (day - last.fillna(known["registration_date"])).dt.days
    spent = recent.groupby("customer_id")["amount"].agg(["size", "sum"]).reindex(known.index, fill_value=0)
    table["frequency"] = spent["size"]
    table["monetary"] = spent["sum"].round(2)
    table["purchases"] = bought.size().reindex(known.index, fill_value=0)
    table["recency_score"] = score(-table["recency"])
    table["frequency_score"] = score(table["frequency"])
    table["monetary_score"] = score(table["monetary"])
    return table.reset_index()
    # END SOLUTION


def segments(table):
    """The segment of each customer of an RFM table, as a Series: the first rule that fits decides."""
    # BEGIN SOLUTION three rules in their order; the top 20 % of all customers, ties included
    fifth = -(-len(table) // 5)  # rounded up
    cut = table["monetary"].nlargest(fifth).min()
    rules = [
        table["recency"] >= AT_RISK_DAYS,
        table["purchases"] == 1,
        (table["monetary"] >= cut) & (table["monetary"] > 0),
    ]
    return pd.Series(np.select(rules, SEGMENTS[:3], SEGMENTS[3]), index=table.index)
    # END SOLUTION


def summary(table, day):
    """The report on a table with segments, as a dict ready for JSON: see the exercise for its form."""
    # BEGIN SOLUTION every segment gets its entry, an empty one too
    total = table["monetary"].sum()
    entries = []
    for name in SEGMENTS:
        rows = table[table["segment"] == name]
        revenue = rows["monetary"].sum()
        entries.append(
            {
                "name": name,
                "customers": len(rows),
                "revenue": round(float(revenue), 2),
                "revenue_share": round(float(revenue / total), 4) if total else 0.0,
                # The mean of nothing is NaN, which is no JSON.
                "mean_recency": round(float(rows["recency"].mean()), 1) if len(rows) else None,
            }
        )
    return {
        "run_date": f"{day:%Y-%m-%d}",
        "customers": len(table),
        "revenue_12m": round(float(total), 2),
        "segments": entries,
    }
    # END SOLUTION


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
        # BEGIN SOLUTION ask the shop for `customers`, as_of the run's date
        rows = ask_shop("customers", as_of=f"{run_date(dag_run):%Y-%m-%d}")
        return write("customers.csv", pd.DataFrame(rows, columns=CUSTOMERS).to_csv(index=False), dag_run)
        # END SOLUTION

    @task
    def extract_transactions(dag_run=None):
        """Every purchase before the run's date -> the path of transactions.csv."""
        # BEGIN SOLUTION ask the shop for `transactions`; `end` is exclusive
        rows = ask_shop("transactions", end=f"{run_date(dag_run):%Y-%m-%d}")
        table = pd.DataFrame(rows, columns=TRANSACTIONS)
        return write("transactions.csv", table.to_csv(index=False), dag_run)
        # END SOLUTION

    @task
    def validate_data(customers, transactions):
        """Stop the run when the data is not fit for use -> both paths, when it is."""
        # BEGIN SOLUTION raise ValueError with every problem found
        found = problems(read(customers), read(transactions))
        if found:
            raise ValueError("; ".join(found))
        return {"customers": customers, "transactions": transactions}
        # END SOLUTION

    @task
    def calculate_rfm(paths, dag_run=None):
        """Both tables -> the path of rfm.csv."""
        # BEGIN SOLUTION read, rfm, write
        table = rfm(read(paths["customers"]), read(paths["transactions"]), run_date(dag_run))
        return write("rfm.csv", table.to_csv(index=False), dag_run)
        # END SOLUTION

    @task
    def segment_customers(path, dag_run=None):
        """The RFM table -> the path of segments.csv."""
        # BEGIN SOLUTION the RFM table with one column more
        table = read(path)
        return write("segments.csv", table.assign(segment=segments(table)).to_csv(index=False), dag_run)
        # END SOLUTION

    @task
    def generate_report(path, dag_run=None):
        """The segments -> the path of report.json."""
        # BEGIN SOLUTION the summary, as JSON
        report = summary(read(path), run_date(dag_run))
        return write("report.json", json.dumps(report, indent=2), dag_run)
        # END SOLUTION

    customers = extract_customers()
    transactions = extract_transactions()
    # BEGIN SOLUTION say what runs after what: each task takes what the one before it returned
    checked = validate_data(customers, transactions)
    generate_report(segment_customers(calculate_rfm(checked)))
    # END SOLUTION
