"""The digest with operators and xcom_pull. What is handed on is a path relative to the shared folder, and a count."""

import json
import os
from pathlib import Path

import pandas as pd
import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

IDS = {"order_id": "string", "customer_id": "string"}


def shared(path):
    return Path(os.environ["WINDTUNNEL_DATA"]) / path


def handed_on(ti, task_id):
    return pd.read_csv(shared(ti.xcom_pull(task_ids=task_id)["path"]), dtype=IDS)


def keep(table, dag_run, name):
    path = Path("digest") / (dag_run.logical_date or dag_run.run_after).strftime("%Y-%m-%d") / name
    shared(path).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(shared(path), index=False)
    return {"path": str(path), "rows": len(table)}


def extract(dag_run):
    end = pd.Timestamp(dag_run.logical_date or dag_run.run_after).tz_localize(None).normalize()
    dates = {"start": str((end - pd.Timedelta("7D")).date()), "end": str(end.date())}
    orders = HttpHook("GET", http_conn_id="shop_api").run("/orders", dates).json()["orders"]
    columns = ["order_id", "customer_id", "total_amount", "order_date", "status"]
    return keep(pd.DataFrame(orders, columns=columns), dag_run, "orders.csv")


def completed(ti, dag_run):
    return keep(handed_on(ti, "extract_orders").query("status == 'completed'"), dag_run, "completed.csv")


def rank(ti, dag_run):
    orders = handed_on(ti, "keep_completed").fillna({"total_amount": 0.0})
    table = orders.groupby("customer_id")["total_amount"].agg(["size", "sum"])
    table = table.sort_values("sum", ascending=False).reset_index()
    return keep(table.set_axis(["customer_id", "orders", "revenue"], axis=1), dag_run, "customers.csv")


def summary(ti):
    orders = handed_on(ti, "keep_completed")
    priced = orders["total_amount"].dropna().astype(float)
    days = orders["order_date"].mode()
    ti.xcom_push(key="orders", value=len(orders))
    ti.xcom_push(key="revenue", value=round(float(priced.sum()), 2))
    ti.xcom_push(key="mean_amount", value=round(float(priced.mean()), 2) if len(priced) else None)
    ti.xcom_push(key="busiest_day", value=pd.Timestamp(days.min()).date() if len(days) else None)


def digest(ti, dag_run):
    day = ti.xcom_pull(task_ids="summarise", key="busiest_day")
    whole = {
        "run_date": (dag_run.logical_date or dag_run.run_after).date().isoformat(),
        "orders": ti.xcom_pull(task_ids="summarise", key="orders"),
        "revenue": ti.xcom_pull(task_ids="summarise", key="revenue"),
        "mean_amount": ti.xcom_pull(task_ids="summarise", key="mean_amount"),
        "busiest_day": day and day.strftime("%Y-%m-%d"),
        "best_customers": handed_on(ti, "rank_customers")
        .head(3)[["customer_id", "revenue"]]
        .to_dict("records"),
    }
    path = Path(ti.xcom_pull(task_ids="rank_customers")["path"]).with_name("digest.json")
    shared(path).write_text(json.dumps(whole))


with DAG(
    dag_id="weekly_orders_digest",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"retries": 1},
) as weekly_orders_digest:
    extracted = PythonOperator(task_id="extract_orders", python_callable=extract)
    kept = PythonOperator(task_id="keep_completed", python_callable=completed)
    ranked = PythonOperator(task_id="rank_customers", python_callable=rank)
    summarised = PythonOperator(task_id="summarise", python_callable=summary)
    written = PythonOperator(task_id="write_digest", python_callable=digest)

    extracted >> kept >> ranked >> written
    kept >> summarised >> written
