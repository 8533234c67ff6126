"""Task and run states: their colours, as Airflow's own UI has them, and which of them are final."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

# Source: the `solid` tokens of Airflow 3's web interface; the style sheet has the same. Names as in
# TaskInstanceState, from the one that says most about a group of task instances to the one that says least.
COLOURS = {
    "failed": "#e7000b",
    "upstream_failed": "#e17100",
    "up_for_retry": "#d08700",
    "up_for_reschedule": "#0084d1",
    "running": "#0092b8",
    "restarting": "#7f22fe",
    "awaiting_input": "#f54900",
    "deferred": "#9810fa",
    "queued": "#79716b",
    "scheduled": "#71717b",
    "none": "#6a7282",
    "success": "#00a63e",
    "skipped": "#e60076",
    "removed": "#62748e",
}
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def colour(state: str) -> str:
    """The colour of a state; grey for one we do not know."""
    return COLOURS.get(state, COLOURS["none"])


def telling(states: Iterable[str]) -> str:
    """The one state that says most about a group, as Airflow sums up mapped tasks."""
    rank = {state: place for place, state in enumerate(COLOURS)}
    return min(states, key=lambda state: (rank.get(state, len(rank)), state))


def count(states: Iterable[str]) -> dict[str, int]:
    """How many there are of each state, most telling first."""
    found = list(states)
    left, counts = set(found), {}
    while left:
        state = telling(left)
        counts[state] = found.count(state)
        left.remove(state)
    return counts


def chip(state: str) -> str:
    """A state as a small coloured label."""
    return f'<span class="wt-state wt-{escape(state)}">{escape(state)}</span>'
