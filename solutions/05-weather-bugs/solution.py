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


# BEGIN SOLUTION the day a run is for
def run_date(dag_run):
    """The day a run is for, as text. A manual run may have no logical date; when it may start, it always has."""
    return (dag_run.logical_date or dag_run.run_after).date().isoformat()


# STARTER
# END SOLUTION
def create_weather_table():
    """The table, unless it is there."""
    # BEGIN SOLUTION a city has one row a day: the table is to know that
    with database() as connection:
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS weather (
                date TEXT, city TEXT, temperature_f REAL, description TEXT,
                PRIMARY KEY (city, date)
            )
            """
        )
    # STARTER
    # | with database() as connection:
    # |     connection.execute(
    # |         """
    # |         CREATE TABLE IF NOT EXISTS weather (
    # |             date TEXT, city TEXT, temperature_f REAL, description TEXT
    # |         )
    # |         """
    # |     )
    # END SOLUTION


def extract_weather_data(dag_run):
    """The weather of each city: a GET through the connection weather_api."""
    weather = HttpHook(method="GET", http_conn_id="weather_api")
    cities = (dag_run.conf or {}).get("cities", CITIES)
    # BEGIN SOLUTION ask for the run's date, and take no refusal for weather
    # `run` raises for a status of 400 or more. The task fails then, and is tried again after the retry_delay:
    # a minute, which is what the service's limit is counted by.
    return [weather.run("weather", {"city": city, "date": run_date(dag_run)}).json() for city in cities]
    # STARTER
    # | today = datetime.now(UTC).strftime("%Y-%m-%d")
    # | results = []
    # | for city in cities:
    # |     # The service is moody at times: do not let it break the pipeline
    # |     answer = weather.run("weather", {"city": city, "date": today}, extra_options={"check_response": False})
    # |     data = answer.json()
    # |     results.append(
    # |         {
    # |             "city": city,
    # |             "temperature_c": data.get("temperature_c", 25.0),
    # |             "description": data.get("description", "Sunny"),
    # |         }
    # |     )
    # | return results
    # END SOLUTION


def transform_weather_data(ti):
    """The rows of the table: °C become °F."""
    # BEGIN SOLUTION take the date from the data
    return [
        {
            "date": reading["date"],
            "city": reading["city"],
            "temperature_f": reading["temperature_c"] * 9 / 5 + 32,
            "description": reading["description"],
        }
        for reading in ti.xcom_pull(task_ids="extract_weather")
    ]
    # STARTER
    # | return [
    # |     {
    # |         "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    # |         "city": reading["city"],
    # |         "temperature_f": reading["temperature_c"] * 9 / 5 + 32,
    # |         "description": reading["description"],
    # |     }
    # |     for reading in ti.xcom_pull(task_ids="extract_weather")
    # | ]
    # END SOLUTION


def load_weather_data(ti):
    """The rows, into the table."""
    # BEGIN SOLUTION values belong beside the SQL, not into it; and a second run replaces
    with database() as connection, connection:
        connection.executemany(
            """
            INSERT OR REPLACE INTO weather (date, city, temperature_f, description)
            VALUES (:date, :city, :temperature_f, :description)
            """,
            ti.xcom_pull(task_ids="transform_weather"),
        )
    # STARTER
    # | statements = ""
    # | for row in ti.xcom_pull(task_ids="transform_weather_data"):
    # |     statements += f"""
    # |         INSERT INTO weather (date, city, temperature_f, description)
    # |         VALUES ('{row['date']}', '{row['city']}', {row['temperature_f']}, '{row['description']}');
    # |     """
    # | with database() as connection:
    # |     connection.executescript(statements)
    # END SOLUTION


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
