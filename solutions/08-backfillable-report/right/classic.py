"""What a day brought: classic operators and templates, each number from a question of its own, nothing on disk."""

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pendulum
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

END = "((dag_run.logical_date or dag_run.run_after) | ds)"  # of the day reported on, exclusive


def ask(task_id, endpoint, **data):
    return HttpOperator(
        task_id=task_id,
        method="GET",
        http_conn_id="shop_api",
        endpoint=endpoint,
        data=data,
        response_filter=lambda response: response.json(),
    )


def cents(answer):
    return sum(round(o["total_amount"] * 100) for o in answer["orders"] if o["status"] == "completed")


def put_together(end, ti):
    day = date.fromisoformat(end) - timedelta(days=1)
    answers = {name: ti.xcom_pull(task_ids=name) for name in ("day", "before", "month", "customers")}
    report = {
        "day": str(day),
        "orders": len([o for o in answers["day"]["orders"] if o["status"] == "completed"]),
        "revenue": cents(answers["day"]) / 100,
        "change": (cents(answers["day"]) - cents(answers["before"])) / 100,
        "month_to_date": cents(answers["month"]) / 100,
        "customers": len(answers["customers"]["customers"]),
    }
    folder = Path(os.environ["WINDTUNNEL_DATA"], "daily_sales", str(day))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "report.json").open("w") as file:
        json.dump(report, file)


with DAG(
    dag_id="daily_sales",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=True,
    max_active_runs=4,
    default_args={"retries": 1},
):
    report = PythonOperator(task_id="report", python_callable=put_together, op_args=[f"{{{{ {END} }}}}"])
    [
        ask("day", "orders", start=f"{{{{ macros.ds_add({END}, -1) }}}}", end=f"{{{{ {END} }}}}"),
        ask(
            "before",
            "orders",
            start=f"{{{{ macros.ds_add({END}, -2) }}}}",
            end=f"{{{{ macros.ds_add({END}, -1) }}}}",
        ),
        ask(
            "month",
            "orders",
            start=f"{{{{ macros.ds_add({END}, -1)[:8] }}}}01",
            end=f"{{{{ {END} }}}}",
        ),
        ask("customers", "crm/customers", as_of=f"{{{{ {END} }}}}"),
    ] >> report
