"""A notebook in a container: what it shares with its Airflow comes from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel import (
    airflow_command,
    airflow_env,
    clock,
    dagcell,
    data_file,
    metadata,
    surroundings,
    trigger,
    warehouse,
    world,
)
from windtunnel import session as session_
from windtunnel.errors import WindtunnelError
from windtunnel.hosting import Host
from windtunnel.paths import dags_dir
from windtunnel.sandbox import Sandbox
from windtunnel.session import connect
from windtunnel.surroundings import Surroundings

SOURCE = """
import os
from airflow.sdk import DAG, task
with DAG("contained", schedule=None):
    @task
    def write():
        with open(os.environ["WINDTUNNEL_DATA"] + "/contained", "w") as file:
            file.write("written")
    write()
"""


@pytest.fixture
def container(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[pytest.MonkeyPatch]:
    """This process sees of the sandbox what `lab` sees of the containers: environment variables."""
    state = sandbox.state
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(
        "WINDTUNNEL_STATE", str(tmp_path / "state")
    )  # its own, for chapters that turn the clock
    monkeypatch.setenv("WINDTUNNEL_CONTAINERS", "1")
    monkeypatch.setenv("WINDTUNNEL_URL", sandbox.url)
    monkeypatch.setenv("WINDTUNNEL_USERNAME", "admin")
    monkeypatch.setenv("WINDTUNNEL_PASSWORD", sandbox.password)
    monkeypatch.setenv("WINDTUNNEL_DAGS", str(dags_dir()))
    monkeypatch.setenv("WINDTUNNEL_METADATA", json.dumps(airflow_env.metadata(state, state.ports())))
    yield monkeypatch
    session_._current = None


def test_what_it_shares_is_what_the_sandbox_shares(sandbox: Sandbox, container: pytest.MonkeyPatch) -> None:
    session = connect()
    assert session.sandbox is None
    there, here = Surroundings.of(sandbox.state), session.around()
    assert (here.connections, here.metadata, here.data) == (there.connections, there.metadata, there.data)


def test_everything_of_a_chapter_works(container: pytest.MonkeyPatch) -> None:
    session = connect()
    session.fresh()
    dagcell.save(session, dagcell.Cell(SOURCE), "contained")
    run = trigger("contained", unpause=True)
    run.watch()
    assert run.state == "success"
    assert data_file("contained").read_text() == "written"
    assert metadata("select state from dag_run where dag_id = 'contained'").rows == [["success"]]
    assert list(warehouse("select 6 * 7 as answer").answer) == [42]
    world.reset()
    assert world.orders.get(start="2026-03-01T00:00:00", end="2026-03-02T00:00:00")
    world.s3.put("contained.txt", "an object")
    assert world.s3.get("contained.txt") == "an object"
    done = airflow_command.run(["pools", "list"], captured=True)
    assert (done.returncode, "default_pool" in done.stdout) == (0, True), done.stderr
    assert session.without_paths(str(data_file("x"))) == "$WINDTUNNEL_DATA/x"
    session.fresh()


@pytest.mark.parametrize(
    "name", ["WINDTUNNEL_METADATA", "WINDTUNNEL_DATA", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"]
)
def test_an_environment_that_lacks_something_is_said_to(container: pytest.MonkeyPatch, name: str) -> None:
    container.delenv(name)
    with pytest.raises(WindtunnelError) as caught:
        connect()
    assert name in caught.value.message
    assert "docker-compose.yaml" in caught.value.next_step


def test_a_database_that_lets_nobody_in_is_one_message(container: pytest.MonkeyPatch) -> None:
    record = json.loads(os.environ["WINDTUNNEL_METADATA"])
    container.setenv("WINDTUNNEL_METADATA", json.dumps(record | {"password": "another"}))
    connect()
    with pytest.raises(WindtunnelError) as caught:
        metadata("select 1")
    assert "does not let the role reader in" in caught.value.message
    assert "another" not in str(caught.value)


def test_a_chapter_on_time_leaves_for_a_sandbox_within_the_container(container: pytest.MonkeyPatch) -> None:
    container.setenv("WINDTUNNEL_CHAPTER", "04-logical-dates")
    session_._leave_for_the_clock()
    assert "WINDTUNNEL_URL" not in os.environ
    assert dags_dir().name == "dags-of-the-clock"
    assert not airflow_command._is_for_containers()


def test_who_empties_the_address_leaves_too_and_the_clock_says_so(container: pytest.MonkeyPatch) -> None:
    connect()
    with pytest.raises(WindtunnelError) as caught:
        clock.reset("2026-03-01")
    assert "`%env WINDTUNNEL_URL=`" in caught.value.next_step
    container.setenv("WINDTUNNEL_URL", "")
    session_._leave_for_the_clock()
    assert dags_dir().name == "dags-of-the-clock"


def test_any_other_chapter_stays(container: pytest.MonkeyPatch) -> None:
    before = dags_dir()
    container.setenv("WINDTUNNEL_CHAPTER", "02-your-first-dag")
    session_._leave_for_the_clock()
    assert "WINDTUNNEL_URL" in os.environ
    assert dags_dir() == before


def test_nbval_outside_of_the_containers_is_told_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WINDTUNNEL_CONTAINERS", raising=False)
    host = Host("windtunnel.surroundings:containers")
    try:
        with pytest.raises(WindtunnelError, match="none of the containers"):
            host.ready()
    finally:
        host.close()


def test_in_a_container_nbval_passes_on_what_docker_gave(container: pytest.MonkeyPatch) -> None:
    with surroundings.containers() as found:
        given = found.environ()
    assert given["WINDTUNNEL_URL"] == os.environ["WINDTUNNEL_URL"]
    assert {name for name in given if not name.startswith(("AIRFLOW_", "WINDTUNNEL_"))} == set()
