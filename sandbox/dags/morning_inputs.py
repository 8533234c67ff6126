"""Every morning: wait for what others make (a file, a row, an object, a service, a run, whole files), then report once.

Each wait holds no worker, ends some time, and says when. The report goes without discounts when none come, and
without nothing else. What a whole file is, is in pipelines/till_files.py.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.common.sql.sensors.sql import SqlSensor
from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, task

from pipelines import till_files

FOLDER = Path(os.environ["WINDTUNNEL_DATA"])
UNTIL_NINE = {"poke_interval": 1800, "timeout": 5 * 3600}  # seconds
NOT_YET = ["404", "429", "503"]  # what a service says that may be well again in half an hour

with DAG(
    "morning_inputs",
    description="Six waits of six kinds, and a report when all is there that must be",
    schedule="0 4 * * *",
    start_date=datetime(2026, 3, 3, tzinfo=UTC),
    end_date=datetime(2026, 3, 31, 23, tzinfo=UTC),  # the course looks at one spring
    catchup=False,
    tags=["tills", "sensors"],
):
    price_list = FileSensor(
        task_id="price_list",
        fs_conn_id="data_folder",
        filepath="prices-{{ ds }}.csv",
        deferrable=True,
        **UNTIL_NINE,
    )
    stock_taken = SqlSensor(
        task_id="stock_taken",
        conn_id="warehouse",
        sql="select count(*) from stock_taken where day = %(day)s",
        parameters={"day": "{{ ds }}"},
        mode="reschedule",
        **UNTIL_NINE,
    )
    discounts = S3KeySensor(
        task_id="discounts",
        bucket_key="s3://landing/discounts/{{ ds }}.csv",
        soft_fail=True,  # no file, no discounts: nothing is wrong then
        mode="reschedule",
        **UNTIL_NINE,
    )
    weather = HttpSensor(
        task_id="weather",
        http_conn_id="weather_api",
        endpoint="weather",
        request_params={"city": "London", "date": "{{ ds }}"},
        response_error_codes_allowlist=NOT_YET,
        mode="reschedule",
        **UNTIL_NINE,
    )
    orders = ExternalTaskSensor(
        task_id="orders",
        external_dag_id="orders_by_day",
        execution_delta=timedelta(hours=2),  # it runs at 02:00
        failed_states=["failed"],
        mode="reschedule",
        **UNTIL_NINE,
    )

    @task.sensor(mode="reschedule", **UNTIL_NINE)
    def tills(ds=None):
        """A file that is there may still be on its way: all of them, and whole."""
        missing = till_files.missing(FOLDER, ds)
        print(f"missing: {', '.join(missing) or 'none'}")
        return not missing

    @task(trigger_rule="none_failed")
    def report(ds=None):
        """What the stores took."""
        return till_files.takings(FOLDER, ds)

    [price_list, stock_taken, discounts, weather, orders, tills()] >> report()
