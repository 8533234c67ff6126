"""The criteria of 07-dst-safe-schedule."""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from windtunnel.check import points

BERLIN = "Europe/Berlin"
DAGS = ["close_day", "opening_report", "stock_sync"]
# Judged from the first Monday on: what a schedule does on its very first days is not what is asked.
FIRST, LAST = date(2026, 1, 5), date(2026, 12, 31)
YEAR = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
# The weekends on which the clocks change, and one on which they do not.
WEEKENDS = [("2026-03-28", "2026-03-31"), ("2026-07-04", "2026-07-07"), ("2026-10-24", "2026-10-27")]
NIGHTS = {
    "2026-03-29": "That night the clock goes from 01:59 to 03:00, and there is no 02:30.",
    "2026-10-25": "That night the clock goes from 02:59 back to 02:00.",
}


def of_the_year(submission, dag_id):
    """The moments at which a DAG is started in 2026, by Berlin's clocks."""
    runs = submission.planned(dag_id, f"{FIRST}", f"{LAST + timedelta(days=1)}", zone=BERLIN)
    assert runs, (
        f"{dag_id} has no run from {named(FIRST)} to {named(LAST)}. Without a schedule a DAG waits for somebody to "
        "start it; with a start_date that lies later it waits for that day."
    )
    return [run.run_after for run in runs]


def named(day):
    """A day as people say it."""
    return f"{day:%A %-d %B %Y}"


def some(days):
    """The first three of some days, and how many there are."""
    more = f" and {len(days) - 3} more" if len(days) > 3 else ""
    return ", ".join(map(named, days[:3])) + more


@points(1)
def test_three_dags(submission):
    """There are the three DAGs, each with a task, and none catches up on what it has missed"""
    dags = submission.dags
    assert sorted(dags) == DAGS, (
        f"Your file has the DAGs {', '.join(dags)}; it was to have {', '.join(DAGS)}."
    )
    empty = [dag_id for dag_id, dag in dags.items() if not dag.tasks]
    assert not empty, f"{', '.join(empty)} has no task: a run of it would be green and do nothing."
    catching_up = [dag_id for dag_id, dag in dags.items() if dag.catchup]
    assert not catching_up, (
        f"{', '.join(catching_up)} catches up. Unpaused after a holiday of two weeks it would start all the runs of "
        "those weeks, and the staff would find a pile of reports on mornings long gone."
    )


@points(2)
def test_report_on_working_days(submission):
    """The report is made once on each day from Monday to Friday, and on no other"""
    seen = Counter(moment.date() for moment in of_the_year(submission, "opening_report"))
    twice = [day for day, count in seen.items() if count > 1]
    assert not twice, (
        f"opening_report runs {seen[twice[0]]} times on {some(twice)}. Two schedules, one for summer and one for "
        "winter, both hold all year."
    )
    weekend = [day for day in seen if day.weekday() > 4]
    assert not weekend, (
        f"opening_report runs on {some(weekend)}; the shop is closed. In cron's last field 0 and 7 are Sunday, "
        "1 is Monday and 6 is Saturday; a schedule without that field runs every day."
    )
    missing = [day for day in YEAR if day.weekday() < 5 and day not in seen]
    assert not missing, (
        f"opening_report does not run on {some(missing)}. The shop is open from Monday to Friday."
    )


@points(3)
def test_report_at_six(submission):
    """The report is started at 06:00 by the clocks of Berlin, in winter, in summer, and on the Mondays between"""
    moments = of_the_year(submission, "opening_report")
    wrong = [moment for moment in moments if f"{moment:%H:%M}" != "06:00"]
    if wrong:
        first, right = wrong[0], len(moments) - len(wrong)
        utc = first.astimezone(ZoneInfo("UTC"))
        raise AssertionError(
            f"On {named(first)} opening_report starts at {first:%H:%M} in Berlin ({utc:%H:%M} UTC) instead of 06:00. "
            f"Of its {len(moments)} runs {right} are on time. Berlin is one hour ahead of UTC in winter and two "
            "in summer: only a schedule that knows the place, and not just an offset, is on time in both."
        )


@points(3)
def test_stock_every_two_hours(submission):
    """The stock is fetched every two hours by the stopwatch, also on the nights on which the clocks change"""
    for first, last in WEEKENDS:
        moments = [run.run_after for run in submission.planned("stock_sync", first, last, zone=BERLIN)]
        assert len(moments) > 2, (
            f"stock_sync has {len(moments)} runs from {first} to {last}; every two hours makes 35."
        )
        for one, other in pairwise(moments):
            # Of two moments in one zone Python subtracts what the clocks show, not the time between.
            hours = (other.timestamp() - one.timestamp()) / 3600
            night = NIGHTS.get(f"{other:%Y-%m-%d}", "Not even a clock changes there.")
            assert hours == 2, (
                f"stock_sync runs at {one:%H:%M (%Z) on %A}, and then at {other:%H:%M (%Z)} on {named(other)}. That "
                f"takes {hours:g} h instead of 2 h. {night} The supplier hangs up when it takes longer, and refuses a "
                "call that comes sooner: it has a stopwatch and no calendar."
            )


@points(2)
def test_books_once_a_night(submission):
    """The books are closed once every night, between 01:00 and 04:00 by the clocks of Berlin"""
    moments = of_the_year(submission, "close_day")
    outside = [moment for moment in moments if not 1 <= moment.hour < 4]
    assert not outside, (
        f"close_day runs at {outside[0]:%H:%M} on {named(outside[0])}. Before 01:00 the last sales are on their way, "
        "and at 04:00 the auditor's program reads the books."
    )
    seen = Counter(moment.date() for moment in moments)
    wrong = [day for day in YEAR if seen[day] != 1]
    assert not wrong, (
        f"close_day runs {seen[wrong[0]]} times in the night of {some(wrong)}. Each day is closed once."
    )


@points(3)
def test_books_at_the_same_time(submission):
    """The books are closed at the same time every night, by the clocks of Berlin"""
    moments = of_the_year(submission, "close_day")
    times = Counter(f"{moment:%H:%M}" for moment in moments)
    usual, count = times.most_common(1)[0]
    other = [moment for moment in moments if f"{moment:%H:%M}" != usual]
    if other:
        first = other[0]
        raise AssertionError(
            f"close_day runs at {usual} on {count} nights and at {first:%H:%M} on {named(first)}. "
            f"{NIGHTS.get(f'{first:%Y-%m-%d}', '')} Airflow leaves no run out when its time does not exist: "
            "it makes it later. Choose a time that every night has, and keep it by the clocks of Berlin."
        )
