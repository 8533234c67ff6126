"""The same with one function that takes its pool, its slots and its weight from a table."""

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

READS = {
    "customers": {"pool_slots": 1, "priority_weight": 1},
    "orders": {"pool_slots": 3, "priority_weight": 1, "weight_rule": "upstream"},
    "transactions": {"pool_slots": 2, "priority_weight": 100, "weight_rule": "upstream"},
}


def place(dag_run, name):
    date = (dag_run.logical_date or dag_run.run_after).date()
    path = Path(os.environ["WINDTUNNEL_DATA"]) / "morning" / f"{date}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


with DAG("morning_reads", schedule=None):

    @task
    def read(table, dag_run=None):
        end = (dag_run.logical_date or dag_run.run_after).date()
        asked = {"start": f"{end - timedelta(days=1)}", "end": f"{end}", "as_of": f"{end}"}
        if table == "customers":
            del asked["start"], asked["end"]
        else:
            del asked["as_of"]
        answer = HttpHook(method="GET", http_conn_id="shop_api").run(table, data=asked)
        place(dag_run, f"{table}.json").write_text(json.dumps(answer.json()[table]))

    @task
    def clean_orders(dag_run=None):
        file = place(dag_run, "orders.json")
        kept = [order for order in json.loads(file.read_text()) if order["status"] == "completed"]
        file.write_text(json.dumps(kept))

    @task
    def write_report(dag_run=None):
        counted = {table: len(json.loads(place(dag_run, f"{table}.json").read_text())) for table in READS}
        place(dag_run, "report.json").write_text(json.dumps(counted))

    reads = {
        table: read.override(task_id=f"read_{table}", pool="source_db_pool", **takes)(table)
        for table, takes in READS.items()
    }
    end = write_report()
    list(reads.values()) >> end
    reads["orders"] >> clean_orders() >> end
