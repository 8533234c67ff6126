"""What differs for a sandbox that has a clock. ``windtunnel.clockwork`` is imported for one, and only then."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from windtunnel.errors import WindtunnelError
from windtunnel.forks import Shims
from windtunnel.moments import moment, text
from windtunnel.paths import repo_root
from windtunnel.postgres import Postgres
from windtunnel.state import State


def check(start: datetime) -> None:
    """Raise WindtunnelError unless a sandbox can begin at ``start`` here."""
    if os.environ.get("WINDTUNNEL_CLOCK") == "off":
        raise WindtunnelError("The clock is switched off here.", "unset WINDTUNNEL_CLOCK to turn it.")
    from windtunnel.clockwork.settings import EARLIEST, LATEST
    from windtunnel.clockwork.shims import VERSION

    if version("apache-airflow") != VERSION:
        raise WindtunnelError(
            f"The clock is made for Airflow {VERSION}, and this is {version('apache-airflow')}.",
            "leave the clock out, or install what requirements.lock names: `make setup`.",
        )
    if not EARLIEST <= start <= LATEST:
        raise WindtunnelError(
            f"The clock cannot begin at {text(start)} UTC.",
            f"choose a day from {EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d}.",
        )


def start_of(chapter: str) -> datetime | None:
    """The moment at which a chapter begins, if its text in ``book/`` says so; see `start_in`."""
    text_ = repo_root() / "book" / f"{chapter}.md"
    try:
        head = text_.read_text(encoding="utf-8").split("\n---", 1)[0]
    except OSError:
        return None
    return start_in(yaml.safe_load(head.removeprefix("---")) if head.startswith("---") else {})


def start_in(metadata: Mapping[str, Any]) -> datetime | None:
    """The moment in a notebook's metadata, which is its text's front matter: ``windtunnel: {clock: 2026-03-01}``."""
    named = (metadata.get("windtunnel") or {}).get("clock")
    return moment(named) if named else None


def is_untouched(state: State, start: datetime) -> bool:
    """Whether the sandbox runs, has begun at ``start``, and nobody has turned its clock or made a run since."""
    if not state.is_running() or state.clock.get("start") != start.isoformat():
        return False
    from windtunnel.clockwork.hands import Hands

    hands = Hands(_hands(state))
    if hands.turned_to() != start or hands.now() - start > timedelta(minutes=2):
        return False
    connection = Postgres(state, state.ports().postgres).connect(state.database("airflow"), role="reader")
    try:
        with connection.cursor() as cursor:
            cursor.execute("select exists (select from dag_run), exists (select from dag)")
            return not any(cursor.fetchone())
    finally:
        connection.close()


def shims(state: State) -> Callable[[], Shims] | None:
    """How to make the shims for this sandbox; None without a clock."""
    if not state.clock:
        return None
    from windtunnel.clockwork.shims import Shims as Dated

    return functools.partial(Dated, state.dated)


def begin(state: State) -> None:
    """Forget an earlier beginning; with a clock, set its hands. Processes that map them go on with the same file."""
    for name in ("data", "logs", "sleepers"):
        shutil.rmtree(state.dated / name, ignore_errors=True)
    if not state.clock:
        shutil.rmtree(state.dated, ignore_errors=True)
        return
    from windtunnel.clockwork.hands import Hands

    # Root's Postgres runs under another account, and reads the hands.
    passable = 0o711 if os.geteuid() == 0 else 0o700
    for folder, mode in (
        (state.dated, passable),
        (state.data, 0o700),
        (state.task_logs, 0o700),
        (state.dated / "sleepers", 0o700),
    ):
        folder.mkdir(mode=mode, exist_ok=True)
        folder.chmod(mode)
    Hands.begin(_hands(state), datetime.fromisoformat(state.clock["start"]))


def make_databases(state: State, postgres: Postgres) -> None:
    """With a clock, fresh databases that read it; without, none of those that did."""
    if not state.clock:
        for name in ("airflow_dated", "warehouse_dated"):
            postgres.drop(name)
        return
    from windtunnel.clockwork.database import install

    postgres.create("airflow_dated", template="airflow_template")
    postgres.create("warehouse_dated", owner="warehouse")
    for name in ("airflow_dated", "warehouse_dated"):
        connection = postgres.connect(name)
        try:
            install(connection, name, _hands(state))
        finally:
            connection.close()


def shows(state: State) -> str:
    """What the clock of a running sandbox shows, to the minute; empty in real time."""
    if not state.clock:
        return ""
    from windtunnel.clockwork.hands import Hands

    return text(Hands(_hands(state)).now().replace(second=0, microsecond=0))


def lives_by(state: State) -> list[str]:
    """What the outside world is started with, so that a minute there is one of the clock's; nothing without one."""
    return ["--hands", str(_hands(state))] if state.clock else []


def serve(state: State) -> Callable[[], None]:
    """What the process called ``clock`` does."""

    def run() -> None:
        from windtunnel.clockwork.component import serve as answer

        answer(state.dated)

    return run


def _hands(state: State) -> Path:
    return state.dated / "hands"
