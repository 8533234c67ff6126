"""The criteria of 04-xcom-by-reference."""

import json
from itertools import pairwise

from windtunnel.check import points
from windtunnel.evidence import Case

DAY = "2026-03-02"
DAY_LATER = "2026-03-03"
ORDERS = ["order_id", "customer_id", "total_amount", "order_date", "status"]
FILES = {
    "orders.csv": ORDERS,
    "completed.csv": ORDERS,
    "customers.csv": ["customer_id", "orders", "revenue"],
}
NOTE = 1_000  # bytes that a task may hand on


def shop(*orders):
    """A dataset of (order, customer, amount, day, status)."""
    return {"orders": [dict(zip(ORDERS, order, strict=True)) for order in orders]}


# A week with a customer 00417 who is not 417, an order whose amount is missing, and one that was cancelled: counted,
# it would make 24 February the busiest day.
WEEK = shop(
    ("O-0", "00417", 70.0, "2026-02-22", "completed"),
    ("O-1", "00417", 120.0, "2026-02-23", "completed"),
    ("O-2", "00042", 80.5, "2026-02-24", "completed"),
    ("O-3", "00042", 500.0, "2026-02-24", "cancelled"),
    ("O-4", "00417", 99.5, "2026-02-26", "completed"),
    ("O-5", "00007", None, "2026-02-26", "completed"),
    ("O-6", "1230", 45.0, "2026-03-01", "completed"),
    ("O-7", "1230", 10.0, "2026-03-02", "completed"),
)
IN_WEEK = ["O-1", "O-2", "O-3", "O-4", "O-5", "O-6"]
COMPLETED = [order for order in IN_WEEK if order != "O-3"]
CUSTOMERS = {"00417": (2, 219.5), "00042": (1, 80.5), "1230": (1, 45.0), "00007": (1, 0.0)}
DIGEST = {
    "run_date": DAY,
    "orders": 5,
    "revenue": 345.0,
    "mean_amount": 86.25,
    "busiest_day": "2026-02-26",
    "best_customers": [
        {"customer_id": "00417", "revenue": 219.5},
        {"customer_id": "00042", "revenue": 80.5},
        {"customer_id": "1230", "revenue": 45.0},
    ],
}

# The week of a sale: 3,000 orders of 700 customers.
SALE = shop(
    *(
        (f"O-{n:05}", f"{n % 700:05}", 20.0 + n % 7, f"2026-02-2{4 + n % 5}", "completed")
        for n in range(3_000)
    )
)


def at(day, file):
    """Where a run for ``day`` must leave ``file``."""
    return f"digest/{day}/{file}"


def compare_digest(run, expected, why):
    """Assert that the run's digest.json has what is ``expected``, naming what differs."""
    digest = run.json(at(run.date, "digest.json"))
    wrong = [
        f"{key} is {json.dumps(digest.get(key))} instead of {json.dumps(value)}"
        for key, value in expected.items()
        if digest.get(key) != value
    ]
    assert not wrong, f"In the digest of {run.date} {'; '.join(wrong)}. {why}"


@points(1)
def test_five_tasks_in_order(submission):
    """The DAG has the five tasks, and each waits for what it needs"""
    dag = submission.dag
    assert dag.dag_id == "weekly_orders_digest", (
        f"The DAG is called {dag.dag_id}; others look for it as weekly_orders_digest."
    )
    tasks = ["extract_orders", "keep_completed", "rank_customers", "write_digest"]
    missing = [task_id for task_id in (*tasks, "summarise") if task_id not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    pairs = [*pairwise(tasks), ("keep_completed", "summarise"), ("summarise", "write_digest")]
    for first, then in pairs:
        assert first in dag.before(then), (
            f"{then} does not wait for {first}. A path is no promise that the file is there: without that edge "
            "the task may start first, and read yesterday's file or none."
        )


@points(3)
def test_files_of_a_run(submission):
    """A run leaves its four files in digest/<date>, and nothing anywhere else"""
    run = submission.run(DAY, WEEK).succeeded()
    missing = [at(DAY, file) for file in (*FILES, "digest.json") if at(DAY, file) not in run.files]
    assert not missing, (
        f"The run for {DAY} left no {', '.join(missing)}; it left {', '.join(run.files) or 'nothing'}. The folder is "
        "WINDTUNNEL_DATA, which the tasks share, and the date in the path is the run's own, not today's."
    )
    elsewhere = [path for path in run.files if not path.startswith(at(DAY, ""))]
    assert not elsewhere, (
        f"The run for {DAY} left {', '.join(elsewhere)} outside digest/{DAY}. The run for another date writes there "
        "too, and when both are under way, one reads what the other wrote."
    )
    for file, columns in FILES.items():
        run.rows(at(DAY, file), *columns)


@points(3)
def test_only_notes_through_xcom(submission):
    """No task hands on more than 1,000 bytes, however many orders there are"""
    runs = submission.run(DAY, WEEK), submission.run(DAY, SALE)
    for run, orders in zip(runs, (len(IN_WEEK), len(SALE["orders"])), strict=True):
        large = [xcom for xcom in run.succeeded().xcoms if xcom.size > NOTE]
        assert not large, (
            f"In a week of {orders:,} orders {large[0].task_id} hands on {large[0].size:,} bytes; a path is under 200. "
            "An XCom lies in Airflow's own database, and stays there when the run is over."
        )


@points(3)
def test_tables_come_back_as_they_were(submission):
    """What a task reads from a file is what the one before wrote: no row, id or gap is lost"""
    run = submission.run(DAY, WEEK)
    for file, expected in (("orders.csv", IN_WEEK), ("completed.csv", COMPLETED)):
        rows = run.rows(at(DAY, file), *ORDERS)
        seen = sorted(row["order_id"] for row in rows)
        assert seen == expected, (
            f"{file} has the orders {', '.join(seen) or 'none'}; expected {', '.join(expected)}. An order without "
            "an amount is an order; one of the run's own date is not in the seven days before it."
        )
        sent = {order["order_id"]: order for order in WEEK["orders"]}
        for row in rows:
            customer = sent[row["order_id"]]["customer_id"]
            assert row["customer_id"] == customer, (
                f"In {file} {row['order_id']} belongs to customer {row['customer_id']} instead of {customer}. A CSV "
                "holds text only: whoever reads it must say that an id is no number."
            )
        [gap] = [row["total_amount"] for row in rows if row["order_id"] == "O-5"]
        assert gap == "", (
            f"In {file} O-5, whose amount the shop does not know, has {gap!r}. Leave the field empty: any "
            "value in its place is an invented one."
        )
    seen = {
        row["customer_id"]: (float(row["orders"]), float(row["revenue"] or "nan"))
        for row in run.rows(at(DAY, "customers.csv"), *FILES["customers.csv"])
    }
    for customer, expected in CUSTOMERS.items():
        assert seen.get(customer) == expected, (
            f"customers.csv says of {customer} {seen.get(customer, 'nothing')} instead of {expected} (orders, "
            f"revenue). It has {', '.join(seen)}."
        )


@points(3)
def test_the_digest(submission):
    """The digest has the right figures, in JSON that anybody can read"""
    compare_digest(
        submission.run(DAY, WEEK),
        DIGEST,
        "It counts completed orders of the seven days before the run's date; dates are YYYY-MM-DD.",
    )


@points(2)
def test_a_quiet_week(submission):
    """A week without orders, or without amounts, is no error: what is not there is null"""
    nothing = {"orders": 0, "revenue": 0.0, "mean_amount": None, "busiest_day": None, "best_customers": []}
    compare_digest(submission.run(DAY, {"orders": []}), nothing, "Nothing was sold that week.")
    unpriced = shop(("O-1", "00417", None, "2026-02-25", "completed"))
    expected = {"orders": 1, "revenue": 0.0, "mean_amount": None, "busiest_day": "2026-02-25"}
    compare_digest(submission.run(DAY, unpriced), expected, "The week's only order had no amount.")


@points(3)
def test_a_second_run_replaces_the_first(submission):
    """A second run of a date replaces what the first one left, and other dates are left alone"""
    before = shop(
        ("O-1", "00417", 120.0, "2026-02-23", "completed"),
        ("O-2", "00042", 80.5, "2026-02-24", "completed"),
    )
    after = shop(("O-1", "00417", 20.0, "2026-02-23", "completed"))
    once, again = submission.runs(Case(DAY, before), Case(DAY, after))
    once.succeeded()
    replaces = "a repeated run must replace what the first one wrote"
    assert again.state == "success", f"Made a second time, {again.outcome}. But {replaces}, not add to it."
    assert set(again.files) == set(once.files), (
        f"The second run for {DAY} left other files than the first: {sorted(set(again.files) ^ set(once.files))}. "
        "Names that differ from run to run fill the disk, and nobody knows which of them counts."
    )
    expected = {"orders": 1, "revenue": 20.0, "best_customers": [{"customer_id": "00417", "revenue": 20.0}]}
    compare_digest(again, expected, f"The shop had corrected its data in the meantime: {replaces}.")
    later, earlier = submission.runs(Case(DAY_LATER, WEEK, manual=True), Case(DAY, WEEK))
    later.succeeded()
    compare_digest(later, {"run_date": DAY_LATER}, f"The run was triggered by hand on {DAY_LATER}.")
    changed = [path for path, text in later.files.items() if earlier.succeeded().files.get(path) != text]
    assert not changed, (
        f"The run for {DAY} changed {', '.join(changed)}: a backfill must leave other dates alone."
    )
