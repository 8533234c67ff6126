"""The nightly load with classic operators. Its last task can only run when the report is there."""

import json
import os
import shutil
from pathlib import Path

import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
from airflow.sdk import DAG, TriggerRule

NEXT = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"
DAY = "{{ ((dag_run.logical_date or dag_run.run_after) - macros.timedelta(days=1)) | ds }}"
ROOT = Path(os.environ["WINDTUNNEL_DATA"]) / "nightly_load"


def fetch(day, following):
    answer = HttpHook("GET", http_conn_id="shop_api").run("orders", {"start": day, "end": following})
    (ROOT / "staging" / day).mkdir(parents=True, exist_ok=True)
    (ROOT / "staging" / day / "answer").write_text(answer.text)


def staged(day):
    return json.loads((ROOT / "staging" / day / "answer").read_text())["orders"]


def branch(day):
    return ["small_day"] if len(staged(day)) < 8 else ["big_day"]


def summary(day, following, size):
    rows = staged(day)
    found = {"day": day, "size": size, "orders": len(rows), "revenue": 0, "countries": {}}
    known = {}
    if size == "big":
        crm = HttpHook("GET", http_conn_id="shop_api").run("crm/customers", {"as_of": following}).json()
        known = {row["customer_id"]: row["country"] for row in crm["customers"]}
    for row in rows:
        if row["status"] == "completed":
            found["revenue"] = round(found["revenue"] + row["total_amount"], 2)
        if known:
            country = known[row["customer_id"]]
            found["countries"][country] = found["countries"].get(country, 0) + 1
    if not known:
        del found["countries"]
    return found


def write(day, ti):
    [found] = [one for one in ti.xcom_pull(task_ids=["small_day", "big_day"]) if one]
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / f"{day}.json").write_text(json.dumps(found))


def wipe(day):
    shutil.rmtree(ROOT / "staging" / day, ignore_errors=True)


with DAG(
    dag_id="nightly_load",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 1},
) as dag:
    load = PythonOperator(task_id="load_orders", python_callable=fetch, op_args=[DAY, NEXT])
    size = BranchPythonOperator(task_id="choose_size", python_callable=branch, op_args=[DAY])
    small = PythonOperator(task_id="small_day", python_callable=summary, op_args=[DAY, NEXT, "small"])
    big = PythonOperator(task_id="big_day", python_callable=summary, op_args=[DAY, NEXT, "big"])
    report = PythonOperator(
        task_id="publish", python_callable=write, op_args=[DAY], trigger_rule=TriggerRule.ONE_SUCCESS
    )
    wake = HttpOperator(
        task_id="alert",
        http_conn_id="shop_api",
        endpoint="dashboard/refresh",
        method="POST",
        headers={"Content-Type": "application/json"},
        data=f'{{"dashboard": "on-call", "date": "{DAY}", "summary": {{"run": "{{{{ run_id }}}}"}}}}',
        trigger_rule=TriggerRule.ONE_FAILED,
    )
    wiped = PythonOperator(
        task_id="cleanup", python_callable=wipe, op_args=[DAY], trigger_rule=TriggerRule.ALL_DONE
    )
    end = EmptyOperator(task_id="end")

    load >> size >> [small, big] >> report >> wiped >> end
    [load, small, big, report] >> wake
    report >> end
