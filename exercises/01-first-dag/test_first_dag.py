"""The criteria of 01-first-dag."""

import json
from itertools import pairwise

from windtunnel.check import points
from windtunnel.evidence import Case

DATE = "2026-03-02"  # the run's own date
DAY = "2026-03-01"  # the day it reports on
TASKS = ["fetch_orders", "add_up", "write_report"]


def shop(*orders):
    """A dataset of (day, status, euros)."""
    return {
        "orders": [
            {
                "order_id": f"O{n}",
                "customer_id": f"C{n}",
                "order_date": day,
                "status": status,
                "total_amount": euros,
            }
            for n, (day, status, euros) in enumerate(orders, start=1)
        ]
    }


# Four days. As floats, the completed amounts of 1 March add up to 113.50000000000001, in whatever order.
WEEKEND = shop(
    ("2026-02-27", "completed", 900.0),
    ("2026-02-28", "completed", 12.5),
    ("2026-02-28", "completed", 30.0),
    (DAY, "completed", 16.01),
    (DAY, "cancelled", 500.0),
    (DAY, "completed", 33.2),
    (DAY, "refunded", 45.0),
    (DAY, "completed", 64.29),
    (DATE, "completed", 7.0),
)
SUNDAY = {
    "day": DAY,
    "orders": 5,
    "revenue": 113.5,
    "by_status": {"completed": 3, "cancelled": 1, "refunded": 1},
}
SATURDAY = {
    "day": "2026-02-28",
    "orders": 2,
    "revenue": 42.5,
    "by_status": {"completed": 2, "cancelled": 0, "refunded": 0},
}
NOBODY_BOUGHT = {
    "day": DAY,
    "orders": 0,
    "revenue": 0,
    "by_status": {"completed": 0, "cancelled": 0, "refunded": 0},
}


def report_of(day):
    """Where the report on ``day`` must be."""
    return f"daily_orders/{day}/report.json"


def compare(report, expected, why):
    """Assert that the report says what is expected, naming each entry that does not."""
    report = report if isinstance(report, dict) else {}
    wrong = [
        f"{key} is {json.dumps(report[key]) if key in report else 'missing'} instead of {json.dumps(value)}"
        for key, value in expected.items()
        if report.get(key) != value
    ]
    assert not wrong, f"In the report on {expected['day']}, {'; '.join(wrong)}. {why}"


@points(1)
def test_three_tasks_in_order(submission):
    """The DAG daily_orders has the three tasks, and each waits for the one before it"""
    dag = submission.dag
    assert dag.dag_id == "daily_orders", f"The DAG is called {dag.dag_id}; it was to be daily_orders."
    missing = [task_id for task_id in TASKS if task_id not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    for first, then in pairwise(TASKS):
        assert first in dag.before(then), (
            f"{then} does not wait for {first}. The order of lines in a file means nothing: without that arrow "
            "it may start first."
        )


@points(1)
def test_schedule(submission):
    """It runs daily at 02:00 UTC from 1 January 2026 on, and does not catch up"""
    dag = submission.dag
    assert dag.schedule == "0 2 * * *", (
        f"The schedule is {dag.schedule!r}; daily at 02:00 is '0 2 * * *' (minute, hour, and three times any)."
    )
    assert (dag.start_date or "").startswith("2026-01-01"), (
        f"start_date is {dag.start_date}, expected 2026-01-01. It says from which day on there are runs at all; "
        "for a day before it, Airflow makes a run without tasks, and calls it a success."
    )
    assert not dag.catchup, (
        "catchup is on: the moment the DAG is switched on, every night since start_date would run."
    )


@points(3)
def test_the_numbers(submission):
    """The report counts every order of the day, and adds up what the completed ones brought"""
    run = submission.run(DATE, WEEKEND).succeeded()
    compare(
        run.json(report_of(DAY)),
        SUNDAY,
        f"Five orders were placed on {DAY}: 16.01, 33.20 and 64.29 EUR completed, 500 cancelled, 45 refunded.",
    )
    quiet = submission.run(DATE, shop()).succeeded()
    compare(
        quiet.json(report_of(DAY)),
        NOBODY_BOUGHT,
        "The shop did answer, and nobody had bought anything: that is known, and is a report like any other.",
    )


@points(2)
def test_the_day_before_the_runs_own(submission):
    """A run reports on the day before its own date, whenever and however it is started"""
    run = submission.run("2026-03-01", WEEKEND).succeeded()
    why = "A run for 2026-03-01 is about the day before: start is that day, and end the one after it."
    compare(run.json(report_of("2026-02-28")), SATURDAY, why)
    manual = submission.run(DATE, WEEKEND, manual=True).succeeded()
    compare(manual.json(report_of(DAY)), SUNDAY, f"A manual run triggered on {DATE} is about the day before.")


@points(1)
def test_a_second_run_replaces_the_first(submission):
    """A second run for a date leaves one report, that of the second run"""
    corrected = shop((DAY, "completed", 20.0), (DAY, "refunded", 80.0))
    once, again = submission.runs(Case(DATE, WEEKEND), Case(DATE, corrected))
    once.text(report_of(DAY))
    again.succeeded()
    more = sorted(set(again.files) ^ set(once.files))
    assert not more, (
        f"The second run for {DATE} left other files than the first: {', '.join(more)}. Who asks for the report "
        "on a day must find one, not choose one."
    )
    try:
        report = json.loads(again.files[report_of(DAY)])
    except ValueError:  # two reports, one behind the other
        report = " ".join(again.files[report_of(DAY)].split())
    expected = {"orders": 2, "revenue": 20}
    seen = {key: report.get(key) for key in expected} if isinstance(report, dict) else report
    assert seen == expected, (
        f"The shop corrected its orders and the run was repeated; the report then says {seen} instead of "
        f"{expected}. A repeated run must replace what the first one wrote, not add to it and not keep it."
    )


@points(2)
def test_trouble_at_the_shop(submission):
    """A shop that does not answer is asked again, twice; without a usable answer the run fails and reports nothing"""
    hiccup = {"endpoint": "orders", "status": 503, "times": 2}
    [shaky] = submission.runs(Case(DATE, WEEKEND, faults=(hiccup,)))
    assert shaky.state == "success", (
        f"The shop answered two requests with 503 and would have answered the third, but {shaky.outcome}. "
        "Trouble that goes away by itself needs two retries, and nobody who gets up."
    )
    compare(
        shaky.json(report_of(DAY)),
        SUNDAY,
        "The shop answered two requests with 503 and the third with its orders. An error is not an answer.",
    )
    down = {"endpoint": "orders", "status": 503}
    [dark] = submission.runs(Case(DATE, WEEKEND, faults=(down,)))
    refuse_report(dark, "the shop answered every request with 503")
    assert dark.tries.get("fetch_orders") == 3, (
        f"fetch_orders was tried {dark.tries.get('fetch_orders')} times at a shop that is down; asked for are one "
        "try and two retries. Without a limit it never gets red, and with too low a one every hiccup does."
    )
    renamed = {"endpoint": "orders", "rename": {"total_amount": "amount"}}
    [changed] = submission.runs(Case(DATE, WEEKEND, faults=(renamed,)))
    refuse_report(changed, "the shop's orders had no total_amount any more")


def refuse_report(run, trouble):
    """Assert that the run failed and left no report."""
    said = run.files.get(report_of(DAY))
    assert said is None, (
        f"When {trouble}, the run ended {run.state} and left this report: {' '.join(said.split())} "
        "Nobody can tell it from a true one. What is not known must not be reported."
    )
    assert run.state == "failed", (
        f"When {trouble}, the run ended {run.state}. There is no report, and the run says that all is well: "
        "nobody will look."
    )
