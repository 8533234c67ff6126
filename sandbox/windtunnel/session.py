"""Which Airflow this notebook talks to, and for which chapter."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel import dated
from windtunnel.api import Airflow, NotFoundError
from windtunnel.dagfiles import DagFile
from windtunnel.errors import WindtunnelError
from windtunnel.paths import dags_dir, repo_root, work_dir
from windtunnel.sandbox import Progress, Sandbox
from windtunnel.surroundings import Surroundings, in_containers
from windtunnel.waiting import poll

SCRATCH = "scratch"
CHAPTER = re.compile(r"\d\d-[a-z0-9-]+")


@dataclass(frozen=True)
class Session:
    """An Airflow, the chapter that drives it, and the local sandbox if it is one.

    ``dags`` is this chapter's folder inside the one that Airflow parses; None for an Airflow elsewhere whose
    DAG folder is not reachable from here.
    """

    airflow: Airflow
    chapter: str
    dags: Path | None
    sandbox: Sandbox | None
    shared: Surroundings | None = None  # what it shares with containers
    beginning: str = ""  # which beginning of the sandbox's clock it lives in; empty in real time

    def without_paths(self, text: str) -> str:
        """``text`` with the folders of this machine replaced by names that are the same on every machine."""
        folders = {f"{repo_root()}/": "", str(work_dir()): "work"}
        if self.sandbox:
            folders[str(self.sandbox.state.path)] = "$WINDTUNNEL_STATE"
        if self.is_near():
            folders[str(self.around().data)] = "$WINDTUNNEL_DATA"
        for folder in sorted(folders, key=len, reverse=True):  # one may lie in another
            text = text.replace(folder, folders[folder])
        return text

    def is_near(self) -> bool:
        """Whether it shares databases and folders with its Airflow: the local sandbox, or containers around it."""
        return bool(self.sandbox or self.shared)

    def around(self) -> Surroundings:
        """What it shares with its Airflow. Raises WindtunnelError for one elsewhere."""
        if self.sandbox:
            return Surroundings.of(self.sandbox.state)
        if self.shared is None:
            raise WindtunnelError(
                f"The Airflow at {self.airflow.url} shares neither databases nor folders with this notebook, "
                "and has no outside world.",
                "unset WINDTUNNEL_URL to use the sandbox that comes with the course.",
            )
        return self.shared

    def check_time(self) -> None:
        """Raise WindtunnelError when the sandbox's clock has been set anew by somebody else since."""
        if self.sandbox is None:
            return
        clock = self.sandbox.state.clock
        if clock.get("id", "") != self.beginning:
            now = f"began again at {clock['start'][:10]}" if clock else "went back to real time"
            raise WindtunnelError(
                f"Airflow {now} since this notebook was opened, so what it had made is not there.",
                "run the first cell again, and those after it.",
            )

    def fresh(self) -> None:
        """Forget this chapter's earlier DAGs and their runs; end those that still go on."""
        if self.dags is None:
            return
        for path in sorted(self.dags.glob("*.py")):
            DagFile(path).remove()
        # The DAG processor is about to write that these DAGs are gone, and ends if it finds them deleted already.
        poll(lambda: True if all(dag.is_stale for dag in self._mine()) else None, timeout=5, every=0.05)
        for dag in self._mine():
            self._forget(dag.dag_id)
            if self.is_near():
                # A run of the same date writes into the same files again, behind what is there.
                shutil.rmtree(self.around().task_logs / f"dag_id={dag.dag_id}", ignore_errors=True)

    def _mine(self) -> list[Any]:
        """Airflow's records of this chapter's DAGs, those whose files are gone included."""
        prefix = f"{self.dags.name}/" if self.dags else ""
        found = self.airflow.dags(exclude_stale=False)
        return [dag for dag in found if prefix and (dag.relative_fileloc or "").startswith(prefix)]

    def _forget(self, dag_id: str) -> None:
        # Airflow refuses to forget a DAG while a task of it runs; one that was queued may start meanwhile.
        for _ in range(3):
            try:
                self.airflow.delete_dag(dag_id)
                return
            except NotFoundError:
                return
            except WindtunnelError:
                self.airflow.pause(dag_id, True)
                for run in self.airflow.runs(dag_id, state=["queued", "running"]):
                    self.airflow.fail(dag_id, run.dag_run_id)
        self.airflow.delete_dag(dag_id)


def chapter_name() -> str:
    """The chapter a notebook belongs to, from its file name; SCRATCH for anything else."""
    named = os.environ.get("WINDTUNNEL_CHAPTER") or Path(os.environ.get("JPY_SESSION_NAME", "")).stem
    return named if CHAPTER.fullmatch(named) else SCRATCH


_current: Session | None = None


def connect(progress: Progress = lambda _phase: None, *, start: bool = False) -> Session:
    """Find the Airflow to talk to; with ``start``, start the sandbox if there is none, at the chapter's date.

    Raises WindtunnelError when it does not answer, is not an Airflow 3 or refuses our credentials.
    """
    global _current
    if start and in_containers():
        _leave_for_the_clock()
    airflow, sandbox = Airflow.from_environment(), None
    dags: Path | None = None
    if airflow is None:
        sandbox = Sandbox()
        if start:
            _start(sandbox, progress)
        airflow, dags = sandbox.airflow(), dags_dir()
    elif os.environ.get("WINDTUNNEL_DAGS"):
        dags = dags_dir()
    airflow.check_version()
    airflow.check_access()
    chapter = chapter_name()
    beginning = sandbox.state.clock.get("id", "") if sandbox else ""
    shared = None if sandbox else Surroundings.from_environment()
    _current = Session(airflow, chapter, dags / chapter if dags else None, sandbox, shared, beginning)
    return _current


def _leave_for_the_clock() -> None:
    """Who turns the clock cannot do so with the containers' Airflow, and has a sandbox in this container.

    That is a chapter with a date, or a notebook whose reader has emptied ``WINDTUNNEL_URL``.
    """
    if dated.start_of(chapter_name()) is not None or not os.environ.get("WINDTUNNEL_URL"):
        os.environ.pop("WINDTUNNEL_URL", None)
        # Both parse all they find: each is to have a folder of its own.
        os.environ["WINDTUNNEL_DAGS"] = str(work_dir() / "dags-of-the-clock")


def _start(sandbox: Sandbox, progress: Progress) -> None:
    """Have the sandbox up, in the time that this chapter lives in; a notebook of one's own takes what runs."""
    chapter = chapter_name()
    start = dated.start_of(chapter)
    if start is not None:
        if not dated.is_untouched(sandbox.state, start):
            sandbox.begin(start, progress)
    elif chapter == SCRATCH:
        sandbox.up(progress)
    else:
        sandbox.begin(None, progress)


def current() -> Session:
    """The session of this process, connecting on first use. Raises WindtunnelError when its time has passed."""
    if _current is None:
        return connect()
    _current.check_time()
    return _current
