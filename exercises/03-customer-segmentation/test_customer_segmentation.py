"""The criteria of 03-customer-segmentation."""

import json
from collections import Counter
from itertools import pairwise

from windtunnel.check import points
from windtunnel.evidence import Case

DAY = "2026-03-02"  # a Monday
WEEK_LATER = "2026-03-09"
ORDER = ["extract_customers", "extract_transactions", "validate_data", "calculate_rfm", "segment_customers"]
FILES = ["customers.csv", "transactions.csv", "rfm.csv", "segments.csv", "report.json"]
RFM = [
    "customer_id",
    "recency",
    "frequency",
    "monetary",
    "recency_score",
    "frequency_score",
    "monetary_score",
]
SEGMENTS = ["At Risk", "New Customers", "High Value", "Regular"]

# What happened to eighteen customers, and what a run for 2026-03-02 must make of it, worked out by hand:
# customer, registered, purchases; recency (days), frequency, monetary (euros), segment.
# The top fifth of 18 customers is 4: 5000, 2000, 900, and 500 twice, a tie at the cut.
STORIES = [
    ("spends-900", "2024-02-01", {"2025-10-10": 300, "2026-01-15": 300, "2026-02-28": 300}, 2, 3, 900, "High Value"),
    ("spends-500", "2024-02-01", {"2026-01-01": 250, "2026-02-01": 250}, 29, 2, 500, "High Value"),
    ("spends-500-too", "2024-02-01", {"2025-12-24": 100, "2026-02-20": 400}, 10, 2, 500, "High Value"),
    ("spends-100", "2024-02-01", {"2025-11-01": 60, "2026-02-25": 40}, 5, 2, 100, "Regular"),
    ("89-days-ago", "2024-02-01", {"2025-11-01": 30, "2025-12-03": 30}, 89, 2, 60, "Regular"),
    ("90-days-ago", "2024-02-01", {"2025-11-01": 30, "2025-12-02": 30}, 90, 2, 60, "At Risk"),
    ("400-days-ago", "2024-02-01", {"2024-09-01": 20, "2025-01-26": 20}, 400, 0, 0, "At Risk"),
    ("rich-but-gone", "2024-02-01", {"2025-06-01": 2500, "2025-11-02": 2500}, 120, 2, 5000, "At Risk"),
    ("once-and-large", "2026-02-10", {"2026-02-10": 2000}, 20, 1, 2000, "New Customers"),
    ("once", "2025-12-20", {"2025-12-22": 45}, 70, 1, 45, "New Customers"),
    ("once-long-ago", "2025-08-14", {"2025-08-14": 80}, 200, 1, 80, "At Risk"),
    ("once-this-year", "2024-02-01", {"2024-12-01": 70, "2026-02-20": 30}, 10, 1, 30, "Regular"),
    ("a-year-ago", "2024-02-01", {"2025-03-01": 1000, "2025-03-02": 40, "2026-02-25": 10}, 5, 2, 50, "Regular"),
    ("buys-tomorrow", "2025-12-30", {"2026-01-01": 10, "2026-02-10": 10, DAY: 9999, "2026-03-03": 9999},
     20, 2, 20, "Regular"),
    ("never-bought", "2026-02-20", {}, 10, 0, 0, "Regular"),
    ("never-in-89-days", "2025-12-03", {}, 89, 0, 0, "Regular"),
    ("never-in-90-days", "2025-12-02", {}, 90, 0, 0, "At Risk"),
    ("never-in-a-year", "2025-03-02", {}, 365, 0, 0, "At Risk"),
]  # fmt: skip
NOT_YET = ("registers-today", DAY, {})


def shop(*customers):
    """A dataset of (customer_id, registered, {day: amount})."""
    sales = [(customer_id, day, amount) for customer_id, _, buys in customers for day, amount in buys.items()]
    return {
        "customers": [
            {"customer_id": name, "registration_date": registered, "email": f"{name}@example.com"}
            for name, registered, _ in customers
        ],
        "transactions": [
            {"transaction_id": f"T{n}", "customer_id": name, "amount": amount, "transaction_date": day}
            for n, (name, day, amount) in enumerate(sales, start=1)
        ],
    }


STREET = shop(*(story[:3] for story in STORIES), NOT_YET)

# Seven of ten customers never bought and registered together: three quarters of everything is a tie.
TIED = shop(
    *((f"quiet-{n}", "2026-01-01", {}) for n in range(1, 8)),
    ("third", "2026-01-01", {"2026-01-10": 10, "2026-02-02": 10}),
    ("second", "2026-01-01", {"2026-01-10": 10, "2026-01-11": 10, "2026-02-12": 10}),
    ("first", "2026-01-01", {"2026-01-10": 10, "2026-01-11": 10, "2026-01-12": 10, "2026-02-22": 10}),
)

SPOILT = {
    "customers": [
        {"customer_id": "C1", "registration_date": "2025-01-01", "email": "c1@example.com"},
        {"customer_id": "C2", "registration_date": "2025-01-01", "email": "c2@example.com"},
        {"customer_id": "C2", "registration_date": "2025-01-01", "email": "c2@example.com"},
        {"customer_id": "C3", "registration_date": "2025-01-01", "email": None},
    ],
    "transactions": [
        {"transaction_id": "T1", "customer_id": "C1", "amount": 10, "transaction_date": "2026-01-01"},
        {"transaction_id": "T2", "customer_id": "C1", "amount": None, "transaction_date": "2026-01-02"},
        {"transaction_id": "T3", "customer_id": "C1", "amount": 10, "transaction_date": "2026-01-03"},
        {"transaction_id": "T3", "customer_id": "C1", "amount": 10, "transaction_date": "2026-01-03"},
        {"transaction_id": "T4", "customer_id": "C1", "amount": -5, "transaction_date": "2026-01-04"},
        {"transaction_id": "T5", "customer_id": "C1", "amount": 0, "transaction_date": "2026-01-05"},
        {"transaction_id": "T6", "customer_id": "C9", "amount": 10, "transaction_date": "2026-01-06"},
    ],
}
SPOILT_IDS = {
    "C2": "a customer listed twice",
    "C3": "a customer without an email",
    "T2": "an amount that is missing",
    "T3": "a transaction listed twice",
    "T4": "a negative amount",
    "T5": "an amount of 0",
    "T6": "a transaction of a customer nobody knows",
}


def at(day, file):
    """Where a run for ``day`` must leave ``file``."""
    return f"segmentation/{day}/{file}"


def by_customer(run, day, file, *columns):
    """The rows of a CSV file by customer_id."""
    return {row["customer_id"]: row for row in run.rows(at(day, file), "customer_id", *columns)}


def compare(rows, column, expected, why):
    """Assert that ``column`` is as ``expected`` ({customer_id: value}), naming up to four customers."""
    wrong = []
    for customer_id, value in expected.items():
        seen = rows.get(customer_id, {}).get(column, "no row")
        try:
            same = seen == value if isinstance(value, str) else abs(float(seen) - value) < 0.005
        except ValueError:
            same = False
        if not same:
            wrong.append(f"{customer_id} has {seen or 'nothing'} instead of {value}")
    more = f", and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    assert not wrong, f"{column}: {'; '.join(wrong[:4])}{more}. {why}"


@points(2)
def test_six_tasks_in_order(submission):
    """The DAG has the six tasks, and each waits for what it needs"""
    dag = submission.dag
    assert dag.dag_id == "customer_segmentation_pipeline", (
        f"The DAG is called {dag.dag_id}; others look for it as customer_segmentation_pipeline."
    )
    tasks = [*ORDER, "generate_report"]
    missing = [task_id for task_id in tasks if task_id not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    pairs = [(ORDER[0], ORDER[2]), *pairwise(tasks[1:])]
    for first, then in pairs:
        assert first in dag.before(then), (
            f"{then} does not wait for {first}. Without that edge it may start first, and read last week's file."
        )


@points(1)
def test_schedule(submission):
    """It runs on Mondays at 06:00, does not catch up, and tries each task again twice"""
    dag = submission.dag
    assert dag.schedule == "0 6 * * 1", f"The schedule is {dag.schedule!r}; Mondays at 06:00 is '0 6 * * 1'."
    assert not dag.catchup, (
        "catchup is on: the day it is switched on, every Monday since start_date would run."
    )
    hasty = [task_id for task_id, task in dag.tasks.items() if task.retries != 2]
    assert not hasty, (
        f"{', '.join(hasty)} has not 2 retries: one hiccup of the shop would end the week's run."
    )


@points(2)
def test_files_of_a_run(submission):
    """A run leaves its five files under segmentation/<date>"""
    run = submission.run(DAY).succeeded()
    missing = [at(DAY, file) for file in FILES if at(DAY, file) not in run.files]
    assert not missing, (
        f"The run for {DAY} left no {', '.join(missing)}; it left {', '.join(run.files) or 'nothing'}. The date "
        "in the path is the run's own, not the day on which the run happens to be made."
    )
    run.rows(at(DAY, "customers.csv"), "customer_id", "registration_date", "email")
    run.rows(at(DAY, "transactions.csv"), "transaction_id", "customer_id", "amount", "transaction_date")
    run.rows(at(DAY, "rfm.csv"), *RFM)
    run.rows(at(DAY, "segments.csv"), "customer_id", "segment")


@points(2)
def test_only_paths_through_xcom(submission):
    """Tasks hand on paths, not tables"""
    run = submission.run(DAY).succeeded()
    large = [xcom for xcom in run.xcoms if xcom.size > 1000]
    assert not large, (
        f"{large[0].task_id} hands on {large[0].size:,} bytes; a path is under 200. XComs live in Airflow's own "
        "database, and every reader of the run pays for them."
    )


@points(3)
def test_the_future_is_not_seen(submission):
    """A run sees only what happened before its date"""
    for day, data in ((DAY, None), (DAY, STREET)):
        run = submission.run(day, data)
        for file, column in (
            ("transactions.csv", "transaction_date"),
            ("customers.csv", "registration_date"),
        ):
            late = [row[column] for row in run.rows(at(day, file), column) if row[column][:10] >= day]
            assert not late, (
                f"The run for {day} has {len(late)} rows in {file} from {min(late)} to {max(late)}. "
                f"It must know nothing from {day} on: otherwise last week's run, repeated today, "
                "gives another result than it gave last week."
            )


@points(2)
def test_every_customer(submission):
    """Every customer has a row, also those who never bought"""
    run = submission.run(DAY, STREET)
    for file in ("rfm.csv", "segments.csv"):
        seen = Counter(row["customer_id"] for row in run.rows(at(DAY, file), "customer_id"))
        expected = {story[0] for story in STORIES}
        missing = sorted(expected - set(seen))
        assert not missing, (
            f"{file} lacks {len(missing)} of {len(expected)} customers: {', '.join(missing)}. Those who never "
            "bought are whom marketing asks about first."
        )
        twice = sorted(customer_id for customer_id, count in seen.items() if count > 1)
        assert not twice, f"{file} lists {', '.join(twice)} more than once."


@points(2)
def test_recency(submission):
    """Recency is whole days from the last purchase ever, or from registration, to the run's date"""
    rows = by_customer(submission.run(DAY, STREET), DAY, "rfm.csv", "recency")
    bought = {story[0]: story[3] for story in STORIES if story[2]}
    compare(
        rows, "recency", bought, f"Count from the last purchase ever to {DAY}, the run's date, never to now."
    )
    never = {story[0]: story[3] for story in STORIES if not story[2]}
    compare(rows, "recency", never, "Who never bought is counted from the day of registration.")


@points(2)
def test_twelve_months(submission):
    """Frequency and monetary look at the 12 months before the run's date"""
    rows = by_customer(submission.run(DAY, STREET), DAY, "rfm.csv", "frequency", "monetary")
    why = f"The window is from 2025-03-02, included, to {DAY}, excluded; outside it nothing counts."
    compare(rows, "frequency", {story[0]: story[4] for story in STORIES}, why)
    compare(rows, "monetary", {story[0]: story[5] for story in STORIES}, why)


@points(2)
def test_scores_survive_ties(submission):
    """Scores go from 1 to 5, more is better, and equal values get equal scores"""
    run = submission.run(DAY, TIED).succeeded()
    rows = by_customer(run, DAY, "rfm.csv", *RFM)
    # Out of ten, `third` is better than 7 (3.5 fifths), `second` than 8, `first` than 9.
    expected = {"first": 5, "second": 5, "third": 4} | {f"quiet-{n}": 1 for n in range(1, 8)}
    why = (
        "A score is 1, plus 1 for each full fifth of all customers whose value is worse; a tie is not worse."
    )
    for column in ("recency_score", "frequency_score", "monetary_score"):
        compare(rows, column, expected, why)


@points(4)
def test_segments(submission):
    """Each customer is in the first segment whose rule fits"""
    rows = by_customer(submission.run(DAY, STREET), DAY, "segments.csv", "segment")
    compare(
        rows,
        "segment",
        {story[0]: story[6] for story in STORIES},
        "In this order: no purchase in 90 days or more, exactly one purchase ever, top 20 % by monetary, the rest.",
    )


@points(1)
def test_a_shop_without_sales(submission):
    """A shop that has sold nothing yet is no error, and nobody is High Value for spending nothing"""
    data = shop(("new", "2026-02-20", {}), ("newer", "2026-02-21", {}))
    run = submission.run(DAY, data).succeeded()
    rows = by_customer(run, DAY, "segments.csv", "segment")
    compare(rows, "segment", {"new": "Regular", "newer": "Regular"}, "The top 20 % of nothing is nothing.")


@points(3)
def test_bad_data_stops_the_run(submission):
    """Data unfit for use fails validate_data, which names every problem, and nothing after it runs"""
    run = submission.run(DAY, SPOILT)
    state = run.tasks.get("validate_data")
    if state in (None, "upstream_failed"):
        run.succeeded()  # it did not get that far
    assert state == "failed", (
        f"validate_data ended {state} on data with {len(SPOILT_IDS)} kinds of defects, and {run.outcome}. A warning in "
        "a log stops nothing: only an exception keeps bad numbers out of the report."
    )
    error = run.errors["validate_data"]
    unnamed = [
        f"{customer_id} ({what})" for customer_id, what in SPOILT_IDS.items() if customer_id not in error
    ]
    assert not unnamed, (
        f"The message does not name {', '.join(unnamed)}. It says: {error} "
        "Name them all at once: whoever mends the data should not need seven runs to find seven defects."
    )
    ran = [task_id for task_id in ("calculate_rfm", "generate_report") if run.tasks.get(task_id) == "success"]
    assert not ran, f"{', '.join(ran)} ran although validate_data had failed."


@points(2)
def test_a_second_run_replaces_the_first(submission):
    """A second run of a date leaves what a first run would have left, and other dates alone"""
    before = shop(("stays", "2025-01-01", {"2026-02-01": 10}), ("asks-to-be-forgotten", "2025-01-01", {}))
    after = shop(("stays", "2025-01-01", {"2026-02-01": 25}))
    once, again = submission.runs(Case(DAY, before), Case(DAY, after))
    once.succeeded()
    replaces = "a repeated run must replace what the first one wrote"
    assert again.state == "success", f"Made a second time, {again.outcome}. But {replaces}, not add to it."
    assert set(again.files) == set(once.files), (
        f"The second run for {DAY} left other files than the first: {sorted(set(again.files) ^ set(once.files))}."
    )
    seen = [(row["customer_id"], float(row["monetary"])) for row in again.rows(at(DAY, "rfm.csv"), *RFM)]
    assert seen == [("stays", 25.0)], (
        f"After the shop corrected its data and the run was repeated, rfm.csv holds {seen} "
        f"instead of [('stays', 25.0)]: {replaces}."
    )
    later, earlier = submission.runs(Case(WEEK_LATER, STREET), Case(DAY, STREET))
    changed = [path for path, text in later.files.items() if earlier.files.get(path) != text]
    assert not changed, (
        f"The run for {DAY} changed {', '.join(changed)}: a backfill must leave other weeks alone."
    )


@points(2)
def test_a_run_without_a_logical_date(submission):
    """A run that somebody triggers by hand works like any other"""
    run = submission.run(WEEK_LATER, STREET, manual=True).succeeded()
    rows = by_customer(run, WEEK_LATER, "rfm.csv", "recency")
    compare(rows, "recency", {"spends-900": 9}, f"A manual run triggered on {WEEK_LATER} is for that day.")


@points(2)
def test_the_report(submission):
    """The report counts every customer and every euro once"""
    report = submission.run(DAY, STREET).json(at(DAY, "report.json"))
    total = sum(story[5] for story in STORIES)
    for key, expected in (("run_date", DAY), ("customers", len(STORIES)), ("revenue_12m", total)):
        assert report.get(key) == expected, (
            f"report.json says {key} is {report.get(key)}, expected {expected}."
        )
    entries = {entry["name"]: entry for entry in report["segments"]}
    assert sorted(entries) == sorted(SEGMENTS), (
        f"The report has the segments {', '.join(entries)}; expected {', '.join(SEGMENTS)}."
    )
    for name, entry in entries.items():
        members = [story for story in STORIES if story[6] == name]
        revenue = sum(story[5] for story in members)
        expected = {
            "customers": len(members),
            "revenue": revenue,
            "revenue_share": round(revenue / total, 4),
            "mean_recency": round(sum(story[3] for story in members) / len(members), 1),
        }
        seen = {key: entry.get(key) for key in expected}
        assert seen == expected, (
            f"The report says of {name}: {json.dumps(seen)}; expected {json.dumps(expected)}."
        )
    quiet = submission.run(DAY, TIED).json(at(DAY, "report.json"))
    empty = [entry["name"] for entry in quiet["segments"] if entry["customers"] == 0]
    assert "New Customers" in empty, (
        "A segment without customers must still be in the report, with 0 customers: whoever reads it cannot "
        "tell a missing line from a forgotten one."
    )
