"""Progress while something runs: widgets in JupyterLab, a rewritten line in a terminal, nothing in a build.

Only what a live view ends in is kept in a notebook, so that executing it twice gives the same text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from windtunnel.views.states import FINISHED, chip


class LiveView(Protocol):
    """Something that can show states while they change."""

    def show(self, states: dict[str, str]) -> None:
        """Draw ``states`` (name → state) in place of the last drawing."""


class _Nothing:
    def show(self, states: dict[str, str]) -> None:
        pass


class _Terminal:
    def __init__(self, what: str) -> None:
        self._what, self._width = what, 0

    def show(self, states: dict[str, str]) -> None:
        done = sum(state in FINISHED for state in states.values())
        running = [name for name, state in states.items() if state == "running"]
        line = f"{self._what}: {done}/{len(states)} {' '.join(running)}"
        sys.stderr.write(f"\r{line.ljust(self._width)}")
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        sys.stderr.write(f"\r{' ' * self._width}\r")


class _Widgets:
    """A progress bar and the states as coloured labels."""

    def __init__(self, what: str) -> None:
        import ipywidgets

        self._bar: Any = ipywidgets.IntProgress(0, 0, 1, layout={"width": "20em"})
        self._text: Any = ipywidgets.HTML(what)
        self.box: Any = ipywidgets.VBox([ipywidgets.HBox([self._bar, ipywidgets.Label(what)]), self._text])

    def show(self, states: dict[str, str]) -> None:
        self._bar.max = max(len(states), 1)
        self._bar.value = sum(state in FINISHED for state in states.values())
        self._bar.bar_style = "danger" if "failed" in states.values() else ""
        shown = [(name, state) for name, state in states.items() if state != "none"][-30:]
        self._text.value = " ".join(f"{name} {chip(state)}" for name, state in shown)


@contextmanager
def live_view(what: str) -> Iterator[LiveView]:
    """A view that fits where this runs; gone when the block ends."""
    if in_lab():
        from IPython.display import clear_output, display

        widgets = _Widgets(what)
        handle = display(widgets.box, display_id=True)  # type: ignore[no-untyped-call]
        try:
            yield widgets
        finally:
            # Replaced rather than cleared: other output of the same cell stays.
            handle.update({"text/plain": ""}, raw=True) if handle else clear_output()  # type: ignore[no-untyped-call]
            widgets.box.close()
    elif sys.stderr.isatty() and not _in_kernel():
        terminal = _Terminal(what)
        try:
            yield terminal
        finally:
            terminal.close()
    else:
        yield _Nothing()


def _in_kernel() -> bool:
    return "ipykernel" in sys.modules and "JPY_PARENT_PID" in os.environ


def in_lab() -> bool:
    """Whether a person sits in front of this kernel, in a notebook that the Jupyter server opened."""
    # The Jupyter server names the notebook of a session it opened; nbclient and nbval have no session.
    return _in_kernel() and "JPY_SESSION_NAME" in os.environ and "WINDTUNNEL_BUILD" not in os.environ
