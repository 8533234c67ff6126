"""Progress while something runs: widgets in JupyterLab, a rewritten line in a terminal, nothing elsewhere.

A live view ends in a result, drawn in the same place. Only that is kept in a notebook, so that a notebook
saved in JupyterLab holds what a build of it holds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

from windtunnel.views.states import FINISHED, chip, count

NAMED = 12  # more task instances than this are counted, not listed


class View:
    """Shows nothing but the result: for a page that is built, where nobody looks on."""

    live = False  # whether `show` shows anything

    def show(self, states: Mapping[str, str]) -> None:
        """Draw ``states`` (name → state) in place of the last drawing."""

    def end(self, result: object) -> None:
        """Put ``result`` in place of the last drawing."""
        from IPython.display import display

        display(result)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Take the drawing away. May be called more than once."""


class _Terminal(View):
    live = True

    def __init__(self, what: str) -> None:
        self._what, self._width = what, 0

    def show(self, states: Mapping[str, str]) -> None:
        counts = ", ".join(f"{number} {state}" for state, number in count(states.values()).items())
        line = f"{self._what}: {counts}"
        sys.stderr.write(f"\r{line.ljust(self._width)}")
        sys.stderr.flush()
        self._width = len(line)

    def end(self, result: object) -> None:
        self.close()
        super().end(result)

    def close(self) -> None:
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            sys.stderr.flush()
            self._width = 0


class _Widgets(View):
    """A progress bar, and the states as coloured labels."""

    live = True

    def __init__(self, what: str) -> None:
        import ipywidgets
        from IPython.display import display

        self._bar: Any = ipywidgets.IntProgress(0, 0, 1, layout={"width": "18em"})
        self._label: Any = ipywidgets.Label(f"{what} …")
        self._chips: Any = ipywidgets.HTML()
        line = ipywidgets.HBox([self._bar, self._label])
        self._all: list[Any] = [
            ipywidgets.VBox([line, self._chips]),
            line,
            self._bar,
            self._label,
            self._chips,
        ]
        self._handle: Any = display(self._all[0], display_id=True)  # type: ignore[no-untyped-call]
        self._shown: Mapping[str, str] | None = None

    def show(self, states: Mapping[str, str]) -> None:
        if states == self._shown:
            return  # nothing new to send to the browser
        self._shown = dict(states)
        done = sum(state in FINISHED for state in states.values())
        self._bar.max, self._bar.value = max(len(states), 1), done
        self._bar.bar_style = "danger" if "failed" in states.values() else ""
        self._chips.value = (
            " ".join(
                f'<span style="white-space:nowrap">{escape(n)} {chip(s)}</span>' for n, s in states.items()
            )
            if len(states) <= NAMED
            else " ".join(f"{number} {chip(state)}" for state, number in count(states.values()).items())
        )

    def end(self, result: object) -> None:
        if self._handle is None:  # no front end took the widgets
            super().end(result)
        else:
            self._handle.update(result)
            self._handle = None
        self.close()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
            self._handle = None
        while self._all:
            self._all.pop().close()


@contextmanager
def live_view(what: str) -> Iterator[View]:
    """A view that fits where this runs; what it showed is gone when the block ends, its result stays."""
    view = _Widgets(what) if in_lab() else _Terminal(what) if in_terminal() else View()
    try:
        yield view
    finally:
        view.close()


def in_lab() -> bool:
    """Whether a person sits in front of this kernel, in a notebook that the Jupyter server opened."""
    # The Jupyter server names the notebook of a session it opened; nbclient and nbval have no session.
    return _in_kernel() and "JPY_SESSION_NAME" in os.environ


def in_terminal() -> bool:
    """Whether a person sits in front of a terminal."""
    return sys.stderr.isatty() and not _in_kernel()


def _in_kernel() -> bool:
    return "ipykernel" in sys.modules and "JPY_PARENT_PID" in os.environ
