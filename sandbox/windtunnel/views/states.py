"""Colours of task and run states, as Airflow's own UI has them."""

from __future__ import annotations

from html import escape

# Source: airflow/settings.py STATE_COLORS and the 3.x UI's palette, names as in TaskInstanceState.
COLOURS = {
    "success": "#2e9e4f",
    "failed": "#d9423c",
    "running": "#2fae9b",
    "queued": "#8a8d91",
    "scheduled": "#b08d57",
    "skipped": "#d4679f",
    "upstream_failed": "#e08a1e",
    "up_for_retry": "#c7a008",
    "up_for_reschedule": "#3fa7b5",
    "deferred": "#8265c4",
    "awaiting_input": "#8265c4",
    "restarting": "#8265c4",
    "removed": "#8a8d91",
    "none": "#8a8d91",
}
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def colour(state: str) -> str:
    """The colour of a state; grey for one we do not know."""
    return COLOURS.get(state, COLOURS["none"])


def chip(state: str) -> str:
    """A state as a small coloured label."""
    return (
        f'<span style="display:inline-block;padding:0 .6em;border-radius:.8em;line-height:1.5em;'
        f'font-size:.9em;color:#fff;background:{colour(state)}">{escape(state)}</span>'
    )
