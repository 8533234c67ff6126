"""Which Airflow a notebook talks to, and what happens when that is none, another's, or no Airflow at all."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from windtunnel import dagcell, metadata, trigger, warehouse
from windtunnel.api import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, chapter_name, connect
from windtunnel.waiting import poll

DAG = """
import time
from airflow.sdk import DAG, task
with DAG("{name}", schedule=None):
    @task
    def work(dag_run=None):
        time.sleep(dag_run.conf.get("seconds", 0))
    work()
"""


def refused(action: Callable[[], Any]) -> WindtunnelError:
    with pytest.raises(WindtunnelError) as caught:
        action()
    assert caught.value.next_step
    return caught.value


@pytest.fixture
def elsewhere(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """This process is a stranger to the sandbox, told its address and nothing more."""
    monkeypatch.setenv("WINDTUNNEL_STATE", str(tmp_path / "another"))
    monkeypatch.setenv("WINDTUNNEL_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("WINDTUNNEL_URL", sandbox.url)
    for name in ("WINDTUNNEL_DAGS", "WINDTUNNEL_USERNAME", "WINDTUNNEL_PASSWORD", "WINDTUNNEL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@contextmanager
def server(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """An HTTP server on loopback that gives ``answers`` by path, and 404 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {"detail": "Not Found"}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


# --- the Airflow that WINDTUNNEL_URL names -------------------------------------------------------------


def test_an_airflow_elsewhere_is_entered_with_user_and_password(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch
) -> None:
    elsewhere.setenv("WINDTUNNEL_USERNAME", "admin")
    elsewhere.setenv("WINDTUNNEL_PASSWORD", sandbox.password)
    session = connect()
    assert (session.airflow.url, session.sandbox, session.dags) == (sandbox.url, None, None)
    assert session.airflow.dags() == []


def test_an_airflow_elsewhere_is_entered_with_a_token(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch
) -> None:
    elsewhere.setenv("WINDTUNNEL_TOKEN", sandbox.airflow()._new_token())
    assert connect().airflow.dags() == []


@pytest.mark.parametrize(
    ("credentials", "whom"),
    [
        ({"WINDTUNNEL_USERNAME": "admin", "WINDTUNNEL_PASSWORD": "guess"}, "the user 'admin'"),
        ({"WINDTUNNEL_TOKEN": "guess"}, "the token"),
        ({}, "a caller without a user name"),
    ],
)
def test_wrong_credentials_are_refused_before_anything_else(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch, credentials: dict[str, str], whom: str
) -> None:
    for name, value in credentials.items():
        elsewhere.setenv(name, value)
    error = refused(connect)
    assert error.message.startswith(f"The Airflow at {sandbox.url} refused {whom}")
    assert "WINDTUNNEL_PASSWORD" in error.next_step
    assert "guess" not in str(error)


def test_a_token_that_has_run_out_is_renewed_from_the_password(sandbox: Sandbox) -> None:
    airflow = sandbox.airflow()
    airflow.check_access()
    assert airflow._client is not None
    airflow._client.configuration.access_token = "run out"
    assert airflow.dags() == []


def test_nothing_that_listens_is_said_with_the_address(elsewhere: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound, so that nobody else takes it, but not listening
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        elsewhere.setenv("WINDTUNNEL_URL", url)
        error = refused(connect)
    assert error.message == f"Airflow does not answer at {url}."
    assert "unset WINDTUNNEL_URL" in error.next_step


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(elsewhere: pytest.MonkeyPatch, url: str) -> None:
    elsewhere.setenv("WINDTUNNEL_URL", url)
    assert refused(connect).message == f"WINDTUNNEL_URL is {url!r}, which is no web address."


@pytest.mark.parametrize("body", ["<html>hello</html>", "[]", '"3.3.2"', "{}", '{"version": null}', ""])
def test_a_server_that_is_no_airflow_is_told_apart(elsewhere: pytest.MonkeyPatch, body: str) -> None:
    with server({"/api/v2/version": (200, body), "/api/v1/version": (200, body)}) as url:
        elsewhere.setenv("WINDTUNNEL_URL", url)
        assert "does not answer as an Airflow does" in refused(connect).message


def test_an_airflow_2_is_named_with_its_version(elsewhere: pytest.MonkeyPatch) -> None:
    with server({"/api/v1/version": (200, {"version": "2.10.5", "git_version": None})}) as url:
        elsewhere.setenv("WINDTUNNEL_URL", url)
        error = refused(connect)
        assert error.message == f"{url} is Airflow 2.10.5; this course drives Airflow 3."


def test_an_airflow_of_another_version_that_answers_otherwise_is_no_traceback(
    elsewhere: pytest.MonkeyPatch,
) -> None:
    answers = {
        "/api/v2/version": (200, {"version": "3.9.0"}),
        "/auth/token": (201, {"access_token": "t"}),
        "/api/v2/dags?limit=1": (200, {"dags": [{"dag_id": 7}], "total_entries": 1}),
    }
    with server(answers) as url:
        elsewhere.setenv("WINDTUNNEL_URL", url)
        error = refused(connect)
    assert "answered in a form this course does not know" in error.message
    assert "version of its client" in error.next_step


def test_without_its_dag_folder_a_dag_cell_says_what_to_set(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch
) -> None:
    elsewhere.setenv("WINDTUNNEL_TOKEN", sandbox.airflow()._new_token())
    session = connect()
    error = refused(lambda: dagcell.save(session, dagcell.Cell(DAG.format(name="x"))))
    assert "cannot be reached from here" in error.message
    assert "WINDTUNNEL_DAGS" in error.next_step


def test_with_its_dag_folder_a_dag_cell_works(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere.setenv("WINDTUNNEL_TOKEN", sandbox.airflow()._new_token())
    elsewhere.setenv("WINDTUNNEL_DAGS", str(sandbox.state.path.parent / "work/dags"))
    elsewhere.setattr(dagcell, "ELSEWHERE_TIMEOUT", 60.0)
    session = connect()
    dagcell.save(session, dagcell.Cell(DAG.format(name="from_afar")))
    trigger("from_afar", unpause=True).watch()
    assert "from_afar: success" in capsys.readouterr().out
    session.fresh()
    assert session.airflow.dags(exclude_stale=False) == []


def test_the_databases_of_an_airflow_elsewhere_stay_closed(
    sandbox: Sandbox, elsewhere: pytest.MonkeyPatch
) -> None:
    elsewhere.setenv("WINDTUNNEL_TOKEN", sandbox.airflow()._new_token())
    connect()
    assert "shares neither databases nor folders" in refused(lambda: metadata("select 1")).message
    assert "shares neither databases nor folders" in refused(lambda: warehouse("select 1")).message


# --- the local sandbox ---------------------------------------------------------------------------------


def test_the_metadata_database_can_be_read_and_not_changed(sandbox: Sandbox) -> None:
    connect()
    assert repr(metadata("select %s::int as n, null as nothing", [3])) == "1 row\nn  nothing\n-  -------\n3"
    assert "read-only" in refused(lambda: metadata("delete from slot_pool")).message
    assert "syntax error" in refused(lambda: metadata("selct 1")).message
    assert "no rows" in refused(lambda: metadata("set search_path = public")).message


def test_the_warehouse_can_be_filled_and_asked(sandbox: Sandbox) -> None:
    connect()
    assert warehouse("drop table if exists sales; create table sales (day date, euros numeric(6, 2))") is None
    assert warehouse("insert into sales values (%s, 12.5), ('2026-03-02', null)", ["2026-03-01"]) is None
    found = warehouse("select day, euros, euros::text like '12%' as twelve from sales order by day")
    assert found is not None
    assert list(found.columns) == ["day", "euros", "twelve"]
    assert found["day"].astype(str).tolist() == ["2026-03-01", "2026-03-02"]
    assert found["euros"].tolist()[0] == 12.5
    assert found["euros"].sum() == 12.5  # a float, not a Decimal, so that it can be plotted
    nothing = warehouse("select day from sales where false")
    assert nothing is not None
    assert nothing.shape == (0, 1)


def test_what_is_sent_to_the_warehouse_at_once_is_undone_at_once(sandbox: Sandbox) -> None:
    connect()
    warehouse("drop table if exists sales; create table sales (n int)")
    assert (
        "division by zero"
        in refused(lambda: warehouse("insert into sales values (1); insert into sales select 1 / 0")).message
    )
    found = warehouse("select count(*) as n from sales")
    assert found is not None
    assert found["n"].tolist() == [0]


def chapter(monkeypatch: pytest.MonkeyPatch, name: str) -> Session:
    monkeypatch.setenv("WINDTUNNEL_CHAPTER", name)
    return connect()


def test_a_fresh_chapter_forgets_its_own_dags_and_no_others(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = chapter(monkeypatch, "01-first"), chapter(monkeypatch, "02-second")
    for session, name in ((first, "one"), (second, "two")):
        dagcell.save(session, dagcell.Cell(DAG.format(name=name)))
    assert first.dags is not None
    assert second.dags is not None
    (first.dags / "one.py").write_text(DAG.format(name="one") + "# mine\n")
    (first.dags / "notes.txt").write_text("mine too")
    first.fresh()
    assert [dag.dag_id for dag in first.airflow.dags(exclude_stale=False)] == ["two"]
    assert (second.dags / "two.py").exists()
    assert not (first.dags / "one.py").exists()
    kept = [*first.dags.glob("one.py.*.bak"), first.dags / "notes.txt"]
    assert [file.exists() for file in kept] == [True, True]
    second.fresh()


def test_a_run_of_the_same_date_in_a_fresh_chapter_has_a_log_of_its_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = chapter(monkeypatch, "01-first")
    for _ in range(2):
        session.fresh()
        source = DAG.format(name="says").replace("time.sleep(", 'print("once"); time.sleep(')
        dagcell.save(session, dagcell.Cell(source))
        run = trigger("says", logical_date="2026-03-01", unpause=True)
        run.watch()
        assert repr(run.log("work")).count("once") == 1
    session.fresh()


def test_a_fresh_chapter_ends_runs_that_still_go_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = chapter(monkeypatch, "03-third")
    dagcell.save(session, dagcell.Cell(DAG.format(name="endless")))
    run = trigger("endless", conf={"seconds": 600}, unpause=True)
    assert poll(lambda: run.states().get("work") == "running" or None, timeout=60, every=0.1)
    session.fresh()
    assert session.airflow.dags(exclude_stale=False) == []
    dagcell.save(session, dagcell.Cell(DAG.format(name="endless")))
    assert session.airflow.runs("endless") == []
    session.fresh()


def test_a_fresh_chapter_forgets_a_dag_that_is_broken(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = chapter(monkeypatch, "04-fourth")
    dagcell.save(session, dagcell.Cell(DAG.format(name="breaks")))
    refused(lambda: dagcell.save(session, dagcell.Cell(DAG.format(name="breaks") + "1 / 0")))
    session.fresh()
    assert session.airflow.dags(exclude_stale=False) == []
    assert poll(lambda: session.airflow.import_errors() == [] or None, timeout=60, every=0.1)


@pytest.mark.parametrize(
    ("notebook", "named", "expected"),
    [
        ("/x/work/notebooks/02-your-first-dag.ipynb", "", "02-your-first-dag"),
        ("/x/Untitled.ipynb", "", "scratch"),
        ("/x/Untitled.ipynb", "03-x", "03-x"),
        ("", "../../etc", "scratch"),
    ],
)
def test_a_chapter_is_named_by_its_notebook(
    monkeypatch: pytest.MonkeyPatch, notebook: str, named: str, expected: str
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", notebook)
    monkeypatch.setenv("WINDTUNNEL_CHAPTER", named)
    assert chapter_name() == expected


def test_a_sandbox_that_is_down_says_how_to_start_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        airflow = Airflow(f"http://127.0.0.1:{held.getsockname()[1]}", username="admin", password="x")
        monkeypatch.delenv("WINDTUNNEL_URL", raising=False)
        assert "`windtunnel up` starts it" in refused(airflow.check_access).next_step
