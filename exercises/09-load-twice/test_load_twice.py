"""The criteria of 09-load-twice."""

from windtunnel.check import points
from windtunnel.evidence import Case
from world.shop import payments

DATE, NEXT_DATE, LATER_DATE = "2026-03-05", "2026-03-06", "2026-03-11"
FILE = "warehouse.db"
COLUMNS = {
    "orders": ["order_id", "customer_id", "order_date", "status", "total_amount"],
    "payments": ["transaction_id", "customer_id", "transaction_date", "amount"],
}

# order id -> day, status, euros. A run for DATE loads 2, 3 and 4 March.
SALES = {
    "O1": ("2026-03-01", "completed", 900.0),
    "O2": ("2026-03-02", "completed", 20.0),
    "O3": ("2026-03-02", "cancelled", 70.0),
    "O4": ("2026-03-03", "completed", 35.5),
    "O5": ("2026-03-04", "completed", 12.0),
    "O6": ("2026-03-04", "refunded", 48.0),
    "O7": ("2026-03-05", "completed", 7.0),
    "O8": ("2026-03-09", "completed", 64.0),
}
LOADED = ["O2", "O3", "O4", "O5", "O6"]  # what a run for DATE loads
# A day later: O2 was given back, O3 was a test and is gone, and O5 had cost more.
CHANGED = {
    **{order: sale for order, sale in SALES.items() if order != "O3"},
    "O2": ("2026-03-02", "refunded", 20.0),
    "O5": ("2026-03-04", "completed", 13.0),
}
LATE = {**SALES, "O9": ("2026-03-03", "completed", 99.0)}
WITHOUT_3_MARCH = {order: sale for order, sale in SALES.items() if sale[0] != "2026-03-03"}


def shop(sales):
    """A dataset of these orders; the completed ones were paid."""
    orders = [
        {
            "order_id": order,
            "customer_id": f"C{order[1:]}",
            "order_date": day,
            "status": status,
            "total_amount": euros,
        }
        for order, (day, status, euros) in sales.items()
    ]
    return {"orders": orders, "transactions": payments(orders)}


def expected(sales, loaded):
    """The rows of both tables after these orders were loaded."""
    tables = shop({order: sales[order] for order in sorted(loaded)})
    return {"orders": tables["orders"], "payments": tables["transactions"]}


def rows(run, table):
    """The rows of a table, cut down to the columns that were asked for; none where there is no such table."""
    found = run.tables.get(FILE, {}).get(table, [])
    return [{column: row.get(column) for column in COLUMNS[table]} for row in found]


def said(table, row):
    """A row in few words: what it is called, its day, its euros."""
    number, _, day, *rest = (row[column] for column in COLUMNS[table])
    return f"{number} of {day} ({', '.join(map(str, rest))})"


def listed(table, some):
    """Rows, for a message."""
    return ", ".join(sorted(said(table, row) for row in some))


def holds(run, sales, loaded, why):
    """Assert that both tables hold these orders and their payments, and nothing else."""
    for table, wanted in expected(sales, loaded).items():
        seen, key = rows(run, table), COLUMNS[table][0]
        twice = [row for n, row in enumerate(seen) if row[key] in [other[key] for other in seen[:n]]]
        assert not twice, f"{table} has more than one row for {listed(table, twice)}. {why}"
        lost = [row for row in wanted if row[key] not in [other[key] for other in seen]]
        assert not lost, (
            f"{table} lacks {listed(table, lost)}; it has {listed(table, seen) or 'no row'}. {why}"
        )
        more = [row for row in seen if row[key] not in [other[key] for other in wanted]]
        assert not more, f"{table} has {listed(table, more)}, which should not be there. {why}"
        old = [row for row in seen if row not in wanted]
        now = [row for row in wanted if row[key] in [other[key] for other in old]]
        assert not old, f"{table} says {listed(table, old)} instead of {listed(table, now)}. {why}"


def well(run, why):
    """The run, which must have succeeded."""
    assert run.state == "success" and run.tasks, f"{why} But {run.outcome}."
    return run


def changes(run):
    """What a run changed in the tables that a good one had left, in words for each table."""
    for table, before in expected(SALES, LOADED).items():
        seen = rows(run, table)
        gone, more = [row for row in before if row not in seen], [row for row in seen if row not in before]
        if gone:
            yield f"{table} lost {listed(table, gone)}"
        if more:
            yield f"{table} got {listed(table, more)}"
        if not gone and not more and len(seen) > len(before):
            yield f"{table} has rows twice"


def refused(run, trouble):
    """Assert that the run failed, and changed neither table."""
    changed = "; ".join(changes(run))
    assert not changed or run.state == "failed", (
        f"{trouble} The run ended {run.state}, and the tables are not what they were: {changed}. What cannot be "
        "used, or believed, must not be loaded."
    )
    assert not changed, (
        f"{trouble} The run failed half-way: {changed}. A run changes both tables, or neither."
    )
    assert run.state == "failed", (
        f"{trouble} The run ended {run.state}. The tables are as they were, and nobody is told that they are old."
    )


def after_a_good_run(submission, *cases):
    """What these runs do, after a good one for the same date."""
    first, *others = submission.runs(Case(DATE, shop(SALES)), *cases)
    well(first, "Nothing was wrong with the first run.")
    holds(first, SALES, LOADED, "That was the first run, into an empty warehouse.")
    return others


@points(1)
def test_schedule(submission):
    """The DAG load_sales runs daily at 02:00 UTC from 1 January 2026 on, and does not catch up"""
    dag = submission.dag
    assert dag.dag_id == "load_sales", f"The DAG is called {dag.dag_id}; it was to be load_sales."
    assert dag.schedule == "0 2 * * *", (
        f"The schedule is {dag.schedule!r}; daily at 02:00 is '0 2 * * *' (minute, hour, and three times any)."
    )
    assert (dag.start_date or "").startswith("2026-01-01"), (
        f"start_date is {dag.start_date}, expected 2026-01-01. For a day before it, Airflow makes a run without "
        "tasks, and calls it a success."
    )
    assert not dag.catchup, (
        "catchup is on: when the DAG is switched on, every night since start_date would run."
    )


@points(3)
def test_three_days(submission):
    """A run loads orders and payments of the three days before its own date, and no others"""
    run = submission.run(DATE, shop(SALES)).succeeded()
    for table, columns in COLUMNS.items():
        found = run.table(FILE, table)
        missing = [column for column in columns if found and column not in found[0]]
        assert not missing, f"{table} has no column {', '.join(missing)}; it has {', '.join(found[0])}."
    holds(run, SALES, LOADED, f"A run for {DATE} loads 2, 3 and 4 March, every order and every payment.")


@points(3)
def test_a_second_run_counts_once(submission):
    """After a second run for a date, its days are as the shop has them now, each row once"""
    once, again, changed = submission.runs(
        Case(DATE, shop(SALES)), Case(DATE, shop(SALES)), Case(DATE, shop(CHANGED))
    )
    once.succeeded()
    well(again, f"The run for {DATE} was made a second time, and the shop answered as before.")
    holds(again, SALES, LOADED, f"The run for {DATE} was made twice, and the shop had nothing new.")
    why = "The shop refunded O2, withdrew O3, corrected O5 to 13 EUR, and the run was made again."
    holds(well(changed, why), CHANGED, set(LOADED) - {"O3"}, why)


@points(2)
def test_late_rows(submission):
    """An order that arrives up to two days late is in the tables after the next run"""
    first, second = submission.runs(Case(DATE, shop(SALES)), Case(NEXT_DATE, shop(LATE)))
    first.succeeded()
    why = (
        f"O9 of 3 March arrived after the run for {DATE}, and before that for {NEXT_DATE}, which loads 3, 4 and 5 "
        "March. 2 March is none of its days."
    )
    holds(well(second, why), LATE, [*LOADED, "O7", "O9"], why)


@points(2)
def test_other_days_stay(submission):
    """A run for an older date, or once more, leaves all other days alone"""
    newer, older, again = submission.runs(
        Case(LATER_DATE, shop(SALES)), Case(DATE, shop(SALES)), Case(DATE, shop(SALES))
    )
    holds(newer.succeeded(), SALES, ["O8"], f"A run for {LATER_DATE} loads 8, 9 and 10 March.")
    why = f"First came the run for {LATER_DATE}, then the one for {DATE}, which is an older date."
    holds(well(older, why), SALES, [*LOADED, "O8"], why)
    why = f"The run for {DATE} was made once more, after newer days had been loaded."
    holds(well(again, why), SALES, [*LOADED, "O8"], why)


@points(3)
def test_a_retry_after_half(submission):
    """A shop that fails once, whichever of its answers it is, is asked again; every row counts once"""
    for endpoint in ("orders", "transactions"):
        hiccup = {"endpoint": endpoint, "status": 503, "times": 2}
        [run] = submission.runs(Case(DATE, shop(SALES), faults=(hiccup,)))
        why = f"Of the requests for {endpoint}, the shop answered two with 503 and the third with its rows."
        holds(well(run, why), SALES, LOADED, f"{why} Each retry begins from the top.")
    hiccup = {"endpoint": "transactions", "status": 503, "times": 1}
    why = "On the second run for a date, the shop answered a request for transactions with 503, then with its rows."
    [run] = after_a_good_run(submission, Case(DATE, shop(CHANGED), faults=(hiccup,)))
    holds(well(run, why), CHANGED, set(LOADED) - {"O3"}, why)


@points(3)
def test_both_tables_or_neither(submission):
    """A run that fails changes nothing, however far it got"""
    troubles = {
        "The days were loaded. On a later run, every request for orders got 503.": {
            "endpoint": "orders",
            "status": 503,
        },
        "The days were loaded. On a later run, orders came, and every request for transactions got 503.": {
            "endpoint": "transactions",
            "status": 503,
        },
        "The days were loaded. On a later run, the amount of a transaction had another name.": {
            "endpoint": "transactions",
            "rename": {"amount": "value"},
        },
        "The days were loaded. On a later run, the total_amount of an order had another name.": {
            "endpoint": "orders",
            "rename": {"total_amount": "total"},
        },
    }
    runs = after_a_good_run(
        submission, *[Case(DATE, shop(CHANGED), faults=(fault,)) for fault in troubles.values()]
    )
    for trouble, run in zip(troubles, runs, strict=True):
        refused(run, trouble)


@points(3)
def test_an_empty_answer_is_not_believed(submission):
    """A day that the table knows, and the answer does not, fails the run; a quiet day is one"""
    nothing, a_day_less = after_a_good_run(
        submission, Case(DATE, shop({})), Case(DATE, shop(WITHOUT_3_MARCH))
    )
    refused(
        nothing,
        "The days were loaded. On a later run, the shop answered 200 OK and without a single order.",
    )
    refused(
        a_day_less,
        "The days were loaded. On a later run, the shop's answer had orders of 2 and 4 March, and none of 3 March.",
    )
    quiet, again = submission.runs(Case(DATE, shop(WITHOUT_3_MARCH)), Case(DATE, shop(WITHOUT_3_MARCH)))
    why = "On 3 March nobody bought anything: neither the shop nor the table has an order of that day."
    for run in (quiet, again):
        holds(well(run, why), WITHOUT_3_MARCH, set(LOADED) - {"O4"}, why)


@points(1)
def test_unless_somebody_knows_better(submission):
    """A run with {"may_be_empty": true} believes an empty day"""
    case = Case(DATE, shop(WITHOUT_3_MARCH), conf={"may_be_empty": True})
    [run] = after_a_good_run(submission, case)
    why = 'The shop withdrew the order of 3 March, and somebody started the run with {"may_be_empty": true}.'
    holds(well(run, why), WITHOUT_3_MARCH, set(LOADED) - {"O4"}, why)


@points(1)
def test_a_run_without_a_logical_date(submission):
    """A run that somebody triggers by hand loads the three days before the day it was triggered"""
    run = submission.run(DATE, shop(SALES), manual=True).succeeded()
    why = f"The run was triggered by hand on {DATE} and has no logical date, only a run_after."
    holds(run, SALES, LOADED, why)
