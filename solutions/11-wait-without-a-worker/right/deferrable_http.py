"""The same with a sensor that asks by itself, and waits in the triggerer."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

PERIOD = {"start": "{{ macros.ds_add(ds, -1) }}", "end": "{{ ds }}"}


def get(table, start, end):
    return HttpHook("GET", "shop_api").run(table, {"start": start, "end": end}).json()[table]


def folder(start):
    path = Path(os.environ["WINDTUNNEL_DATA"]) / "paid" / start
    path.mkdir(parents=True, exist_ok=True)
    return path


def pay(start, end):
    total = sum(each["amount"] for each in get("transactions", start, end))
    (folder(start) / "paid.json").write_text(str(round(total, 2)))


def tell(start, end):
    paid = folder(start) / "paid.json"
    ordered = sum(each["total_amount"] for each in get("orders", start, end))
    told = {
        "day": start,
        "ordered": round(ordered, 2),
        "paid": float(paid.read_text()) if paid.is_file() else None,
    }
    (folder(start) / "report.json").write_text(json.dumps(told))


with DAG(
    "paid_yesterday",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
) as dag:
    wait = HttpSensor(
        task_id="wait",
        http_conn_id="shop_api",
        endpoint="transactions",
        request_params=PERIOD,
        deferrable=True,
        poke_interval=3600,
        timeout=5 * 3600,
        soft_fail=True,
    )
    reconcile = PythonOperator(task_id="reconcile", python_callable=pay, op_kwargs=PERIOD)
    report = PythonOperator(
        task_id="report", python_callable=tell, op_kwargs=PERIOD, trigger_rule="none_failed"
    )
    wait >> reconcile >> report
