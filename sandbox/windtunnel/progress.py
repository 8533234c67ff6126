"""What is shown while several long jobs run side by side: bars on a terminal, a line per event elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_STYLE = {"written": "green", "unchanged": "green", "failed": "bold red"}


class Board:
    """Progress of named jobs, each counted in cells. Without a terminal, a line when one starts and ends."""

    def __init__(self, console: Console, names: Sequence[str], bars: Progress | None) -> None:
        self._console = console
        self._width = max(map(len, names), default=0)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        if bars:
            self._tasks = {name: bars.add_task(self._label(name, "waiting"), start=False) for name in names}

    def started(self, name: str) -> None:
        """A sandbox is being started for it."""
        if self._bars:
            self._bars.start_task(self._tasks[name])
            self._bars.update(self._tasks[name], description=self._label(name, "sandbox"))
        else:
            self.say(f"{name:{self._width}}  started")

    def cell(self, name: str, done: int, total: int) -> None:
        """``done`` of its ``total`` code cells have run."""
        if self._bars:
            label = self._label(name, "running")
            self._bars.update(self._tasks[name], description=label, completed=done, total=total)

    def finished(self, name: str, status: str, seconds: float) -> None:
        """It ended as ``status`` after ``seconds``."""
        if self._bars:
            self._bars.update(
                self._tasks[name], description=self._label(name, status, _STYLE.get(status, ""))
            )
            self._bars.stop_task(self._tasks[name])
        else:
            self.say(f"{name:{self._width}}  {status:9}  {seconds:5.1f} s")

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _label(self, name: str, status: str, style: str = "") -> str:
        padded = f"{status:9}"
        return f"{name:{self._width}}  " + (f"[{style}]{padded}[/]" if style else padded)


@contextlib.contextmanager
def board(console: Console, names: Sequence[str]) -> Iterator[Board]:
    """A `Board` for these jobs, on ``console`` while the block lasts."""
    if not console.is_terminal:
        yield Board(console, names, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        yield Board(console, names, bars)
