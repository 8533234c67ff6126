"""``%load_ext windtunnel`` in IPython: what it brings in, and errors without tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import windtunnel
from windtunnel import live, session
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox

DAG = "from airflow.sdk import DAG\nwith DAG('{name}', schedule=None): pass"


@pytest.fixture(scope="module")
def shell(sandbox: Sandbox) -> Iterator[InteractiveShell]:
    made = InteractiveShell.instance(colors="nocolor")  # type: ignore[no-untyped-call]
    yield made
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The error of a cell, if any, and what it printed."""
    capsys.readouterr()
    result = shell.run_cell(cell)  # type: ignore[no-untyped-call]
    return result.error_before_exec or result.error_in_exec, capsys.readouterr().out


def test_loading_brings_in_the_readers_names_and_a_fresh_chapter_each_time(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        error, printed = run(shell, "%load_ext windtunnel", capsys)
        assert error is None
        assert printed == "Airflow 3.3.2 is live, and fresh for this chapter.\n"
        assert session.current().airflow.dags(exclude_stale=False) == []
        assert run(shell, "%%dag\n" + DAG.format(name="brought"), capsys)[0] is None
        assert [dag.dag_id for dag in session.current().airflow.dags()] == ["brought"]
    assert all(shell.user_ns[name] is getattr(windtunnel, name) for name in windtunnel.READER_NAMES)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%dag\nx = (", "SyntaxError"),
        ("%%dag --more\nx = 1", "%%dag has no option --more."),
        ("%%dag a b\nx = 1", "%%dag takes one name, not 2: a b."),
        ("%%dag 'a\nx = 1", "No closing quotation"),
        ("trigger('nothing')", "There is no DAG 'nothing'."),
        ("metadata('selct')", "Postgres: syntax error"),
    ],
)
def test_an_error_is_a_message_and_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str, words: str
) -> None:
    run(shell, "%load_ext windtunnel", capsys)
    error, printed = run(shell, cell, capsys)
    assert isinstance(error, WindtunnelError)
    assert words in printed
    assert "Next:" in printed
    assert "Traceback" not in printed
    assert ".py" not in printed


def test_stopping_the_start_is_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "connect", stop)
    _, printed = run(shell, "%load_ext windtunnel", capsys)
    assert "Stopped before Airflow was ready." in printed
    assert "Traceback" not in printed


def test_a_terminal_shows_progress_and_then_the_result_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "in_lab", lambda: False)
    monkeypatch.setattr(live, "in_terminal", lambda: True)
    with live.live_view("run of orders") as view:
        view.show({"a": "success", "b": "running", "c": "running"})
        view.show({"a": "success"})
        view.end("done")
    shown = capsys.readouterr()
    assert "\rrun of orders: 2 running, 1 success" in shown.err
    assert shown.err.endswith(f"\r{' ' * len('run of orders: 1 success')}\r")
    assert "done" in shown.out


def test_a_build_shows_the_result_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(live, "in_terminal", lambda: False)
    with live.live_view("run of orders") as view:
        view.show({"a": "running"})
        view.end("done")
    shown = capsys.readouterr()
    assert (shown.err, "running" in shown.out) == ("", False)
