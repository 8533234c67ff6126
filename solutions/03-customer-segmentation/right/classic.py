"""The Monday report with classic operators: dates through templates, paths through XCom templates."""

import json
import os
from pathlib import Path

import pandas as pd
import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

MONDAY = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"


def target(monday, name):
    folder = Path(os.environ["WINDTUNNEL_DATA"], "segmentation", monday)
    folder.mkdir(parents=True, exist_ok=True)
    return f"{folder}/{name}"


def from_task(task_id):
    return f"{{{{ ti.xcom_pull(task_ids='{task_id}') }}}}"


def fetch(monday, table, query, columns):
    rows = HttpHook("GET", http_conn_id="shop_api").run(table, query).json()[table]
    path = target(monday, f"{table}.csv")
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def refuse_bad_data(people_csv, sales_csv):
    people, sales = pd.read_csv(people_csv), pd.read_csv(sales_csv)
    complaints = {
        "incomplete customers": people.loc[people.isna().any(axis=1), "customer_id"],
        "incomplete transactions": sales.loc[sales.isna().any(axis=1), "transaction_id"],
        "customers more than once": people.loc[people.duplicated("customer_id"), "customer_id"],
        "transactions more than once": sales.loc[sales.duplicated("transaction_id"), "transaction_id"],
        "nothing paid": sales.loc[sales["amount"].le(0), "transaction_id"],
        "paid by nobody": sales.loc[~sales["customer_id"].isin(people["customer_id"]), "transaction_id"],
    }
    complaints = {what: list(ids) for what, ids in complaints.items() if len(ids)}
    if complaints:
        raise ValueError(f"bad data: {complaints}")


def measure(monday, people_csv, sales_csv):
    today = pd.Timestamp(monday)
    people = pd.read_csv(people_csv, parse_dates=["registration_date"])
    sales = pd.read_csv(sales_csv, parse_dates=["transaction_date"])
    sales["in_window"] = sales["transaction_date"] >= today - pd.DateOffset(years=1)
    sales["counted"] = sales["amount"].where(sales["in_window"], 0.0)
    per_customer = sales.groupby("customer_id").agg(
        last=("transaction_date", "max"),
        frequency=("in_window", "sum"),
        monetary=("counted", "sum"),
        ever=("transaction_id", "count"),
    )
    table = people.merge(per_customer, how="left", left_on="customer_id", right_index=True)
    table["last"] = pd.to_datetime(table["last"]).fillna(table["registration_date"])
    table["recency"] = (today - table["last"]).dt.days
    for column in ("frequency", "monetary", "ever"):
        table[column] = pd.to_numeric(table[column]).fillna(0).round(2)
    for column, better in (("recency", -1), ("frequency", 1), ("monetary", 1)):
        values = better * table[column]
        worse = values.map(lambda value, values=values: int((values < value).sum()))
        table[f"{column}_score"] = 1 + 5 * worse // len(table)
    path = target(monday, "rfm.csv")
    table.drop(columns=["registration_date", "email", "last"]).to_csv(path, index=False)
    return path


def sort_into_segments(monday, rfm_csv):
    table = pd.read_csv(rfm_csv)
    best = table["monetary"].rank(method="min", ascending=False) <= -(-len(table) // 5)
    table["segment"] = "Regular"
    table.loc[best & table["monetary"].gt(0), "segment"] = "High Value"
    table.loc[table["ever"].eq(1), "segment"] = "New Customers"
    table.loc[table["recency"].ge(90), "segment"] = "At Risk"
    path = target(monday, "segments.csv")
    table[["customer_id", "segment"]].to_csv(path, index=False)
    return path


def report(monday, rfm_csv, segments_csv):
    table = pd.read_csv(rfm_csv).merge(pd.read_csv(segments_csv), on="customer_id")
    total = table["monetary"].sum()
    parts = []
    for name in ("High Value", "New Customers", "Regular", "At Risk"):
        part = table.query("segment == @name")
        parts.append(
            {
                "name": name,
                "customers": part.shape[0],
                "revenue": part["monetary"].sum().round(2),
                "revenue_share": round(part["monetary"].sum() / total, 4) if total > 0 else 0,
                "mean_recency": None if part.empty else part["recency"].mean().round(1),
            }
        )
    head = {"run_date": monday, "customers": len(table), "revenue_12m": total.round(2)}
    content = json.dumps(head | {"segments": parts}, default=float)
    Path(target(monday, "report.json")).write_text(content)


with DAG(
    dag_id="customer_segmentation_pipeline",
    schedule="0 6 * * 1",
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    default_args={"retries": 2},
):
    customers = PythonOperator(
        task_id="extract_customers",
        python_callable=fetch,
        op_kwargs={
            "monday": MONDAY,
            "table": "customers",
            "query": {"as_of": MONDAY},
            "columns": ["customer_id", "registration_date", "email"],
        },
    )
    transactions = PythonOperator(
        task_id="extract_transactions",
        python_callable=fetch,
        op_kwargs={
            "monday": MONDAY,
            "table": "transactions",
            "query": {"end": MONDAY},
            "columns": ["transaction_id", "customer_id", "amount", "transaction_date"],
        },
    )
    both = [from_task("extract_customers"), from_task("extract_transactions")]
    validate = PythonOperator(task_id="validate_data", python_callable=refuse_bad_data, op_args=both)
    rfm = PythonOperator(task_id="calculate_rfm", python_callable=measure, op_args=[MONDAY, *both])
    segment = PythonOperator(
        task_id="segment_customers",
        python_callable=sort_into_segments,
        op_args=[MONDAY, from_task("calculate_rfm")],
    )
    generate = PythonOperator(
        task_id="generate_report",
        python_callable=report,
        op_args=[MONDAY, from_task("calculate_rfm"), from_task("segment_customers")],
    )

    [customers, transactions] >> validate >> rfm >> segment >> generate
