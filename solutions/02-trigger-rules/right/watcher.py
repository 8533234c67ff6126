"""The nightly load with a watcher: a task behind all others, which runs only after a failure, and fails too."""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, TaskGroup, task

STAGING = "${WINDTUNNEL_DATA:?}/nightly_load/staging"
DAY = "{{ ((dag_run.logical_date or dag_run.run_after) - macros.timedelta(days=1)).strftime('%Y-%m-%d') }}"


def file_of(day, kind):
    root = Path(os.environ["WINDTUNNEL_DATA"]) / "nightly_load"
    path = root / "reports" / f"{day}.json" if kind == "report" else root / "staging" / day / kind
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def get(endpoint, **query):
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=query).json()


def summary(orders):
    cents = sum(round(order["total_amount"] * 100) for order in orders if order["status"] == "completed")
    return {"orders": len(orders), "revenue": cents / 100}


with DAG("nightly_load", schedule="0 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
    again = {"retries": 1, "retry_delay": timedelta(minutes=1)}

    @task(**again)
    def load_orders(day):
        end = datetime.fromisoformat(day) + timedelta(days=1)
        file_of(day, "orders").write_text(
            json.dumps(get("orders", start=day, end=f"{end:%Y-%m-%d}")["orders"])
        )

    @task.branch(**again)
    def choose_size(day):
        small = len(json.loads(file_of(day, "orders").read_text())) < 8
        return "small_day" if small else "big_day"

    @task(**again)
    def small_day(day):
        orders = json.loads(file_of(day, "orders").read_text())
        file_of(day, "summary").write_text(json.dumps({"day": day, "size": "small", **summary(orders)}))

    @task(**again)
    def big_day(day):
        orders = json.loads(file_of(day, "orders").read_text())
        end = datetime.fromisoformat(day) + timedelta(days=1)
        customers = get("crm/customers", as_of=f"{end:%Y-%m-%d}")["customers"]
        home = {customer["customer_id"]: customer["country"] for customer in customers}
        found = {"day": day, "size": "big", **summary(orders)}
        found["countries"] = Counter(home[order["customer_id"]] for order in orders)
        file_of(day, "summary").write_text(json.dumps(found))

    @task(**again, trigger_rule="none_failed")
    def publish(day):
        file_of(day, "report").write_text(file_of(day, "summary").read_text())

    @task(**again, trigger_rule="one_failed")
    def alert(day):
        refresh = {"dashboard": "on-call", "date": day, "summary": {"night": "failed", "report": None}}
        HttpHook("POST", "shop_api").run(
            "dashboard/refresh", json.dumps(refresh), headers={"Content-Type": "application/json"}
        )

    @task(trigger_rule="one_failed")
    def watcher():
        raise RuntimeError("something failed, see above")

    loaded, published = load_orders(DAY), publish(DAY)
    with TaskGroup("sizes", prefix_group_id=False) as sizes:
        small_day(DAY)
        big_day(DAY)
    loaded >> choose_size(DAY) >> sizes >> published
    published >> BashOperator(
        task_id="cleanup", bash_command=f'rm -rf "{STAGING}/{DAY}"', trigger_rule="all_done", **again
    )
    [loaded, sizes, published] >> alert(DAY)
    list(dag.tasks) >> watcher()
