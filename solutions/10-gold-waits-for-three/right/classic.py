"""Classic operators in a loop, assets with URIs of their own, and the condition written out with `&`."""

import json
import os
from datetime import date, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset

SOURCES = {"orders": "orders", "customers": "crm/customers", "payments": "transactions"}
NEEDED = {"orders": "order_id", "customers": "country", "payments": "amount"}
TABLES = {name: Asset(name=f"silver_{name}", uri=f"file:///warehouse/silver/{name}.json") for name in SOURCES}


def file(name):
    path = Path(os.environ["WINDTUNNEL_DATA"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def bring(name, endpoint, end):
    start = f"{date.fromisoformat(end) - timedelta(days=1)}"
    asked = {"start": start, "end": end, "as_of": end}
    answer = HttpHook("GET", "shop_api").run(endpoint, asked).json()
    file(f"landing/{name}.json").write_text(json.dumps([start, *answer.values()]))


def load(name):
    day, rows = json.loads(file(f"landing/{name}.json").read_text())
    if not all(NEEDED[name] in row for row in rows):
        raise ValueError(f"{name} without {NEEDED[name]}")
    kept = [row for row in rows if row.get("status") in (None, "completed")]
    file(f"silver/{name}.json").write_text(json.dumps([day, kept]))


def gold():
    silver = {name: json.loads(file(f"silver/{name}.json").read_text()) for name in SOURCES}
    country = {row["customer_id"]: row["country"] for row in silver["customers"][1]}
    totals = {}
    for row in silver["payments"][1]:
        of = country[row["customer_id"]]
        totals[of] = round(totals.get(of, 0) + row["amount"], 2)
    revenue = {"orders": len(silver["orders"][1]), "by_country": totals}
    file("gold/revenue.json").write_text(json.dumps({"day": silver["orders"][0], "revenue": revenue}))


for name, endpoint in SOURCES.items():
    with DAG(f"{name}_to_silver", schedule="0 2 * * *", catchup=False, default_args={"retries": 1}):
        bringing = PythonOperator(
            task_id="bring",
            python_callable=bring,
            op_args=[name, endpoint, "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"],
        )
        loading = PythonOperator(task_id="load", python_callable=load, op_args=[name], outlets=[TABLES[name]])
        bringing >> loading

with DAG("gold_revenue", schedule=TABLES["payments"] & TABLES["orders"] & TABLES["customers"]):
    PythonOperator(task_id="report", python_callable=gold)
