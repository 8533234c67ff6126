"""Pools on a real Airflow: made, changed, shown, and held by tasks."""

from __future__ import annotations

import textwrap
import time

import pytest

from windtunnel import dagcell, pool, pools, trigger
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect

WAITING = """
    from airflow.sdk import DAG, task

    with DAG("waiting", schedule=None):
        @task(pool="lane", pool_slots=2)
        def wide(): pass

        wide()
    """


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Session:
    connected = connect()
    dagcell.save(connected, dagcell.Cell(textwrap.dedent(WAITING).lstrip("\n")), "waiting", many=True)
    return connected


def row(name: str) -> list[str] | None:
    return next((list(found[1:]) for found in pools().rows if found[0] == name), None)


def until(holds: object, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_fresh_airflow_has_the_default_pool_and_no_other(session: Session) -> None:
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


def test_the_default_pool_can_be_given_another_size(session: Session) -> None:
    pool("default_pool", 16)
    assert row("default_pool") == ["16", "0", "0", "0"]
    pool("default_pool", 128)


def test_a_task_wants_its_slots_until_the_pool_is_large_enough(session: Session) -> None:
    pool("lane", 1)
    run = trigger("waiting", unpause=True)
    until(lambda: row("lane") == ["1", "0", "0", "2"])
    assert run.states() == {"wide": "scheduled"}
    pool("lane", 2)
    run.watch()
    assert run.state == "success"
    assert row("lane") == ["2", "0", "0", "0"]


@pytest.mark.parametrize("slots", [-2, 2.5, "5", None, True])
def test_a_number_of_slots_that_is_none_is_refused_with_an_example(session: Session, slots: object) -> None:
    with pytest.raises(WindtunnelError, match=r"cannot have .* slots"):
        pool("lane", slots)  # type: ignore[arg-type]


def test_a_pool_without_a_name_is_refused(session: Session) -> None:
    with pytest.raises(WindtunnelError, match="needs a name"):
        pool(" ", 5)
