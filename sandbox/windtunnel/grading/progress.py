"""What is shown while a class is graded: a bar on a terminal, a line for each submission elsewhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from windtunnel.grading.grades import ERROR, FAILED, Grade
from windtunnel.grading.submissions import Submission

SHOWN = 4  # names under way


@dataclass
class Board:
    """See `windtunnel.grading.batch.Watcher`."""

    console: Console
    total: int
    bar: Progress | None = None
    task: TaskID | None = None
    kept: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    under_way: list[str] = field(default_factory=list)
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, submission: Submission) -> None:
        """A thread has taken it up."""
        with self._lock:
            self.under_way.append(submission.student)
        self._show(0)

    def finished(self, submission: Submission, grade: Grade, *, kept: bool) -> None:
        """It has its grade."""
        with self._lock:
            self._done += 1
            self.kept += kept
            self.counts[grade.status] = self.counts.get(grade.status, 0) + 1
            if submission.student in self.under_way:
                self.under_way.remove(submission.student)
        self._show(1)
        if self.bar is None and not kept:
            worth = "error" if grade.earned is None else f"{grade.earned}/{grade.total}"
            why = f"  {grade.reason}" if grade.status == ERROR else ""
            line = f"[{self._done:{len(str(self.total))}}/{self.total}] {submission.student}  "
            self._say(f"{line}{submission.exercise}  {worth}  {grade.seconds:.1f} s{why}")

    def stopped(self, done: int) -> None:
        """Ctrl-C: ``done`` are kept."""
        self._say(
            f"Stopped: {done} of {self.total} are graded and kept; nothing is left running.\n"
            "Next: type the same command again to go on."
        )

    def _show(self, advance: int) -> None:
        if self.bar is not None and self.task is not None:
            with self._lock:
                names = [escape(name) for name in self.under_way[:SHOWN]]
                names += ["…"] if len(self.under_way) > SHOWN else []
                told = f"[red]{self.counts.get(FAILED, 0)} not full[/]"
                if self.counts.get(ERROR):
                    told += f", [bold red]{self.counts[ERROR]} not graded[/]"
            self.bar.update(self.task, advance=advance, told=told, names=", ".join(names))

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def board(console: Console, total: int) -> Iterator[Board]:
    """A `Board` for ``total`` submissions, on ``console`` while the block lasts."""
    if not console.is_terminal:
        yield Board(console, total)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[told]}  [dim]{task.fields[names]}[/]"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Board(console, total, bar, bar.add_task("", total=total, told="", names=""))
