"""Watch something in Airflow until it has ended: live while it goes on, a table in the end."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.api import Airflow
from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.live import live_view
from windtunnel.views.states import FINISHED, count
from windtunnel.views.table import Table
from windtunnel.waiting import poll

# Seconds. Together at most ten questions a second, which an API server of one process does not feel.
LOOK, DRAW = 0.15, 0.5


def follow(
    airflow: Airflow,
    what: str,
    *,
    ended: Callable[[], bool],
    states: Callable[[], dict[str, str]],
    table: Callable[[], Table],
    timeout: float,
) -> None:
    """Show ``states`` live until ``ended``, then show ``table``.

    Raises WindtunnelError after ``timeout`` seconds and for Ctrl-C; ``what`` itself goes on.
    """
    stopped = interrupted_means(
        f"Stopped watching; the {what} goes on.", "watch() it again to see how it ends."
    )
    with stopped, live_view(what) as view:
        drawn = 0.0

        def look() -> bool | None:
            nonlocal drawn
            if ended():
                return True
            if view.live and time.monotonic() - drawn >= DRAW:
                view.show(states())
                drawn = time.monotonic()
            return None

        if not poll(look, timeout=timeout, every=LOOK):
            raise _too_late(airflow, what, states(), timeout)
        view.end(table())


def _too_late(airflow: Airflow, what: str, states: dict[str, str], timeout: float) -> WindtunnelError:
    message = f"The {what} had not ended after {timeout:.0f} s: {summary(states)}."
    ill = [name for name, health in airflow.health().items() if health == "unhealthy"]
    if ill:
        return WindtunnelError(
            f"{message} Unhealthy: {', '.join(ill)}.",
            "`windtunnel status` shows it; `windtunnel down`, then `windtunnel up`, starts it anew.",
        )
    return WindtunnelError(message, "watch() again to wait longer; run.log(task) tells what a task does.")


def summary(states: dict[str, str]) -> str:
    """``2 running, 3 success``."""
    return ", ".join(f"{number} {state}" for state, number in count(states.values()).items()) or "nothing yet"


def all_ended(states: dict[str, str]) -> bool:
    """Whether nothing is left to happen."""
    return set(states.values()) <= FINISHED
