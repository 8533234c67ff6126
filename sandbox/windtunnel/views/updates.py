"""Updates of assets in the order they came, and the run that took each: a picture, and a table with the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from windtunnel.views.table import Table

# Pixels: lanes apart, width of an update's step and of a run's, box height, width of a letter.
ROW, STEP, RUN, BOX, CHAR = 44, 68, 62, 28, 7.6
# A run and what it took share a colour, and so does every fourth run: lines that cross stay apart.
COLOURS = ("#4c72b0", "#c9682c", "#3d8f57", "#a8518f")


class Update(NamedTuple):
    """One update: which ``asset``, ``source`` (a DAG, the REST API …), what it says, and which run took it."""

    asset: str
    source: str
    partition: str
    extra: dict[str, object]
    run: int | None

    @property
    def label(self) -> str:
        """The few letters that the picture has room for: its partition, or the first thing its extra says."""
        return self.partition or next((str(value) for value in self.extra.values()), "")


@dataclass(frozen=True)
class Updates:
    """What came for one DAG. Runs are numbered from 1; an update without one still waits."""

    dag_id: str
    assets: Sequence[str]
    updates: Sequence[Update]

    def table(self) -> Table:
        """One row for each update; columns that nobody filled are left out."""
        rows = [
            [
                update.asset,
                update.source,
                update.partition,
                ", ".join(f"{key}={value}" for key, value in update.extra.items()),
                "waits" if update.run is None else f"run {update.run}",
            ]
            for update in self.updates
        ]
        columns = ["update of", "by", "partition", "extra", "taken by"]
        kept = [n for n, name in enumerate(columns) if n in (0, 1, 4) or any(row[n] for row in rows)]
        count = "1 update" if len(rows) == 1 else f"{len(rows)} updates"
        return Table(
            f"{self.dag_id}: {count}",
            [columns[n] for n in kept],
            [[row[n] for n in kept] for row in rows],
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        note = (
            f'<span class="wt-muted">{self.table().title.partition(": ")[2]}, in the order they came</span>'
        )
        return f"<div><strong>{escape(self.dag_id)}</strong> {note}{self.svg()}</div>"

    def _steps(self) -> list[Update | int]:
        """Updates and runs from left to right: a run comes right after the last update that it took."""
        last = {update.run: place for place, update in enumerate(self.updates) if update.run}
        steps: list[Update | int] = []
        for place, update in enumerate(self.updates):
            steps.append(update)
            steps += sorted(run for run, at in last.items() if run and at == place)
        return steps

    def svg(self) -> str:
        """A lane for each asset with a dot for each update, and below them the runs that took them."""
        names, x = [*self.assets, self.dag_id], max(map(len, [*self.assets, self.dag_id])) * CHAR + 16
        height = len(names) * ROW
        left, bottom = x, height - ROW / 2
        dots: list[tuple[Update, float, float]] = []
        boxes: dict[int, float] = {}
        for step in self._steps():
            width = RUN if isinstance(step, int) else STEP
            if isinstance(step, int):
                boxes[step] = x + width / 2
            else:
                dots.append((step, x + width / 2, self.assets.index(step.asset) * ROW + ROW / 2))
            x += width
        parts = [
            *(_lane(name, row * ROW + ROW / 2, left, x) for row, name in enumerate(names)),
            *(_taken(update.run, x1, y1, boxes[update.run], bottom) for update, x1, y1 in dots if update.run),
            *(_dot(update, x1, y1) for update, x1, y1 in dots),
            *(_run(run, at, bottom) for run, at in boxes.items()),
        ]
        # As in a DAG's picture: it shrinks to the page, and from `min-width` on it scrolls.
        return (
            f'<div class="wt-scroll"><svg class="wt-graph" role="img" style="min-width:{0.7 * x:.0f}px" '
            f'aria-label="{escape(self.dag_id)}: updates and the runs that took them" '
            f'width="{x:.0f}" height="{height}" viewBox="0 0 {x:.0f} {height}" font-size="12" '
            f'fill="none" stroke="currentColor">{"".join(parts)}</svg></div>'
        )


def _colour(run: int | None) -> str:
    return "currentColor" if run is None else COLOURS[(run - 1) % len(COLOURS)]


def _lane(name: str, y: float, left: float, right: float) -> str:
    return (
        f'<line x1="{left:.0f}" x2="{right:.0f}" y1="{y:.0f}" y2="{y:.0f}" stroke-opacity=".2"/>'
        f'<text x="{left - 8:.0f}" y="{y + 4.5:.1f}" text-anchor="end" fill="currentColor" stroke="none">'
        f"{escape(name)}</text>"
    )


def _taken(run: int, x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<path stroke="{_colour(run)}" stroke-width="1.5" '
        f'd="M{x1:.0f} {y1:.0f}Q{x2:.0f} {y1:.0f} {x2:.0f} {y2 - BOX / 2:.0f}"/>'
    )


def _dot(update: Update, x: float, y: float) -> str:
    state = "waits" if update.run is None else f"taken by run {update.run}"
    fill = "none" if update.run is None else _colour(update.run)
    return (
        f"<g><title>{escape(update.asset)} by {escape(update.source)}: {state}</title>"
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="6" fill="{fill}" stroke="{_colour(update.run)}" '
        f'stroke-width="2"/><text class="wt-muted" x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle" '
        f'fill="currentColor" stroke="none">{escape(update.label)}</text></g>'
    )


def _run(number: int, x: float, y: float) -> str:
    label = f"run {number}"
    width = len(label) * CHAR + 12
    return (
        f'<g class="wt-node"><rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" '
        f'height="{BOX}" rx="6" style="stroke:{_colour(number)}"/><text x="{x:.0f}" y="{y + 4.5:.1f}" '
        f'text-anchor="middle" fill="currentColor" stroke="none">{label}</text></g>'
    )
