"""Three schedules of a shop in Berlin, each right on every day of the year, and on two of them most of all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, task

BERLIN = ZoneInfo("Europe/Berlin")


@task
def start(dag_run=None):
    """What the shop's clock shows when the run may start. The work itself is not what is asked here."""
    return f"{dag_run.run_after.astimezone(BERLIN):%A %d %B %Y, %H:%M}"


# A promise by the clock on the wall: the staff meets at 06:15.
with DAG(
    "opening_report",
    description="What the shop must know before it opens",
    # TODO: 06:00 in Berlin, from Monday to Friday
    catchup=False,
):
    start()

# A promise by the stopwatch: the supplier hangs up after two hours.
with DAG(
    "stock_sync",
    description="What the supplier has in stock",
    # TODO: two hours after the run before, whatever the clock on the wall does
    catchup=False,
):
    start()

# A promise to the auditor: the same time each night.
with DAG(
    "close_day",
    description="The day's books, closed",
    # TODO: once a night, at a time of your choice that every night of the year has, once
    catchup=False,
):
    start()
