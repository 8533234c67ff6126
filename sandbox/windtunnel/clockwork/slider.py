"""The clock in JupyterLab: a bar while it turns, and a slider that turns it."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

from windtunnel.errors import WindtunnelError
from windtunnel.moments import text
from windtunnel.views.strip import Strip

if TYPE_CHECKING:
    from windtunnel.clock import Clock
    from windtunnel.clockwork.turning import Step

HOURS = 6  # one notch of the slider


class Progress:
    """A bar over virtual time, and below it the runs so far."""

    def __init__(self, start: datetime, target: datetime, *, shown: bool = True) -> None:
        self._start, self._span = start, max((target - start).total_seconds(), 1.0)
        self._bar: Any = ipywidgets.FloatProgress(0, min=0, max=1, layout={"width": "18em"})
        self._label: Any = ipywidgets.Label("")
        self._runs: Any = ipywidgets.HTML()
        self._line: Any = ipywidgets.HBox([self._bar, self._label])
        self.box: Any = ipywidgets.VBox([self._line, self._runs])
        self._last: object = None
        self._handle: Any = (
            display(self.box, display_id=True) if shown else None  # type: ignore[no-untyped-call]
        )

    def show(self, step: Step) -> None:
        """Draw where the turn is."""
        now = text(step.now.replace(second=0, microsecond=0))
        if (now, step.runs, step.busy) == self._last:
            return
        self._last = (now, step.runs, step.busy)
        self._bar.value = min((step.now - self._start).total_seconds() / self._span, 1)
        self._label.value = f"{now} UTC" + (f" · {step.busy[0]}" if step.busy else "")
        runs = [(run.dag_id, run.date, run.state) for run in step.runs]
        self._runs.value = Strip("Runs so far", runs)._repr_html_()

    def close(self) -> None:
        """Take it away."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
        for widget in (self.box, self._line, self._bar, self._label, self._runs):
            widget.close()


def show(clock: Clock, days: int) -> None:
    """A slider from now to ``days`` days on. Let go, it turns the clock there, and the runs appear below."""
    start = clock._hands().turned_to()
    moments = [start + timedelta(hours=HOURS * notch) for notch in range(days * 24 // HOURS + 1)]
    hand: Any = ipywidgets.SelectionSlider(
        options=[(text(when), when) for when in moments],
        description="clock",
        continuous_update=False,
        layout={"width": "36em"},
    )
    below: Any = ipywidgets.VBox([])
    busy = False

    def turned(change: Any) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            now = clock._hands().turned_to()
            if change["new"] > now:
                turn(now, change["new"])
            hand.value = max((when for when in moments if when <= clock._hands().turned_to()), default=start)
        except WindtunnelError as error:
            below.children = (ipywidgets.HTML(f"<p>{escape(str(error))}</p>"),)
        finally:
            busy = False

    def turn(now: datetime, target: datetime) -> None:
        progress = Progress(now, target, shown=False)
        below.children, hand.disabled = (progress.box,), True
        try:
            done = clock._turn(lambda _controller, _hands: target, see=progress.show)
            below.children = (ipywidgets.HTML(done._repr_html_()),)
        finally:
            hand.disabled = False
            progress.close()

    hand.observe(turned, names="value")
    box: Any = ipywidgets.VBox([hand, below])
    # A saved notebook keeps the same text, whether a widget drew it or a build.
    display(box._repr_mimebundle_() | {"text/plain": repr(clock)}, raw=True)  # type: ignore[no-untyped-call]
