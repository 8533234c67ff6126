"""The zone in the timetable, where it belongs to the schedule; start_date is a date and no more."""

from datetime import UTC, datetime

from airflow.sdk import CronTriggerTimetable, dag, task

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def daily_in_berlin(cron):
    return CronTriggerTimetable(cron, timezone="Europe/Berlin")


@task
def tell(dag_run=None):
    print(dag_run.run_after)


@dag(schedule=daily_in_berlin("0 6 * * MON-FRI"), start_date=FIRST, catchup=False)
def opening_report():
    tell()


@dag(schedule="15 */2 * * *", start_date=FIRST, catchup=False)
def stock_sync():
    tell()


@dag(schedule=daily_in_berlin("0 1 * * *"), start_date=FIRST, catchup=False)
def close_day():
    tell()


opening_report()
stock_sync()
close_day()
