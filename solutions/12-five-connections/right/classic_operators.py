"""The same with operators of the classic kind, and the weights as they are written."""

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def folder_and_date(dag_run):
    date = (dag_run.logical_date or dag_run.run_after).date()
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "morning" / date.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    return folder, date


def read(table, dag_run):
    folder, date = folder_and_date(dag_run)
    shop = HttpHook(method="GET", http_conn_id="shop_api")
    if table == "customers":
        found = shop.run(table, data={"as_of": f"{date}"}).json()
    else:
        found = shop.run(table, data={"start": f"{date - timedelta(days=1)}", "end": f"{date}"}).json()
    (folder / f"{table}.json").write_text(json.dumps(found[table]))


def clean(dag_run):
    file = folder_and_date(dag_run)[0] / "orders.json"
    file.write_text(json.dumps([o for o in json.loads(file.read_text()) if o["status"] == "completed"]))


def report(dag_run):
    folder, _ = folder_and_date(dag_run)
    tables = ["orders", "transactions", "customers"]
    counted = {table: len(json.loads((folder / f"{table}.json").read_text())) for table in tables}
    (folder / "report.json").write_text(json.dumps(counted))


with DAG("morning_reads", schedule=None, default_args={"weight_rule": "absolute"}) as dag:

    def reading(table, slots, weight):
        return PythonOperator(
            task_id=f"read_{table}",
            python_callable=read,
            op_kwargs={"table": table},
            pool="source_db_pool",
            pool_slots=slots,
            priority_weight=weight,
        )

    orders = reading("orders", 3, 1)
    transactions = reading("transactions", 2, 2)
    customers = reading("customers", 1, 1)
    clean_orders = PythonOperator(task_id="clean_orders", python_callable=clean)
    write_report = PythonOperator(task_id="write_report", python_callable=report)
    orders >> clean_orders >> write_report
    transactions >> write_report
    customers >> write_report
