"""The digest without pandas. No path is handed on: who knows the run's date knows where its files are."""

import csv
import json
import os
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import dag, get_current_context, task

FIELDS = ["order_id", "customer_id", "total_amount", "order_date", "status"]


def day():
    run = get_current_context()["dag_run"]
    return (run.logical_date or run.run_after).date()


def place(name):
    folder = Path(os.environ["WINDTUNNEL_DATA"], "digest", str(day()))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def store(name, fields, rows):
    with place(name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def stored(name):
    with place(name).open(newline="") as file:
        yield from csv.DictReader(file)


@dag(schedule="0 5 * * *", start_date=datetime(2026, 1, 1), catchup=False)
def weekly_orders_digest():
    @task
    def extract_orders():
        shop = HttpHook(method="GET", http_conn_id="shop_api")
        answer = shop.run("orders", data={"start": day() - timedelta(days=7), "end": day()})
        store("orders.csv", FIELDS, answer.json()["orders"])

    @task
    def keep_completed():
        store("completed.csv", FIELDS, (row for row in stored("orders.csv") if row["status"] == "completed"))

    @task
    def rank_customers():
        orders, revenue = Counter(), defaultdict(float)
        for row in stored("completed.csv"):
            orders[row["customer_id"]] += 1
            revenue[row["customer_id"]] += float(row["total_amount"] or 0)
        rows = [
            {"customer_id": who, "orders": orders[who], "revenue": round(revenue[who], 2)}
            for who in sorted(orders, key=lambda who: -revenue[who])
        ]
        store("customers.csv", ["customer_id", "orders", "revenue"], rows)

    @task
    def summarise():
        rows = list(stored("completed.csv"))
        amounts = [float(row["total_amount"]) for row in rows if row["total_amount"]]
        days = Counter(row["order_date"] for row in rows)
        summary = {
            "orders": len(rows),
            "revenue": round(sum(amounts), 2),
            "mean_amount": round(sum(amounts) / len(amounts), 2) if amounts else None,
            "busiest_day": min(days, key=lambda each: (-days[each], each), default=None),
        }
        place("summary.json").write_text(json.dumps(summary))

    @task
    def write_digest():
        best = [
            {"customer_id": row["customer_id"], "revenue": float(row["revenue"])}
            for row in stored("customers.csv")
        ]
        digest = {"run_date": str(day()), "best_customers": best[:3]}
        digest |= json.loads(place("summary.json").read_text())
        place("digest.json").write_text(json.dumps(digest))

    extract_orders() >> keep_completed() >> [rank_customers(), summarise()] >> write_digest()


weekly_orders_digest()
