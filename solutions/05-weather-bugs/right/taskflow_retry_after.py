"""The same with TaskFlow. A refused call waits as long as the service asks for, a few times."""

import os
import sqlite3
import time
from pathlib import Path

import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import dag, task

UPSERT = """
    INSERT INTO weather VALUES (?, ?, ?, ?)
    ON CONFLICT (city, date) DO UPDATE
    SET temperature_f = excluded.temperature_f, description = excluded.description
"""


def ask(city, day):
    hook = HttpHook(method="GET", http_conn_id="weather_api")
    for _ in range(5):
        answer = hook.run(
            "weather", data={"city": city, "date": day}, extra_options={"check_response": False}
        )
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer.json()
        time.sleep(min(60, int(answer.headers.get("Retry-After", 1))))
    raise RuntimeError(f"the service refused {city} five times")


def connect():
    return sqlite3.connect(Path(os.environ["WINDTUNNEL_DATA"], "weather.db"))


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    params={"cities": ["New York", "London", "Tokyo"]},
)
def weather_data_pipeline():
    @task
    def create_table():
        with connect() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS weather (city TEXT, date TEXT, temperature_f REAL, description TEXT)"
            )
            db.execute("CREATE UNIQUE INDEX IF NOT EXISTS one_a_day ON weather (city, date)")

    @task
    def extract_weather(dag_run=None, params=None):
        day = pendulum.instance(dag_run.logical_date or dag_run.run_after).to_date_string()
        return [ask(city, day) for city in params["cities"]]

    @task
    def transform_weather(readings):
        return [
            (each["city"], each["date"], round(each["temperature_c"] * 1.8 + 32, 2), each["description"])
            for each in readings
        ]

    @task
    def load_weather(rows):
        with connect() as db:
            db.executemany(UPSERT, rows)

    create_table() >> load_weather(transform_weather(extract_weather()))


weather_data_pipeline()
