"""How yesterday went: classic operators, templates instead of functions of the run, and the notes through XCom."""

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pendulum
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

RUN_DATE = "(dag_run.logical_date or dag_run.run_after)"


def usable(response):
    """Refuse an answer whose orders lack what the report needs."""
    return all({"status", "total_amount"} <= set(order) for order in response.json()["orders"])


def count(ti):
    orders = ti.xcom_pull(task_ids="fetch_orders")
    by_status = {"completed": 0, "cancelled": 0, "refunded": 0}
    cents = 0
    for order in orders:
        by_status[order["status"]] += 1
        if order["status"] == "completed":
            cents += round(order["total_amount"] * 100)
    return {"orders": len(orders), "revenue": cents / 100, "by_status": by_status}


def put_down(run_date, ti):
    day = str(date.fromisoformat(run_date) - timedelta(days=1))
    folder = Path(os.environ["WINDTUNNEL_DATA"], "daily_orders", day)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "report.json").open("w") as file:
        json.dump({"day": day, **ti.xcom_pull(task_ids="add_up")}, file)


dag = DAG(
    dag_id="daily_orders",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 2},
)

fetch = HttpOperator(
    task_id="fetch_orders",
    http_conn_id="shop_api",
    method="GET",
    endpoint="orders",
    data={
        "start": f"{{{{ ({RUN_DATE} - macros.timedelta(days=1)) | ds }}}}",
        "end": f"{{{{ {RUN_DATE} | ds }}}}",
    },
    response_check=usable,
    response_filter=lambda response: response.json()["orders"],
    dag=dag,
)
add = PythonOperator(task_id="add_up", python_callable=count, dag=dag)
write = PythonOperator(
    task_id="write_report",
    python_callable=put_down,
    op_args=[f"{{{{ {RUN_DATE} | ds }}}}"],
    dag=dag,
)

fetch >> add >> write
