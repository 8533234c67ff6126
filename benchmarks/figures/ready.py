"""From the command that starts an Airflow to one that can be worked with.

On all sides that is the same moment: the API answers, a login works, and scheduler, DAG processor and triggerer have
each said since the start that they live (`benchmarks.standalone.ready`). Neither side has DAG files.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Bench, Comparison, Curve, Subject, stopwatch
from benchmarks.peers import plain_environment
from benchmarks.standalone import TIMEOUT, Standalone, plain_postgres, ready
from windtunnel.sandbox import Sandbox

NOTE = (
    "Ready: the API answers, a login works, scheduler, DAG processor and triggerer have sent a heartbeat since the "
    "start. Windtunnel starts Postgres, Valkey and its outside world as well. All run one installation of Airflow, "
    "its bytecode compiled. "
)


def sandbox_up(folder: Path) -> float:
    """Seconds of `windtunnel up` on the folder until it is ready; it is down again afterwards."""
    environment = plain_environment(
        WINDTUNNEL_STATE=str(folder / "state"), WINDTUNNEL_WORK=str(folder / "work"), NO_COLOR="1"
    )
    sandbox = Sandbox(folder / "state")
    try:
        took, since = stopwatch(), datetime.now(UTC)
        subprocess.run(
            [str(Path(sys.executable).parent / "windtunnel"), "up"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        airflow = sandbox.airflow()
        while not ready(airflow, since):
            if took() > TIMEOUT:
                raise RuntimeError("windtunnel up returned, and Airflow is not ready")
            time.sleep(0.05)
        return took()
    finally:
        sandbox.down()


def standalone_up(folder: Path, database: str = "") -> float:
    """Seconds of `airflow standalone` on the folder until it is ready; it is stopped again afterwards."""
    standalone = Standalone(folder, database=database)
    try:
        return standalone.start()
    finally:
        standalone.stop()


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison | Curve]]:
    """Each side has a folder: emptied before a first start, as the last start has left it before a warm one."""

    def fresh(start: Callable[[Path], float], name: str) -> Callable[[], float]:
        folder = bench.folder / name

        def once() -> float:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o711)
            return start(folder)

        return once

    def warm(start: Callable[[Path], float], name: str) -> Callable[[], float]:
        folder = bench.folder / name

        def once() -> float:
            if not folder.exists():
                fresh(start, name)()
            return start(folder)

        return once

    with plain_postgres(bench.folder / "postgres") as database:
        yield [
            Comparison(
                "ready-fresh",
                "Ready after a first start",
                "s",
                {
                    "Windtunnel": fresh(sandbox_up, "sandbox"),
                    "airflow standalone (SQLite)": fresh(standalone_up, "sqlite"),
                    "airflow standalone (Postgres)": fresh(
                        lambda folder: standalone_up(folder, database()), "on-postgres"
                    ),
                },
                only_full=frozenset({"airflow standalone (Postgres)"}),
                note=NOTE
                + "First: nothing is there; the database is made and migrated. The peer's Postgres runs "
                "already and has an empty database; Windtunnel makes its cluster within this time.",
            ),
            Comparison(
                "ready-warm",
                "Ready after a start on what the last one left",
                "s",
                {
                    "Windtunnel": warm(sandbox_up, "sandbox"),
                    "airflow standalone (SQLite)": warm(standalone_up, "sqlite"),
                },
                note=NOTE + "The folder is the one that the start before has left when it was stopped.",
            ),
        ]


SUBJECT = Subject(
    "ready", "From `windtunnel up` to an Airflow that can be worked with, fresh and warm", opened
)
