"""Data intervals instead of moments, a cron for each working day, and no start_date where none is needed."""

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import (
    DAG,
    CronDataIntervalTimetable,
    DeltaDataIntervalTimetable,
    MultipleCronTriggerTimetable,
)

working_days = MultipleCronTriggerTimetable(
    *(f"0 6 * * {day}" for day in ("mon", "tue", "wed", "thu", "fri")), timezone="Europe/Berlin"
)
schedules = {
    "opening_report": working_days,
    "stock_sync": DeltaDataIntervalTimetable(pendulum.duration(hours=2)),
    "close_day": CronDataIntervalTimetable("59 3 * * *", timezone="Europe/Berlin"),
}

for dag_id, schedule in schedules.items():
    with DAG(dag_id, schedule=schedule, start_date=pendulum.datetime(2025, 12, 1, tz="Europe/Berlin")):
        BashOperator(task_id="tell", bash_command="date")
