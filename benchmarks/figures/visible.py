"""From a saved DAG file to the DAG in Airflow's API: a new file, and an edited one.

``airflow standalone`` lists its folder for new files every 300 s, so files are saved at five moments spread over one
such wait (one in each fifth of it, at random), and give five figures at once: the wait is a saw tooth, and waiting it
out five times would take twenty-five minutes. They are taken in the first round, and Windtunnel's in all.

What may be faster is measured too: ``airflow dags reserialize`` for a new file, and the API's ``parseDagFile`` for an
edited one (it names a file by a token that only known files have).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import airflow_client.client as client

from benchmarks.harness import Bench, Comparison, Curve, Subject, Target, stopwatch
from benchmarks.standalone import Standalone
from windtunnel import dagcell
from windtunnel.api import Airflow, NotFoundError
from windtunnel.sandbox import temporary
from windtunnel.session import connect

ROUNDS = 5
REFRESH = 300  # seconds, [dag_processor] refresh_interval as it comes
STARTED = 20  # seconds from its first listing until the wait is looked at, at most
SETTLED = 35  # seconds; [core] min_serialized_dag_update_interval keeps an edit back that comes within 30
TIMEOUT = 700.0
MOMENTS = secrets.SystemRandom()
PEER = "airflow standalone (SQLite)"
SOURCE = """\
from airflow.sdk import dag, task


@dag
def {name}():
    @task
    def first():
        return {number}

    first()


{name}()
"""


def answers(airflow: Airflow, name: str, source: str) -> bool:
    """Whether the API has the DAG as the file has it."""
    try:
        return bool(airflow.dag(name)) and airflow.source(name).strip() == source.strip()
    except NotFoundError:
        return False


def until_it_answers(airflow: Airflow, name: str, source: str, took: Callable[[], float]) -> float:
    """Ask every 50 ms. Returns the seconds since ``took`` was started; raises TimeoutError."""
    while not answers(airflow, name, source):
        if took() > TIMEOUT:
            raise TimeoutError(f"{name} was not visible within {TIMEOUT:.0f} s")
        time.sleep(0.05)
    return took()


class InASandbox:
    """``%%dag`` cells, run as a notebook runs them."""

    def __init__(self) -> None:
        self.session = connect()
        self.number = count()

    def save(self, name: str) -> float:
        """Seconds from running the cell until it has returned and the API has the DAG."""
        source = SOURCE.format(name=name, number=next(self.number))
        took = stopwatch()
        dagcell.save(self.session, dagcell.Cell(source))
        return until_it_answers(self.session.airflow, name, source, took)

    def new(self) -> float:
        """For a DAG that was not there."""
        return self.save(f"new_{next(self.number)}")

    def edited(self) -> float:
        """For one that is changed."""
        name = f"edited_{next(self.number)}"
        self.save(name)
        return self.save(name)


class OnStandalone:
    """Files saved into its folder. It is started when it is first needed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._standalone: Standalone | None = None
        self._waited: list[float] = []
        self._number = count()
        self._known: list[str] = []  # files that were there at its start, not yet edited
        self._since = stopwatch()

    def _started(self) -> Standalone:
        if self._standalone is None:
            standalone = Standalone(self._folder)
            self._known = [f"known_{number}" for number in range(2 * ROUNDS)]
            for name in self._known:
                self._write(standalone, name)
            self._stack.enter_context(standalone)
            for name in self._known:
                until_it_answers(standalone.airflow, name, self._source(name), stopwatch())
            self._standalone, self._since = standalone, stopwatch()
        return self._standalone

    @staticmethod
    def _source(name: str, number: int = 0) -> str:
        return SOURCE.format(name=name, number=number)

    def _write(self, standalone: Standalone, name: str, number: int = 0) -> None:
        whole = standalone.folder / f"{name}.py"
        whole.write_text(self._source(name, number))
        whole.rename(standalone.dags / whole.name)

    def new(self) -> float:
        """As it comes. All five figures are of one wait."""
        if not self._waited:
            self._waited = self._wait_once(self._started())
        return self._waited.pop(0)

    def _wait_once(self, standalone: Standalone) -> list[float]:
        # It listed its folder when it started, so the next listing is just under 300 s from now.
        part = (REFRESH - STARTED) / ROUNDS
        moments = [part * (number + MOMENTS.random()) for number in range(ROUNDS)]
        took = stopwatch()
        saved: dict[str, Callable[[], float]] = {}
        seen: dict[str, float] = {}
        while len(seen) < ROUNDS:
            if len(saved) < ROUNDS and took() >= moments[len(saved)]:
                name = f"new_{next(self._number)}"
                self._write(standalone, name)
                saved[name] = stopwatch()
            for name, since in saved.items():
                if name not in seen and answers(standalone.airflow, name, self._source(name)):
                    seen[name] = since()
            if took() > TIMEOUT:
                raise TimeoutError(f"{ROUNDS - len(seen)} new files were not visible within {TIMEOUT:.0f} s")
            time.sleep(0.1)
        return [seen[name] for name in saved]

    def new_reserialized(self) -> float:
        """With `airflow dags reserialize` typed at once, which parses the whole folder."""
        standalone = self._started()
        name = f"new_{next(self._number)}"
        self._write(standalone, name)
        took = stopwatch()
        standalone.command("dags", "reserialize")
        return until_it_answers(standalone.airflow, name, self._source(name), took)

    def edited(self) -> float:
        """As it comes."""
        return self._edited(lambda _airflow, _token: None)

    def edited_and_asked_for(self) -> float:
        """With the parse asked for at once."""
        return self._edited(
            lambda airflow, token: airflow._call(lambda c: client.DAGParsingApi(c).reparse_dag_file(token))
        )

    def _edited(self, ask: Callable[[Airflow, str], object]) -> float:
        standalone = self._started()
        time.sleep(max(0.0, SETTLED - self._since()))
        name = self._known.pop()
        token = standalone.airflow.dag(name).file_token
        # Not in step with its loop of a second, nor with its parse of every file each 30 s.
        time.sleep(MOMENTS.random())
        took = stopwatch()
        self._write(standalone, name, number=1)
        ask(standalone.airflow, token)
        return until_it_answers(standalone.airflow, name, self._source(name, number=1), took)


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison | Curve]]:
    """A sandbox; the peer when it is needed, beside it: both wait rather than work."""
    with temporary(), ExitStack() as stack:
        ours, theirs = InASandbox(), OnStandalone(bench.folder / "standalone", stack)
        ours.new()  # what the first cell of a notebook pays for all
        yield [
            Comparison(
                "visible-new",
                "A new DAG file until Airflow's API has the DAG",
                "s",
                {
                    "Windtunnel": ours.new,
                    PEER: theirs.new,
                    f"{PEER}, dags reserialize": theirs.new_reserialized,
                },
                rounds=ROUNDS,
                only_full=frozenset({PEER, f"{PEER}, dags reserialize"}),
                target=Target(most=1.0),
                note="Windtunnel: a %%dag cell, from running it to the API's answer, the cell's own waiting "
                "included. airflow standalone: a file moved into its folder; it lists that every 300 s, and five "
                "files were saved at random moments of one such wait, one in each fifth. dags reserialize: the "
                "command is run at once; its time is that of the command.",
            ),
            Comparison(
                "visible-edited",
                "An edited DAG file until Airflow's API has the new text",
                "s",
                {
                    "Windtunnel": ours.edited,
                    PEER: theirs.edited,
                    f"{PEER}, parseDagFile": theirs.edited_and_asked_for,
                },
                rounds=ROUNDS,
                only_full=frozenset({PEER, f"{PEER}, parseDagFile"}),
                target=Target(most=1.0),
                note="The file is known to Airflow, and its last edit more than 30 s ago on the peer, which keeps "
                "an edit back that comes earlier; Windtunnel's comes at once after the file's first parse. "
                "parseDagFile: PUT /api/v2/parseDagFile/{file_token} right after the edit.",
            ),
        ]


SUBJECT = Subject("visible", "From a saved DAG file to the DAG in Airflow's API", opened)
