"""From a saved edit to the verdict on it: our check, and the ways to run and test a DAG without one."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pty
import re
import select
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from benchmarks.figures._answers import Course, Resident, course, resident
from benchmarks.harness import Bench, Comparison, Measure, Subject, Target, stopwatch
from benchmarks.peers import plain_environment

SIX = """\
from airflow.sdk import dag, task


@dag(schedule="0 6 * * *", catchup=False)
def six():
    @task
    def one():
        return 1

    @task
    def add(number):
        return number + 1

    add(add(add(add(add(one())))))


made = six()
if __name__ == "__main__":
    made.test()
"""

CRITERIA = '''\
from windtunnel.check import points


@points(1)
def test_the_chain(submission):
    """Six tasks, one after the other, add up to six"""
    run = submission.run("2026-03-02").succeeded()
    assert list(run.tasks.values()) == ["success"] * 6, run.tasks
    assert max(xcom.value for xcom in run.xcoms) == 6, run.xcoms
'''

# The same criteria, as a test of the kind that Airflow's "Best Practices" shows: by DagBag.
TEST = '''\
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag


def test_the_chain():
    """Six tasks, one after the other, add up to six"""
    bag = DagBag(Path(__file__).parent / "dags/chain.py")
    assert not bag.import_errors
    run = bag.dags["six"].test()
    assert [ti.state for ti in run.get_task_instances()] == ["success"] * 6
    assert max(ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()) == 6
'''

ALONE, WATCHED = "90-six", "91-six-watched"
QUICK = ("01", "03")  # the exercises that --quick checks
PATIENCE = 120.0  # seconds for a verdict to show on a screen
NOTE = (
    "The same file with six tasks in a chain, a comment changed before each measurement. All assert that six tasks "
    "succeeded and that the last returned 6. “Windtunnel” is what %%exercise does, in a process that is there already; "
    "“windtunnel watch” is from the save to the words on its screen, with the 0.2–0.4 s until a save is noticed; "
    "“windtunnel check” is the whole command, warm and (“cold”) with a process of its own that imports Airflow. "
    "The others have a migrated SQLite database and compiled bytecode. `python dag.py` and `airflow dags test` give no "
    "verdict: theirs is taken from the database afterwards, off the clock."
)
NOTE_WHOLE = (
    "Whole checks of the course's own solutions, all their criteria, in a process that is there already, "
    "a comment changed before each."
)


@contextmanager
def open_(bench: Bench) -> Iterator[Sequence[Comparison]]:
    """A course with the six-task file as an exercise, a watcher, and an Airflow home for the others."""
    bench.say("a database for Airflow")
    peers = Peers(bench.folder / "airflow")
    bench.say("a course, and the engine, warm")
    with (
        course(bench.folder / "course", bench.kept / "checks") as own,
        resident(own) as process,
    ):
        for slug in (ALONE, WATCHED):
            own.add(slug, CRITERIA, SIX)
        edits = itertools.count(1)
        _checked(own, process, ALONE, SIX, next(edits))()
        with watching(own) as screen:
            yield [
                Comparison(
                    "verdict",
                    "From a saved edit to the verdict, a DAG of six tasks",
                    "s",
                    {
                        "Windtunnel": lambda: _checked(own, process, ALONE, SIX, next(edits))(),
                        "windtunnel watch": lambda: screen.verdict(f"{SIX}# {next(edits)}\n"),
                        "windtunnel check": lambda: _command(own, next(edits)),
                        "windtunnel check, cold": lambda: _command(own, next(edits), WINDTUNNEL_WARM="off"),
                        "python dag.py": lambda: peers.script(next(edits)),
                        "airflow dags test": lambda: peers.dags_test(next(edits)),
                        "pytest, DagBag": lambda: peers.pytest(next(edits)),
                    },
                    warm=not bench.quick,
                    only_full=frozenset({"airflow dags test"}),
                    target=Target(most=1, worst=3),
                    note=NOTE,
                ),
                _whole(own, process, edits),
            ]


def _whole(own: Course, process: Resident, edits: Iterator[int]) -> Comparison:
    """Each exercise's solution, checked whole."""
    sides: dict[str, Measure] = {}
    for folder in sorted((own.folder / "solutions").iterdir()):
        if folder.name not in (ALONE, WATCHED) and (folder / "solution.py").is_file():
            text = (folder / "solution.py").read_text()
            sides[folder.name] = lambda slug=folder.name, text=text: _checked(  # type: ignore[misc]
                own, process, slug, text, next(edits)
            )()
    return Comparison(
        "verdict_exercises",
        "From a saved edit to the verdict, whole exercises",
        "s",
        sides,
        warm=True,  # what the criteria ask for is known from then on
        only_full=frozenset(name for name in sides if not name.startswith(QUICK)),
        all_ours=True,
        target=Target(most=1, worst=3),
        note=NOTE_WHOLE,
    )


def _checked(own: Course, process: Resident, slug: str, text: str, edit: int) -> Measure:
    """An edit of the answer, checked as %%exercise and `windtunnel watch` do it."""

    def run() -> float:
        own.answer(slug).write_text(f"{text}# {edit}\n")
        watch = stopwatch()
        found = process.check(slug)
        took = watch()
        assert found["total"] and found["earned"] == found["total"], found["missed"]
        return took

    return run


def _command(own: Course, edit: int, **more: str) -> float:
    own.answer(ALONE).write_text(f"{SIX}# {edit}\n")
    watch = stopwatch()
    done = own.windtunnel("check", ALONE, **more)
    took = watch()
    assert done.returncode == 0 and "1 of 1" in done.stdout, done.stdout + done.stderr
    return took


@dataclass
class Peers:
    """What reads the same file without a sandbox: an AIRFLOW_HOME with a migrated SQLite database."""

    folder: Path
    dates: Iterator[date] = field(
        default_factory=lambda: (date(2026, 3, 2) + timedelta(days=n) for n in itertools.count())
    )

    def __post_init__(self) -> None:
        (self.folder / "dags").mkdir(parents=True)
        self.file = self.folder / "dags" / "chain.py"  # not six.py: Airflow imports a module of that name
        self.environment = plain_environment(
            AIRFLOW_HOME=str(self.folder), AIRFLOW__CORE__LOAD_EXAMPLES="False"
        )
        (self.folder / "test_chain.py").write_text(TEST)
        self._edit(0)
        self._run(Path(sys.executable).with_name("airflow"), "db", "migrate")

    def script(self, edit: int) -> float:
        """``python dag.py``, which calls ``dag.test()``."""
        return self._judged(edit, sys.executable, self.file)

    def dags_test(self, edit: int) -> float:
        """The command that Airflow has for it."""
        airflow = Path(sys.executable).with_name("airflow")
        return self._judged(edit, airflow, "dags", "test", "six", next(self.dates).isoformat())

    def pytest(self, edit: int) -> float:
        """A test that loads the DAG, in a new process."""
        return self._judged(edit, sys.executable, "-m", "pytest", "-q", "test_chain.py")

    def _judged(self, edit: int, *command: str | Path) -> float:
        self._edit(edit)
        before = self._succeeded()
        watch = stopwatch()
        self._run(*command)
        took = watch()
        assert self._succeeded() == before + 6, "not all six tasks have succeeded"
        return took

    def _edit(self, number: int) -> None:
        self.file.write_text(f"{SIX}# {number}\n")

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]

    def _succeeded(self) -> int:
        """How many tasks have ever succeeded. The last run's last task must have returned 6."""
        with contextlib.closing(sqlite3.connect(self.folder / "airflow.db")) as base:
            [(count,)] = base.execute("select count(*) from task_instance where state = 'success'")
            newest = base.execute("select value from xcom order by timestamp desc limit 1").fetchone()
        assert newest in (None, (6,)), newest
        return int(count)


@contextmanager
def watching(own: Course) -> Iterator[Screen]:
    """``windtunnel watch`` in a terminal, which has shown its first verdict."""
    own.answer(WATCHED).write_text(SIX)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    process = subprocess.Popen(
        own.command("watch", WATCHED),
        env=own.environment | {"TERM": "xterm"},
        cwd=own.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        screen = Screen(own.answer(WATCHED), ours)
        screen.until_done()
        yield screen
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


@dataclass(frozen=True)
class Screen:
    """What a reader sees of a watched ``file``."""

    file: Path
    terminal: int

    def verdict(self, text: str) -> float:
        """Seconds from a save to the verdict on the screen."""
        while select.select([self.terminal], [], [], 0.5)[0]:
            os.read(self.terminal, 1 << 16)  # what was still being drawn
        unfinished = self.file.with_name("unfinished")
        unfinished.write_text(text)
        watch = stopwatch()
        unfinished.replace(self.file)
        self.until_done()
        return watch()

    def until_done(self) -> None:
        """Read until it says that the exercise is done. Raises AssertionError if it says something else."""
        shown, deadline = "", time.monotonic() + PATIENCE
        while not re.search(r"is done, 1 of 1 points", shown):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.terminal], [], [], left)[0], f"it shows {shown[-500:]}"
            shown += os.read(self.terminal, 1 << 16).decode(errors="replace")
            assert "✗" not in shown, shown[-500:]


SUBJECT = Subject("verdict", "from a saved edit to its verdict", open_)
