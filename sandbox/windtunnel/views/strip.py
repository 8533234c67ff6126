"""Runs as rows of coloured squares, a row for each DAG: what happened while time passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windtunnel.views.states import chip, colour, count

WIDE = 62  # squares in a row before they are counted only


@dataclass(frozen=True)
class Strip:
    """``runs``: DAG, date, state. The same text whenever the same thing happened."""

    title: str
    runs: Sequence[tuple[str, str, str]]

    def _rows(self) -> dict[str, list[tuple[str, str]]]:
        rows: dict[str, list[tuple[str, str]]] = {}
        for dag_id, date, state in self.runs:
            rows.setdefault(dag_id, []).append((date, state))
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        if not rows:
            return f"{self.title}: no run"
        width = max(map(len, rows))
        lines = []
        for dag_id, found in rows.items():
            states = ", ".join(f"{number} {state}" for state, number in count(s for _, s in found).items())
            span = found[0][0] if len(found) == 1 else f"{found[0][0]} … {found[-1][0]}"
            lines.append(f"  {dag_id.ljust(width)}  {states}  ({span})")
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(dag_id)}</td><td>{self._squares(found)}</td>"
            f"<td>{' '.join(f'{n} {chip(s)}' for s, n in count(s for _, s in found).items())}</td></tr>"
            for dag_id, found in self._rows().items()
        )
        body = f'<table class="wt-table"><tbody>{rows}</tbody></table>' if rows else "<p>No run.</p>"
        return f'<div class="wt-card wt-scroll"><p class="wt-title">{escape(self.title)}</p>{body}</div>'

    @staticmethod
    def _squares(found: Sequence[tuple[str, str]]) -> str:
        squares = "".join(
            f'<rect x="{11 * (place % WIDE)}" y="{12 * (place // WIDE)}" width="9" height="10" rx="2" '
            f'fill="{colour(state)}"><title>{escape(f"{date}: {state}")}</title></rect>'
            for place, (date, state) in enumerate(found)
        )
        width, height = 11 * min(len(found), WIDE), 12 * ((len(found) - 1) // WIDE + 1)
        return f'<svg width="{width}" height="{height}" role="img" aria-label="{len(found)} runs">{squares}</svg>'
