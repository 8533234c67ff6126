"""The criteria of 10-gold-waits-for-three."""

from itertools import combinations

from windtunnel.check import points
from windtunnel.evidence import Case

DATE, DAY = "2026-03-02", "2026-03-01"
SILVER = {
    "orders_to_silver": "silver_orders",
    "customers_to_silver": "silver_customers",
    "payments_to_silver": "silver_payments",
}
GOLD = "gold_revenue"
SHOP = {
    "customers": [
        {"customer_id": "C1", "name": "Ada", "country": "DE", "registration_date": "2026-01-07"},
        {"customer_id": "C2", "name": "Bo", "country": "FR", "registration_date": "2026-02-11"},
        {"customer_id": "C3", "name": "Cy", "country": "DE", "registration_date": "2026-03-01"},
    ],
    "orders": [
        {
            "order_id": "O1",
            "customer_id": "C1",
            "total_amount": 30.0,
            "order_date": DAY,
            "status": "completed",
        },
        {
            "order_id": "O2",
            "customer_id": "C2",
            "total_amount": 12.5,
            "order_date": DAY,
            "status": "completed",
        },
        {
            "order_id": "O3",
            "customer_id": "C3",
            "total_amount": 99.0,
            "order_date": DAY,
            "status": "cancelled",
        },
        {
            "order_id": "O4",
            "customer_id": "C3",
            "total_amount": 20.1,
            "order_date": DAY,
            "status": "completed",
        },
    ],
    # What is paid on a day need not be what is ordered on it.
    "transactions": [
        {"transaction_id": "T1", "customer_id": "C1", "amount": 30.0, "transaction_date": DAY},
        {"transaction_id": "T2", "customer_id": "C3", "amount": 20.1, "transaction_date": DAY},
        {"transaction_id": "T3", "customer_id": "C2", "amount": 7.25, "transaction_date": DAY},
    ],
}
REPORT = {"orders": 3, "by_country": {"DE": 50.1, "FR": 7.25}}
# A column that each load needs, by the shop's name for it, and where the shop tells it.
RENAMED = {
    "orders_to_silver": ("orders", "order_id"),
    "customers_to_silver": ("crm/customers", "country"),
    "payments_to_silver": ("transactions", "amount"),
}


def night(submission):
    """The runs of one night: orders, customers, payments, and gold because of them."""
    started_by = tuple(SILVER.values())
    loads = [Case(DATE, SHOP, dag=dag_id) for dag_id in SILVER]
    return submission.runs(*loads, Case(DATE, SHOP, dag=GOLD, assets=started_by))


def names(condition):
    """The assets in a condition: the name and, where it is another, the URI."""
    if isinstance(condition, list):
        return [name for each in condition for name in names(each)]
    if not isinstance(condition, dict):
        return []
    found = condition.get("asset") or condition.get("asset_ref") or condition.get("alias")
    if not found:
        return names(list(condition.values()))
    name, uri = found.get("name"), found.get("uri")
    return [f"{name} (URI {uri})" if name and uri and name != uri else name or uri]


def listed(some):
    """Names, for a message."""
    return ", ".join(some) or "nothing"


@points(1)
def test_four_dags(submission):
    """There are the four DAGs, and the three loads start each night at 02:00 UTC"""
    wanted = sorted([*SILVER, GOLD])
    found = sorted(submission.dags)
    assert found == wanted, f"Your file has the DAGs {listed(found)}; it was to have {listed(wanted)}."
    for dag_id in SILVER:
        moments = [f"{run.run_after:%H:%M}" for run in submission.planned(dag_id, "2026-03-02", "2026-03-04")]
        assert moments == ["02:00", "02:00"], (
            f"On two days {dag_id} runs at {listed(moments)}. The loads start at 02:00 each night: it is gold "
            "that has no time of its own."
        )


@points(3)
def test_each_load_updates_its_table(submission):
    """A load that succeeds updates its own table, once, and no other"""
    for (dag_id, table), run in zip(SILVER.items(), night(submission), strict=False):
        assert run.state == "success", f"{dag_id} must succeed on an ordinary night, but {run.outcome}."
        updated = [update.asset for update in run.updated]
        assert updated == [table], (
            f"A run of {dag_id} updated {listed(updated)}; expected {table}, once. Airflow does not look into files "
            "and tables: an asset is updated when a task that names it among its outlets succeeds."
        )


@points(3)
def test_a_failed_load_updates_nothing(submission):
    """When a table could not be loaded its run fails, and nobody is told that the table is there"""
    for dag_id, (endpoint, column) in RENAMED.items():
        troubles = {
            f"the shop sent {column} under another name": {"rename": {column: "renamed"}},
            "the shop answered 503": {"status": 503},
        }
        for trouble, fault in troubles.items():
            [run] = submission.runs(Case(DATE, SHOP, dag=dag_id, faults=({"endpoint": endpoint} | fault,)))
            assert run.state == "failed", (
                f"When {trouble}, {dag_id} ended {run.state}. Its table was not loaded; a green run says it was."
            )
            told = [f"{update.task_id} updated {update.asset}" for update in run.updated]
            assert not told, (
                f"When {trouble}, {dag_id} failed, and yet {listed(told)}. Whoever waits for that table now reads "
                "yesterday's. The update belongs to the task after which the table is there."
            )


@points(3)
def test_gold_waits_for_all_three(submission):
    """Gold is due when all three tables have been updated, in whatever order, and not before"""
    *loads, _ = night(submission)
    waits = listed(names(submission.dags[GOLD].assets))
    so_far = []
    for run in loads:
        so_far += [update.asset for update in run.updated]
        early = GOLD in run.due and set(so_far) != set(SILVER.values())
        assert not early, (
            f"{GOLD} is due after the update of {listed(so_far)} alone: it joins today's table with yesterday's. "
            "Assets in a list, or joined with &, must all have been updated; with |, one is enough."
        )
    assert GOLD in loads[-1].due, (
        f"The three loads have ended ({listed(run.state for run in loads)}) and updated {listed(so_far)}, and {GOLD} "
        f"is not due. It waits for {waits}. What updates a table and what waits for it must name the same asset, "
        "letter by letter, its URI too; nobody reports one that never comes."
    )
    for pair in combinations(SILVER.values(), 2):
        assert not submission.runs_on(GOLD, *pair), (
            f"{GOLD} would run when only {' and '.join(pair)} have been updated. It waits for {waits}; the third "
            "table may be yesterday's."
        )


@points(2)
def test_gold_has_no_time(submission):
    """Gold runs because of the tables, and at no time of the day"""
    dag = submission.dags.get(GOLD)
    assert dag and dag.assets, (
        f"{GOLD} waits for no asset: its schedule is {dag.schedule if dag else 'missing'}. At any fixed time one of "
        "the loads may be late, on the one night on which somebody looks at the numbers."
    )
    moments = submission.planned(GOLD, "2026-03-02", "2026-03-09")
    assert not moments, (
        f"{GOLD} also runs by the clock, {len(moments)} times in a week, first at {moments[0].run_after:%H:%M} UTC. "
        "Whatever is there at that moment is reported."
    )


@points(3)
def test_the_report(submission):
    """The run that the tables start writes the report of the three of them"""
    *loads, run = night(submission)
    assert GOLD in loads[-1].due, f"There is no report: the updates of the three tables do not start {GOLD}."
    assert run.state == "success", (
        f"A run of {GOLD} that the assets start must succeed, but {run.outcome}. Such a run has no logical date: it is "
        "for no moment, but because of three updates."
    )
    found = run.json("gold/revenue.json")
    found = found if isinstance(found, dict) else {}
    assert found.get("day") == DAY, (
        f"gold/revenue.json is about {found.get('day')}; the tables are about {DAY}."
    )
    for key, value in REPORT.items():
        seen = (found.get("revenue") or {}).get(key)
        assert seen == value, (
            f"In gold/revenue.json {key} is {seen} instead of {value}, of {listed(SILVER.values())}."
        )
