"""One mapped task for each city, so that a refused one is tried again alone; pandas loads, after a delete."""

import os
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pandas as pd
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

COLUMNS = {
    "city": "TEXT",
    "date": "TEXT",
    "temperature_f": "REAL",
    "description": "TEXT",
    "loaded_at": "TEXT",
}


def weather_db():
    return sqlite3.connect(os.path.join(os.environ["WINDTUNNEL_DATA"], "weather.db"))  # noqa: PTH118


with DAG(
    "weather_data_pipeline",
    schedule=timedelta(days=1),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"retries": 4, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": 2.0},
):

    @task
    def create_table():
        with closing(weather_db()) as connection:
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS weather ({columns})")

    @task
    def cities(dag_run=None):
        return (dag_run.conf or {}).get("cities") or ["New York", "London", "Tokyo"]

    @task
    def extract_weather(city, dag_run=None):
        moment = dag_run.logical_date or dag_run.run_after
        asked = {"city": city, "date": f"{moment:%Y-%m-%d}"}
        return HttpHook("GET", http_conn_id="weather_api").run("/weather", asked).json()

    @task
    def transform_weather(readings):
        table = pd.DataFrame(list(readings))
        table["temperature_f"] = (table.pop("temperature_c") * 9 / 5 + 32).round(1)
        return table.to_dict("records")

    @task
    def load_weather(rows):
        table = pd.DataFrame(rows).assign(loaded_at=datetime.now().isoformat())
        with closing(weather_db()) as connection, connection:
            old = table[["city", "date"]].itertuples(index=False, name=None)
            connection.executemany("DELETE FROM weather WHERE city = ? AND date = ?", old)
            table.to_sql("weather", connection, if_exists="append", index=False)

    readings = extract_weather.expand(city=cities())
    create_table() >> readings
    load_weather(transform_weather(readings))
