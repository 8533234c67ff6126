"""Every night: the orders of the day before into the warehouse, as often as anybody asks.

This file says what runs, when, and after what. How a day is replaced is in pipelines/orders_by_day.py.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, task

from pipelines import orders_by_day

with DAG(
    "orders_by_day",
    description="The orders of the day before, replaced as a whole",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 3, 31, 23, tzinfo=UTC),  # the course looks at one spring
    catchup=False,
    default_args={
        "retries": 2,
        # In production, give the other side time to recover: minutes. Here you are waiting.
        "retry_delay": timedelta(seconds=1),
    },
    tags=["orders", "warehouse"],
):

    @task
    def load(dag_run=None):
        """Fetch first, write last, in one transaction. Everything before the writing may fail without harm."""
        day = (dag_run.logical_date or dag_run.run_after).date() - timedelta(days=1)
        shop = HttpHook(method="GET", http_conn_id="shop_api")
        answer = shop.run("orders", data={"start": f"{day}", "end": f"{day + timedelta(days=1)}"})
        orders = orders_by_day.rows(answer.json()["orders"])
        may_be_empty = (dag_run.conf or {}).get("may_be_empty", False)
        with orders_by_day.transaction(PostgresHook("warehouse").get_conn()) as cursor:
            cursor.execute(orders_by_day.TABLE)
            before = orders_by_day.replace_day(cursor, day, orders, may_be_empty=may_be_empty)
        print(f"{day}: {len(orders)} orders instead of {before}")

    load()
