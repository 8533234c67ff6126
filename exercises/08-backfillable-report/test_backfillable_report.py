"""The criteria of 08-backfillable-report."""

import json

from windtunnel.check import points
from windtunnel.evidence import Case

# A run's date, and the report it must leave: on the day before. Worked out by hand from SALES and JOINED.
REPORTS = {
    "2026-03-01": ("2026-02-28", 2, 42.5, 12.5, 972.5, 2),
    "2026-03-02": ("2026-03-01", 3, 113.5, 71.0, 113.5, 3),
    "2026-03-03": ("2026-03-02", 2, 87.25, -26.25, 200.75, 4),
    "2026-03-04": ("2026-03-03", 0, 0, -87.25, 200.75, 4),
}
COLUMNS = ["day", "orders", "revenue", "change", "month_to_date", "customers"]
WHY = {
    "day": "A run reports on the day before its own date.",
    "orders": "Completed orders of that day are counted.",
    "revenue": "It is what the day's completed orders brought, rounded to cents.",
    "change": "It compares the day with the one before it, also when that was in another month, and also when "
    "nobody ever made a report on it.",
    "month_to_date": "It goes from the first of the day's own month to the day, whatever ran before.",
    "customers": "It counts those who had registered by the end of the day, and none who came later.",
}
DATE = "2026-03-02"

SALES = [
    ("2026-01-31", "completed", 400.0),
    ("2026-02-26", "completed", 900.0),
    ("2026-02-27", "completed", 30.0),
    ("2026-02-28", "completed", 12.5),
    ("2026-02-28", "cancelled", 99.0),
    ("2026-02-28", "completed", 30.0),
    # As floats, these add up to 113.50000000000001.
    ("2026-03-01", "completed", 16.01),
    ("2026-03-01", "completed", 33.2),
    ("2026-03-01", "refunded", 45.0),
    ("2026-03-01", "completed", 64.29),
    ("2026-03-02", "completed", 7.0),
    ("2026-03-02", "completed", 80.25),
    ("2026-03-04", "completed", 5.0),
]
JOINED = ["2026-01-05", "2026-02-28", "2026-03-01", "2026-03-02", "2026-03-05"]


def shop(sales, joined):
    """A dataset of these orders and customers."""
    return {
        "orders": [
            {
                "order_id": f"O{n}",
                "customer_id": f"C{n}",
                "order_date": day,
                "status": status,
                "total_amount": euros,
            }
            for n, (day, status, euros) in enumerate(sales, start=1)
        ],
        "customers": [
            {
                "customer_id": f"C{n}",
                "registration_date": day,
                "email": f"c{n}@example.org",
                "name": f"Customer {n}",
                "country": "DE",
                "acquisition_channel": "search",
            }
            for n, day in enumerate(joined, start=1)
        ],
    }


WORLD = shop(SALES, JOINED)
# A month later: more orders and customers, and not one of them concerns the days before.
LATER = shop([*SALES, ("2026-03-09", "completed", 60.0)], [*JOINED, "2026-04-01", "2026-04-02"])
CORRECTED = shop([(*sale[:2], 20.0) if sale[0] == "2026-03-01" else sale for sale in SALES], JOINED)


def report_of(date):
    """Where the report of the run for ``date`` must be."""
    return f"daily_sales/{REPORTS[date][0]}/report.json"


def compare(run, date, how):
    """Assert that the run left the report that is due on ``date``, naming each number that is not right."""
    report = run.json(report_of(date))
    report = report if isinstance(report, dict) else {}
    expected = dict(zip(COLUMNS, REPORTS[date], strict=True))
    wrong = [name for name in COLUMNS if report.get(name) != expected[name]]
    if wrong:
        told = "; ".join(
            f"{name} is {json.dumps(report[name]) if name in report else 'missing'} instead of "
            f"{json.dumps(expected[name])}"
            for name in wrong
        )
        raise AssertionError(f"In the report on {expected['day']}, {how}, {told}. {WHY[wrong[0]]}")


@points(2)
def test_the_dag(submission):
    """The DAG daily_sales runs daily at 06:00 UTC from 1 January 2026 on, and makes up for missed mornings"""
    dag = submission.dag
    assert dag.dag_id == "daily_sales", f"The DAG is called {dag.dag_id}; it was to be daily_sales."
    assert dag.schedule == "0 6 * * *", (
        f"The schedule is {dag.schedule!r}; it was to stay '0 6 * * *', daily at 06:00 UTC."
    )
    assert (dag.start_date or "").startswith("2026-01-01"), (
        f"start_date is {dag.start_date}, expected 2026-01-01: the first morning that is made up for."
    )
    assert dag.catchup, (
        "catchup is off, so mornings that were missed have no report. It is an argument of the DAG: in "
        "default_args, which are for tasks, Airflow ignores it and does not say so."
    )


@points(4)
def test_each_run_is_about_its_own_day(submission):
    """A run for any date, alone in an empty folder, leaves the right report on the day before"""
    for date in REPORTS:
        compare(submission.run(date, WORLD).succeeded(), date, "made by a single run in an empty folder")


@points(3)
def test_in_any_order(submission):
    """Forwards, backwards or shuffled: the same reports"""
    first, second, third, fourth = REPORTS
    orders = {
        "oldest first": [first, second, third, fourth],
        "newest first": [fourth, third, second, first],
        "in no order": [third, first, fourth, second],
    }
    for name, dates in orders.items():
        runs = submission.runs(*(Case(date, WORLD) for date in dates))
        for run in runs:
            assert run.state == "success", (
                f"Made {name}, {run.outcome}. A backfill may run any date before or after any other."
            )
        missing = [report_of(date) for date in REPORTS if report_of(date) not in runs[-1].files]
        assert not missing, (
            f"Four dates ran, {name}, and in the end there is no {', '.join(missing)}; there is "
            f"{', '.join(runs[-1].files) or 'nothing'}. Each date has a report of its own."
        )
        for date in dates:
            compare(runs[-1], date, f"when the dates ran {name}")


@points(3)
def test_made_again(submission):
    """A report made again is the same, byte for byte; after a correction at the shop, it is the new one"""
    once, again = submission.runs(Case(DATE, WORLD), Case(DATE, LATER))
    before, after = once.text(report_of(DATE)), again.succeeded().text(report_of(DATE))
    assert after == before, (
        f"The run for {DATE} was made again a month later, and its report changed from {' '.join(before.split())} to "
        f"{' '.join(after.split())}. Nothing had changed on that day: whatever differs comes from the clock, from what "
        "the first run left, or from later days."
    )
    more = sorted(set(again.files) ^ set(once.files))
    assert not more, (
        f"The second run for {DATE} left other files than the first: {', '.join(more)}. Names that differ "
        "from run to run fill the disk, and nobody knows which of them counts."
    )
    _, corrected = submission.runs(Case(DATE, WORLD), Case(DATE, CORRECTED))
    report = corrected.succeeded().json(report_of(DATE))
    seen = report.get("revenue") if isinstance(report, dict) else report
    assert seen == 60.0, (
        f"The shop corrected its orders of 2026-03-01 to 3 times 20 EUR and the run was made again; the report "
        f"says revenue {seen} instead of 60.0. A second run must ask again, and replace what the first one wrote."
    )


@points(2)
def test_by_hand(submission):
    """A run started by hand, without a logical date, is about the day before its run_after"""
    run = submission.run(DATE, WORLD, manual=True).succeeded()
    compare(run, DATE, f"made by a run that was started by hand on {DATE}")


@points(2)
def test_side_by_side(submission):
    """A run writes into the folder of its day only, so that two runs can be under way at once"""
    run = submission.run(DATE, WORLD).succeeded()
    run.text(report_of(DATE))
    folder = report_of(DATE).removesuffix("report.json")
    elsewhere = [path for path in run.files if not path.startswith(folder)]
    assert not elsewhere, (
        f"The run for {DATE} left {', '.join(elsewhere)} outside {folder}. The run for another date writes there, "
        "too: when both are under way, one reads what the other wrote."
    )
