"""Grades one submission, and many side by side. One student's accident is never another's."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import psutil

from windtunnel import check as checking
from windtunnel import exercises, processes
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.grading import journal, rehearsal
from windtunnel.grading.answers import Answer, open_answer
from windtunnel.grading.grades import ERROR, Grade, clean, graded, one_line
from windtunnel.grading.journal import Journal
from windtunnel.grading.submissions import Submission

TIMEOUT = 120.0  # seconds for a submission
TRIES = 2  # of a check that could not run
PLACE = 0.25  # of its time, that a submission keeps others waiting: then the next begins beside it
_WARM = "windtunnel.engine.server"  # the module that the warm process runs
_GRACE = 10.0  # seconds that checks have to tidy up after Ctrl-C

#: Judges a file by an exercise, within a number of seconds, with so many of its runs side by side: `check`, but for
#: tests. Raises WindtunnelError when the check itself cannot run.
Checker = Callable[[str, Path, float, int], Verdict]


class Interrupted(Exception):
    """Ctrl-C. ``done`` submissions are in the journal."""

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


class Watcher(Protocol):
    """Is told how a batch gets on. All calls come from the thread that called `run`, but `started`."""

    def started(self, submission: Submission) -> None:
        """A thread has taken it up."""

    def finished(self, submission: Submission, grade: Grade, *, kept: bool) -> None:
        """It has its grade; ``kept``: from an earlier call."""


def check(slug: str, answer: Path, time_limit: float, jobs: int) -> Verdict:
    """The course's own check, with ``jobs`` runs of the answer side by side."""
    return checking.check(slug, answer, time_limit=time_limit, jobs=jobs)


@dataclass
class Grader:
    """Grades submissions one at a time; may be shared by threads."""

    timeout: float = TIMEOUT
    checker: Checker | None = None  # None: `check`
    scratch: str | None = None  # where answers are laid out; the system's temporary folder if not said
    side_by_side: int = checking.JOBS  # runs of one answer
    stopping: threading.Event = field(default_factory=threading.Event)
    _nothing: dict[str, tuple[Criterion, ...]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.known = [exercise.slug for exercise in exercises.exercises()]

    def open(self, submission: Submission) -> Answer:
        """What was handed in."""
        return open_answer(submission, self.known)

    def grade(self, submission: Submission, answer: Answer) -> Grade:
        """The grade of an opened submission. Raises nothing: what could not be graded has the status error."""
        began = time.monotonic()
        told = submission.problem
        for _ in range(0 if told else TRIES):
            try:
                criteria = self._judge(submission, answer)
                return graded(
                    submission.student,
                    submission.exercise,
                    criteria,
                    file=submission.file,
                    source=answer.source,
                    seconds=time.monotonic() - began,
                    reason=answer.problem,
                )
            except WindtunnelError as error:
                told = f"The check could not run: {error.message}"
            except Exception as error:  # a mistake of ours must not take the others' grades with it
                told = f"The check could not run: {type(error).__name__}: {error}"
            if self.stopping.is_set():
                break
        return Grade(
            submission.student,
            submission.exercise,
            ERROR,
            reason=one_line(clean(told)),
            file=submission.file,
            source=clean(answer.source),
            seconds=round(time.monotonic() - began, 1),
        )

    def _judge(self, submission: Submission, answer: Answer) -> Sequence[Criterion]:
        if answer.problem:
            return self._none_met(submission.exercise, answer.problem)
        criteria = list(self._check(submission.exercise, answer.source).criteria)
        if answer.notebook is not None:
            criteria += rehearsal.criteria(
                submission.exercise, answer.notebook, self.known, self.timeout, self.scratch
            )
        return criteria

    def _check(self, slug: str, source: str) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="answer-", dir=self.scratch) as folder:
            # Not the student's own file name: a file called json.py would stand in the way of a module.
            file = Path(folder) / f"{slug}.py"
            file.write_text(source, encoding="utf-8", errors="replace", newline="")
            return (self.checker or check)(slug, file, self.timeout, self.side_by_side)

    def _none_met(self, slug: str, problem: str) -> tuple[Criterion, ...]:
        """The exercise's criteria, none of them met: what an empty file is told, with the true reason."""
        with self._lock:
            if slug not in self._nothing:
                self._nothing[slug] = self._check(slug, "").criteria
        above = "Not judged, for the reason given above."
        return tuple(
            Criterion(each.name, each.text, each.points, False, above if n else f"{problem}.")
            for n, each in enumerate(self._nothing[slug])
        )


def run(
    submissions: Sequence[Submission],
    grader: Grader,
    kept: Journal,
    watcher: Watcher,
    *,
    jobs: int = 0,
) -> list[Grade]:
    """Grade all; ``jobs`` at a time (0: one for each core). Those in the journal are not graded again.

    A submission that has taken a quarter of its time, which is one that loops or waits for ever, gives its place to
    the next and goes on beside it. So there are never more than twice ``jobs`` under way.

    Raises Interrupted after Ctrl-C; then nothing is left running, and the journal has what was finished.
    """
    grades: list[Grade] = []
    todo: queue.SimpleQueue[tuple[Submission, Answer, str]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[Submission, Grade, str]] = queue.SimpleQueue()
    waiting = 0
    # Removed here, not by the threads: after Ctrl-C nobody waits for them.
    with _signals(), _scratch() as grader.scratch:
        try:
            for submission in submissions:
                key = _key(submission, grader)
                earlier = kept.find(submission.student, key[1]) if key[1] else None
                if earlier is None:
                    todo.put((submission, *key))
                    waiting += 1
                else:
                    earlier = replace(earlier, file=submission.file)  # moved, perhaps
                    grades.append(earlier)
                    watcher.finished(submission, earlier, kept=True)
            jobs = min(jobs or cores(), waiting)
            # Each run side by side costs the check a database and a few processes: with others to grade, cores
            # have better to do.
            grader.side_by_side = max(1, checking.JOBS // max(1, jobs))
            workers = [_Worker(todo, ended, grader, watcher) for _ in range(jobs)]
            for _ in range(waiting):
                end = None
                while end is None:
                    workers = _relieved(workers, most=2 * jobs)
                    end = _next(ended)
                submission, grade, key_of = end
                grades.append(grade)
                if grade.status != ERROR:  # those are tried again by the next call
                    kept.add(key_of, grade)
                watcher.finished(submission, grade, kept=False)
        except KeyboardInterrupt:
            grader.stopping.set()
            _end_children()
            raise Interrupted(sum(grade.status != ERROR for grade in grades)) from None
    return grades


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _key(submission: Submission, grader: Grader) -> tuple[Answer, str]:
    if submission.problem or not submission.exercise:
        return Answer(), ""
    answer = grader.open(submission)
    key = journal.key(answer.digest, exercises.find(submission.exercise), grader.timeout)
    # Opened again when its turn comes: a class's notebooks together may be large.
    return (answer if answer.problem else Answer(), key)


class _Worker(threading.Thread):
    """Grades one submission after the other, until none is left or another worker has its place."""

    def __init__(
        self,
        todo: queue.SimpleQueue[tuple[Submission, Answer, str]],
        ended: queue.SimpleQueue[tuple[Submission, Grade, str]],
        grader: Grader,
        watcher: Watcher,
    ) -> None:
        super().__init__(daemon=True)
        self._todo, self._ended, self._grader, self._watcher = todo, ended, grader, watcher
        self._began = math.inf
        self.relieved = False
        self.start()

    def run(self) -> None:
        while not self._grader.stopping.is_set() and not self.relieved:
            try:
                submission, answer, key = self._todo.get_nowait()
            except queue.Empty:
                return
            self._began = time.monotonic()
            self._watcher.started(submission)
            if key and not answer.problem:
                answer = self._grader.open(submission)
            self._ended.put((submission, self._grader.grade(submission, answer), key))

    @property
    def late(self) -> bool:
        """Others wait for a submission that has had its share of time."""
        share = self._grader.timeout * PLACE
        return not self._todo.empty() and time.monotonic() - self._began > share

    def relieve(self) -> _Worker:
        """Who takes the place. This one ends with its submission."""
        self.relieved = True
        return _Worker(self._todo, self._ended, self._grader, self._watcher)


def _relieved(workers: Sequence[_Worker], *, most: int) -> list[_Worker]:
    """Those at work, with others in the places of late ones."""
    found = [worker for worker in workers if worker.is_alive()]
    for worker in list(found):
        if len(found) < most and worker.late and not worker.relieved:
            found.append(worker.relieve())
    return found


def _next(
    ended: queue.SimpleQueue[tuple[Submission, Grade, str]],
) -> tuple[Submission, Grade, str] | None:
    """What has ended. None after a while: waiting for ever would not let Ctrl-C in."""
    with contextlib.suppress(queue.Empty):
        return ended.get(timeout=0.2)
    return None


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="windtunnel-grade-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A closed terminal and a polite end are Ctrl-C too, so that they also leave nothing running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in before:
            signal.signal(number, signal.default_int_handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_children() -> None:
    """End the checks under way: asked first, so that they remove their folders, then made to.

    The warm process that all checks of this user are forked from stays, as after any check: others may be
    using it. It ends our checks when this process ends.
    """
    below = _children()
    for child in below:
        with contextlib.suppress(psutil.Error):
            child.send_signal(signal.SIGINT)
    psutil.wait_procs(below, timeout=_GRACE)
    processes.end({*below, *_children()}, grace=1.0)


def _children() -> list[psutil.Process]:
    """Everything this process started, directly or not, but the warm process and what it forked."""
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if _WARM not in child.cmdline():
                    found += [child, *child.children(recursive=True)]
    return found
