"""The criteria of 12-five-connections."""

from windtunnel.check import points
from windtunnel.evidence import Case

DATE, DAY = "2026-03-02", "2026-03-01"
POOL = "source_db_pool"
CONNECTIONS = {"read_orders": 3, "read_transactions": 2, "read_customers": 1}
OTHERS = ["clean_orders", "write_report"]
ARROWS = [
    ("read_orders", "clean_orders"),
    ("clean_orders", "write_report"),
    ("read_transactions", "write_report"),
    ("read_customers", "write_report"),
]
SHOP = {
    "customers": [
        {"customer_id": f"C{n}", "registration_date": "2026-01-01", "email": f"c{n}@example.com"}
        for n in range(1, 5)
    ],
    "orders": [
        {
            "order_id": f"O{n}",
            "customer_id": "C1",
            "total_amount": 10.5,
            "order_date": DAY,
            "status": "cancelled" if n == 2 else "completed",
        }
        for n in range(1, 7)
    ],
    "transactions": [
        {"transaction_id": f"T{n}", "customer_id": "C1", "amount": 10.5, "transaction_date": DAY}
        for n in range(1, 4)
    ],
}
REPORT = {"orders": 5, "transactions": 3, "customers": 4}


def morning(submission, slots=5):
    """A run that has room for all of its tasks at once, and this many connections."""
    [run] = submission.runs(Case(DATE, SHOP, parallel=6, pools={POOL: slots}))
    stuck = sorted(task for task, state in run.tasks.items() if state == "scheduled")
    assert not stuck, (
        f"With {slots} slots in {POOL}, {', '.join(stuck)} never started: a task whose pool does not exist, or that "
        "wants more slots than its pool has, waits for ever, and the run stays running."
    )
    return run.succeeded()


def takes(run):
    """What each task held while it ran: (pool, slots)."""
    return {span["task"]: (span["pool"], span["slots"]) for span in run.spans}


@points(1)
def test_the_tasks(submission):
    """The five tasks are there, with their arrows, and the report is right"""
    dag = submission.dag
    missing = [task for task in [*CONNECTIONS, *OTHERS] if task not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    for first, then in ARROWS:
        assert first in dag.before(then), f"{then} does not wait for {first}."
    report = morning(submission).json(f"morning/{DATE}/report.json")
    assert report == REPORT, (
        f"The report says {report}; the shop's answers and the cleaning make it {REPORT}."
    )


@points(3)
def test_each_read_takes_what_it_opens(submission):
    """Each read takes as many slots of source_db_pool as it opens connections"""
    held = takes(morning(submission))
    for task, connections in CONNECTIONS.items():
        pool, slots = held.get(task, ("nothing", 0))
        assert pool == POOL, (
            f"{task} ran in {pool}, so nothing stops it while others hold all five connections. "
            f"What is limited by the database is counted in {POOL}, for every DAG that reads it."
        )
        assert slots == connections, (
            f"{task} opens {connections} and takes {slots} of the slots of {POOL}. Airflow counts slots and sees no "
            "connection: too few, and Postgres refuses the sixth; too many, and others wait for nothing."
        )


@points(2)
def test_side_by_side(submission):
    """What fits runs side by side: with a sixth slot in the pool, all three reads at once"""
    most = max(morning(submission, slots=6).slots(POOL), default=0)
    assert most == 6, (
        f"With six slots in {POOL}, at most {most} were in use at once, and the three reads open six connections. "
        "Either they did not run together, because of an arrow between reads or of another limit than the pool, or "
        "they take other slots than they open connections."
    )


@points(1)
def test_what_reads_nothing_takes_nothing(submission):
    """Tasks that open no connection take no slot of source_db_pool"""
    held = takes(morning(submission))
    guilty = [task for task in OTHERS if held.get(task, ("", 0))[0] == POOL]
    assert not guilty, (
        f"{' and '.join(guilty)} took slots of {POOL} and opened no connection: as long as it computes, a read waits."
    )


@points(3)
def test_transactions_first(submission):
    """When only three connections are allowed, transactions are read first"""
    run = morning(submission, slots=3)
    assert run.order[0] == "read_transactions", (
        f"With three slots, {run.order[0]} went first, and read_transactions was number "
        f"{run.order.index('read_transactions') + 1}. With the default rule a task weighs as much as all that comes "
        "after it and itself; what you write as priority_weight is added to that."
    )
