"""The course's extracts on a real Airflow and a real Postgres: six connections wanted, five allowed."""

import time

import pytest

from windtunnel import deploy, pool, trigger, warehouse
from windtunnel.session import connect

TABLES = {"orders": 400, "payments": 390, "customers": 120, "deliveries": 75}
OPEN = "select count(*) as open from pg_stat_activity where usename = 'source'"


@pytest.fixture(scope="module", autouse=True)
def till(sandbox):
    connect()
    tables = "".join(
        f"create table till.{table} as select id from generate_series(1, {rows}) as id;"
        for table, rows in TABLES.items()
    )
    warehouse(f"""
        create schema till;
        {tables}
        grant usage on schema till to source;
        grant select on all tables in schema till to source;
    """)
    deploy("source_extracts")


def until_it_ends(run):
    """The most connections that were open at a time."""
    most = 0
    while run.state not in ("success", "failed"):
        most = max(most, int(warehouse(OPEN)["open"][0]))
        time.sleep(0.05)
    return most


def test_in_the_pool_all_four_tables_are_read_over_at_most_five_connections():
    pool("source_db_pool", 5)
    run = trigger("source_extracts", conf={"seconds": 3}, unpause=True)
    assert until_it_ends(run) == 5
    assert {task: run.xcom(task) for task in run.states()} == {f"extract_{t}": n for t, n in TABLES.items()}


def test_with_a_slot_more_than_there_are_connections_postgres_refuses_one():
    pool("source_db_pool", 6)
    run = trigger("source_extracts", conf={"seconds": 3})
    assert until_it_ends(run) <= 5
    failed = [task for task, state in run.states().items() if state == "failed"]
    assert failed
    assert 'too many connections for role "source"' in repr(run.log(failed[0]))
