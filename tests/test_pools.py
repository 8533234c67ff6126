"""Pools on a real Airflow, and the database that they are for: a real Postgres with five connections."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from pipelines import source_db
from sandboxes import wait_for
from windtunnel import Run, airflow_env, dagcell, deploy, pool, pools, trigger, warehouse
from windtunnel.errors import WindtunnelError
from windtunnel.postgres import Postgres
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect

TABLES = {"orders": 400, "payments": 390, "customers": 120, "deliveries": 75}
WAITING = """
    from airflow.sdk import DAG, task

    with DAG("waiting", schedule=None):
        @task(pool="lane", pool_slots=2)
        def wide(): pass

        wide()
    """


@pytest.fixture(scope="module", autouse=True)
def session(sandbox: Sandbox) -> Session:
    connected = connect()
    dagcell.save(connected, dagcell.Cell(textwrap.dedent(WAITING).lstrip("\n")), "waiting", many=True)
    deploy("source_extracts")
    tables = "".join(
        f"create table till.{table} as select id from generate_series(1, {rows}) as id;"
        for table, rows in TABLES.items()
    )
    warehouse(f"""
        create schema till;
        {tables}
        create table till.secret as select 1 as id;
        grant usage on schema till to source;
        grant select on {", ".join(f"till.{table}" for table in TABLES)} to source;
    """)
    return connected


@pytest.fixture
def source(sandbox: Sandbox) -> Callable[[], Any]:
    """Makes connections as tasks do that use source_db."""
    postgres = Postgres(sandbox.state, sandbox.state.ports().postgres)
    return lambda: postgres.connect(sandbox.state.database("warehouse"), "source")


def open_connections() -> int:
    found = warehouse("select count(*) as open from pg_stat_activity where usename = 'source'")
    assert found is not None
    return int(found["open"][0])


def row(name: str) -> list[str] | None:
    return next((list(found[1:]) for found in pools().rows if found[0] == name), None)


# --- pools -----------------------------------------------------------------------------------------


def test_a_fresh_airflow_has_the_default_pool_and_no_other() -> None:
    assert pools().rows == [["default_pool", "128", "0", "0", "0"]]


def test_a_pool_is_made_then_changed_and_keeps_its_description(session: Session) -> None:
    pool("source_db_pool", 5, "connections of the tills' database")
    assert row("source_db_pool") == ["5", "0", "0", "0"]
    pool("source_db_pool", 7)
    assert row("source_db_pool") == ["7", "0", "0", "0"]
    found = next(record for record in session.airflow.pools() if record.name == "source_db_pool")
    assert found.description == "connections of the tills' database"
    pool("source_db_pool", -1)
    assert row("source_db_pool") == ["no limit", "0", "0", "0"]


def test_a_pool_is_removed_as_often_as_one_likes_but_not_the_default_one() -> None:
    pool("short_lived", 1)
    pool("short_lived", None)
    pool("short_lived", None)
    assert row("short_lived") is None
    with pytest.raises(WindtunnelError, match="Default Pool can't be deleted"):
        pool("default_pool", None)
    assert row("default_pool") == ["128", "0", "0", "0"]


def test_the_default_pool_can_be_given_another_size() -> None:
    pool("default_pool", 16)
    assert row("default_pool") == ["16", "0", "0", "0"]
    pool("default_pool", 128)


def test_a_task_wants_its_slots_until_the_pool_is_large_enough() -> None:
    pool("lane", 1)
    run = trigger("waiting", unpause=True)
    wait_for("the task to want its slots", lambda: row("lane") == ["1", "0", "0", "2"])
    assert run.states() == {"wide": "scheduled"}
    pool("lane", 2)
    run.watch()
    assert run.state == "success"
    assert row("lane") == ["2", "0", "0", "0"]


@pytest.mark.parametrize("slots", [-2, 2.5, "5", True])
def test_a_number_of_slots_that_is_none_is_refused_with_an_example(slots: object) -> None:
    with pytest.raises(WindtunnelError, match=r"cannot have .* slots"):
        pool("lane", slots)  # type: ignore[arg-type]


def test_a_pool_without_a_name_is_refused() -> None:
    with pytest.raises(WindtunnelError, match="needs a name"):
        pool(" ", 5)


# --- five connections ------------------------------------------------------------------------------


def test_the_connection_of_tasks_is_that_role_on_the_warehouse(sandbox: Sandbox) -> None:
    found = airflow_env.connections(sandbox.state, sandbox.state.ports())["source_db"]
    assert (found["login"], found["schema"]) == ("source", sandbox.state.database("warehouse"))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_row_is_read_once_however_many_parts_there_are(source: Callable[[], Any], parts: int) -> None:
    assert source_db.read(source, "till.orders", parts=parts) == TABLES["orders"]


def test_the_sixth_connection_is_refused_and_the_other_five_are_given_back(
    source: Callable[[], Any],
) -> None:
    with pytest.raises(psycopg2.OperationalError, match='too many connections for role "source"'):
        source_db.read(source, "till.orders", parts=6)
    wait_for("the five to be gone", lambda: open_connections() == 0)
    assert source_db.read(source, "till.orders", parts=5) == TABLES["orders"]


def test_the_connections_are_held_together(source: Callable[[], Any]) -> None:
    seen = []

    def counted() -> Any:
        made = source()
        seen.append(open_connections())
        return made

    wait_for("those of other tests to be gone", lambda: open_connections() == 0)
    source_db.read(counted, "till.orders", parts=3)
    assert seen == [1, 2, 3]


def test_it_may_read_what_it_was_granted_and_write_nothing(source: Callable[[], Any]) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        source_db.read(source, "till.secret")
    connection = source()
    with closing(connection), connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("insert into till.orders values (401)")
    assert refused.type in (psycopg2.errors.ReadOnlySqlTransaction, psycopg2.errors.InsufficientPrivilege)


# --- the course's DAG ------------------------------------------------------------------------------


def until_it_ends(run: Run) -> int:
    """The most connections that were open at a time."""
    most = 0
    while run.state not in ("success", "failed"):
        most = max(most, open_connections())
        time.sleep(0.05)
    return most


def test_in_the_pool_all_four_tables_are_read_over_five_connections_at_most() -> None:
    pool("source_db_pool", 5)
    run = trigger("source_extracts", conf={"seconds": 3}, unpause=True)
    assert until_it_ends(run) == 5
    assert {task: run.xcom(task) for task in run.states()} == {f"extract_{t}": n for t, n in TABLES.items()}


def test_with_a_slot_more_than_there_are_connections_postgres_refuses_one() -> None:
    pool("source_db_pool", 6)
    run = trigger("source_extracts", conf={"seconds": 3})
    assert until_it_ends(run) <= 5
    failed = [task for task, state in run.states().items() if state == "failed"]
    assert failed
    assert 'too many connections for role "source"' in repr(run.log(failed[0]))
