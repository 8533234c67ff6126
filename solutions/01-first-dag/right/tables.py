"""How yesterday went: the @dag decorator, pandas, and a CSV file between the tasks."""

import json
import os
from pathlib import Path

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import dag, get_current_context, task


def yesterday():
    run = get_current_context()["dag_run"]
    moment = pd.Timestamp(run.logical_date or run.run_after)
    return moment.tz_localize(None).normalize() - pd.Timedelta(days=1)


def place(name):
    path = Path(f"{os.environ['WINDTUNNEL_DATA']}/daily_orders/{yesterday():%Y-%m-%d}/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dag(
    "daily_orders",
    schedule="0 2 * * *",
    start_date=pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime(),
    catchup=False,
    tags=["shop"],
)
def morning_report():
    @task(retries=2)
    def fetch_orders():
        window = {
            "start": f"{yesterday():%Y-%m-%d}",
            "end": f"{yesterday() + pd.Timedelta(days=1):%Y-%m-%d}",
        }
        answer = HttpHook("GET", "shop_api").run("orders", window)
        table = pd.DataFrame(answer.json()["orders"], columns=["order_id", "status", "total_amount"])
        if table.isna().any(axis=None):
            raise ValueError(f"orders that cannot be used: {answer.text[:500]}")
        table.to_csv(place("orders.csv"), index=False)

    @task(retries=2)
    def add_up():
        table = pd.read_csv(place("orders.csv"))
        of = table.groupby("status")["total_amount"].agg(["size", "sum"])
        of = of.reindex(["completed", "cancelled", "refunded"], fill_value=0)
        return {
            "day": f"{yesterday():%Y-%m-%d}",
            "orders": len(table),
            "revenue": round(float(of.loc["completed", "sum"]), 2),
            "by_status": {status: int(count) for status, count in of["size"].items()},
        }

    @task(retries=2)
    def write_report(report):
        unfinished = place(".report")
        unfinished.write_text(json.dumps(report))
        unfinished.rename(place("report.json"))

    totals = add_up()
    fetch_orders() >> totals
    write_report(totals)


morning_report()
