"""What a day brought: the @dag decorator, one task, pandas, the run taken from the context."""

import os
from pathlib import Path

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import dag, get_current_context, task


@dag(
    schedule="0 6 * * *",
    start_date=pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime(),
    catchup=True,
    tags=["shop"],
)
def daily_sales():
    @task(retries=3)
    def everything():
        run = get_current_context()["dag_run"]
        end = pd.Timestamp(run.logical_date or run.run_after).tz_localize(None).normalize()
        day, before = end - pd.Timedelta(days=1), end - pd.Timedelta(days=2)
        month = day.replace(day=1)
        shop = HttpHook("GET", "shop_api")
        window = {"start": f"{min(before, month):%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"}
        orders = pd.DataFrame(
            shop.run("orders", window).json()["orders"], columns=["order_date", "status", "total_amount"]
        )
        orders = orders[orders["status"] == "completed"]
        placed = pd.to_datetime(orders["order_date"])
        amounts = orders["total_amount"].astype(float)
        customers = shop.run("crm/customers", {"as_of": f"{end:%Y-%m-%d}"}).json()["customers"]
        report = pd.Series(
            {
                "day": f"{day:%Y-%m-%d}",
                "orders": int((placed == day).sum()),
                "revenue": round(float(amounts[placed == day].sum()), 2),
                "change": round(float(amounts[placed == day].sum() - amounts[placed == before].sum()), 2),
                "month_to_date": round(float(amounts[placed >= month].sum()), 2),
                "customers": len(customers),
            }
        )
        path = Path(os.environ["WINDTUNNEL_DATA"]) / "daily_sales" / report["day"] / "report.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(".report")
        unfinished.write_text(report.to_json())
        unfinished.rename(path)

    everything()


daily_sales()
