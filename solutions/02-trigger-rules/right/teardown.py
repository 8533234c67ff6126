"""The nightly load with a staging folder that is set up and torn down, and an alert that fails with the night."""

import json
import os
from pathlib import Path
from shutil import rmtree

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import dag, setup, task
from airflow.sdk.exceptions import AirflowFailException
from pendulum import datetime, duration


def shop(method, endpoint, **options):
    return HttpHook(method, http_conn_id="shop_api").run(endpoint, **options)


def window(dag_run):
    end = dag_run.logical_date or dag_run.run_after
    return f"{end - duration(days=1):%Y-%m-%d}", f"{end:%Y-%m-%d}"


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"retries": 1},
)
def nightly_load():
    @setup
    @task
    def make_staging(dag_run=None):
        folder = Path(os.environ["WINDTUNNEL_DATA"], "nightly_load", "staging", window(dag_run)[0])
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @task
    def load_orders(folder, dag_run=None):
        start, end = window(dag_run)
        orders = shop("GET", "orders", data={"start": start, "end": end}).json()["orders"]
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(orders))
        return str(path)

    @task.branch
    def choose_size(path):
        return "small_day" if len(json.loads(Path(path).read_text())) <= 7 else "big_day"

    def count(path, size):
        orders = json.loads(Path(path).read_text())
        revenue = sum(order["total_amount"] for order in orders if order["status"] == "completed")
        return orders, {"size": size, "orders": len(orders), "revenue": round(revenue, 2)}

    @task
    def small_day(path):
        return count(path, "small")[1]

    @task
    def big_day(path, dag_run=None):
        orders, found = count(path, "big")
        crm = shop("GET", "crm/customers", data={"as_of": window(dag_run)[1]}).json()["customers"]
        places = [
            one["country"] for order in orders for one in crm if one["customer_id"] == order["customer_id"]
        ]
        return found | {"countries": {place: places.count(place) for place in sorted(set(places))}}

    @task(trigger_rule="none_failed")
    def publish(small, big, dag_run=None):
        day, _ = window(dag_run)
        reports = Path(os.environ["WINDTUNNEL_DATA"], "nightly_load", "reports")
        reports.mkdir(exist_ok=True)
        (reports / f"{day}.json").write_text(json.dumps({"day": day} | (small or big)))

    @task(trigger_rule="one_failed", retries=0)
    def alert(dag_run=None):
        refresh = {"dashboard": "on-call", "date": window(dag_run)[0], "summary": {"dag": "nightly_load"}}
        shop("POST", "dashboard/refresh", json=refresh)
        raise AirflowFailException("this night has no report")

    @task
    def cleanup(folder):
        rmtree(folder)

    folder = make_staging()
    path = load_orders(folder)
    small, big = small_day(path), big_day(path)
    choose_size(path) >> [small, big]
    published = publish(small, big)
    published >> [alert(), cleanup(folder).as_teardown(setups=folder)]


nightly_load()
