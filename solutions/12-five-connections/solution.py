"""Every morning: three tables of a database that allows five connections in all, and a report.

What is read and computed is written. What is asked is what each task takes while it runs, and who goes first.
"""

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

# Over how many connections each table is read. They are open all at once, for as long as the task runs.
CONNECTIONS = {"orders": 3, "transactions": 2, "customers": 1}


def path_of(dag_run, name):
    """Where the file `name` of a run belongs: morning/<date> under WINDTUNNEL_DATA."""
    date = (dag_run.logical_date or dag_run.run_after).date()
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "morning" / date.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def read(table, dag_run):
    """Read what is new in a table since the day before, or all of it; keep it as <table>.json."""
    date = (dag_run.logical_date or dag_run.run_after).date()
    period = {"start": f"{date - timedelta(days=1)}", "end": f"{date}"}
    if table == "customers":
        period = {"as_of": f"{date}"}
    answer = HttpHook(method="GET", http_conn_id="shop_api").run(table, data=period)
    path_of(dag_run, f"{table}.json").write_text(json.dumps(answer.json()[table]))


def rows(table, dag_run):
    """What `read` kept."""
    return json.loads(path_of(dag_run, f"{table}.json").read_text())


def keep_completed(dag_run):
    """Leave the completed orders in orders.json, and no other."""
    kept = [order for order in rows("orders", dag_run) if order["status"] == "completed"]
    path_of(dag_run, "orders.json").write_text(json.dumps(kept))


def report(dag_run):
    """Write report.json: how many rows each table has."""
    counted = {table: len(rows(table, dag_run)) for table in CONNECTIONS}
    path_of(dag_run, "report.json").write_text(json.dumps(counted, indent=2))


with DAG("morning_reads", description="Three tables, five connections, one report", schedule=None):
    # BEGIN SOLUTION what each read takes, and who goes first when not all of them fit
    limited = {"pool": "source_db_pool"}

    @task(**limited, pool_slots=CONNECTIONS["orders"])
    def read_orders(dag_run=None):
        read("orders", dag_run)

    @task(**limited, pool_slots=CONNECTIONS["transactions"], priority_weight=10)
    def read_transactions(dag_run=None):
        read("transactions", dag_run)

    @task(**limited, pool_slots=CONNECTIONS["customers"])
    def read_customers(dag_run=None):
        read("customers", dag_run)

    # STARTER
    # | @task
    # | def read_orders(dag_run=None):
    # |     read("orders", dag_run)
    # |
    # | @task
    # | def read_transactions(dag_run=None):
    # |     read("transactions", dag_run)
    # |
    # | @task
    # | def read_customers(dag_run=None):
    # |     read("customers", dag_run)
    # END SOLUTION

    @task
    def clean_orders(dag_run=None):
        keep_completed(dag_run)

    @task
    def write_report(dag_run=None):
        report(dag_run)

    last = write_report()
    read_orders() >> clean_orders() >> last
    [read_transactions(), read_customers()] >> last
