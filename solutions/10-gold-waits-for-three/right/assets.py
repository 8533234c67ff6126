"""The assets first: each is a function that updates it. Airflow makes the DAGs; gold refers to them by name."""

import json
import os
from pathlib import Path

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Asset, asset, dag, task

ROOT = Path(os.environ.get("WINDTUNNEL_DATA", "."))
NIGHTLY = "0 2 * * *"


def table(endpoint, columns, dag_run):
    end = pd.Timestamp(dag_run.logical_date or dag_run.run_after).normalize().tz_localize(None)
    day = end - pd.Timedelta(days=1)
    asked = {"start": f"{day:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}", "as_of": f"{end:%Y-%m-%d}"}
    [rows] = HttpHook("GET", "shop_api").run(endpoint, asked).json().values()
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return frame[columns].assign(day=f"{day:%Y-%m-%d}")  # KeyError when one of them is missing


def keep(frame, name):
    (ROOT / "silver").mkdir(parents=True, exist_ok=True)
    frame.to_csv(ROOT / "silver" / f"{name}.csv", index=False)


@asset.multi(outlets=[Asset("silver_orders")], schedule=NIGHTLY)
def orders_to_silver(context):
    orders = table("orders", ["order_id", "customer_id", "status"], context["dag_run"])
    keep(orders[orders["status"] == "completed"], "orders")


@asset.multi(outlets=[Asset("silver_customers")], schedule=NIGHTLY)
def customers_to_silver(context):
    keep(table("crm/customers", ["customer_id", "country"], context["dag_run"]), "customers")


@asset.multi(outlets=[Asset("silver_payments")], schedule=NIGHTLY)
def payments_to_silver(context):
    keep(table("transactions", ["transaction_id", "customer_id", "amount"], context["dag_run"]), "payments")


@dag(schedule=[Asset.ref(name=f"silver_{name}") for name in ("orders", "customers", "payments")])
def gold_revenue():
    @task
    def join():
        orders, customers, payments = (
            pd.read_csv(ROOT / "silver" / f"{name}.csv") for name in ("orders", "customers", "payments")
        )
        paid = payments.merge(customers, on="customer_id").groupby("country")["amount"].sum().round(2)
        content = {"orders": len(orders), "by_country": paid.to_dict()}
        (ROOT / "gold").mkdir(exist_ok=True)
        day = orders["day"].iloc[0]
        (ROOT / "gold" / "revenue.json").write_text(json.dumps({"day": day, "revenue": content}))

    join()


gold_revenue()
