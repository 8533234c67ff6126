"""Runs on a calendar: a row for each day and 24 hours wide, or a row for each month and 31 days wide."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from html import escape

from windtunnel.views.table import Table

MOST_DAYS = 14  # in rows of their own; a longer calendar has rows of months
# Pixels: an hour or a day wide, a DAG's lane, a dot's radius, least height of a row, the legend's line, a letter.
HOUR, DAY, LANE, DOT, ROW, LEGEND, CHAR = 28, 22, 7, 2.6, 24, 20, 7.6
COLOURS = ("#4c72b0", "#c9682c", "#3d8f57", "#a8518f", "#8c6d31", "#2b93c4", "#c44e52", "#76777a")


@dataclass(frozen=True)
class Calendar:
    """Runs of the DAGs ``names`` from the day ``first`` to the day ``last``, both included.

    ``runs``: DAG and moment, in the zone whose clocks the calendar shows; ``zone`` is its name.
    """

    names: Sequence[str]
    runs: Sequence[tuple[str, datetime]]
    first: date
    last: date
    zone: str = "UTC"

    def of(self, dag_id: str) -> list[datetime]:
        """The moments of one DAG's runs, in the calendar's zone."""
        return [moment for name, moment in self.runs if name == dag_id]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def title(self) -> str:
        """``2026-02-23 to 2026-03-01, UTC``."""
        span = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{span}, {self.zone}"

    @cached_property
    def _rows(self) -> list[date]:
        """The first day of each row."""
        days = (self.last - self.first).days + 1
        if days <= MOST_DAYS:
            return [self.first + timedelta(days=number) for number in range(days)]
        months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month
        begin = self.first.year * 12 + self.first.month - 1
        return [date(number // 12, number % 12 + 1, 1) for number in range(begin, begin + months + 1)]

    @property
    def _by_month(self) -> bool:
        return (self.last - self.first).days >= MOST_DAYS

    def _row(self, moment: datetime) -> int:
        day = moment.date().replace(day=1) if self._by_month else moment.date()
        return self._rows.index(day)

    def _label(self, row: date) -> str:
        return f"{row:%b %Y}" if self._by_month else f"{row:%a} {row.day} {row:%b}"

    # --- as text -----------------------------------------------------------------------------------
    def table(self) -> Table:
        """How many runs each DAG has in each row of the picture, and altogether."""
        rows = []
        for name in self.names:
            places = [self._row(moment) for moment in self.of(name)]
            counts = [places.count(place) for place in range(len(self._rows))]
            rows.append([name, *map(str, counts), str(len(places))])
        heads = [f"{row:%b}" if self._by_month else f"{row:%a} {row.day}" for row in self._rows]
        return Table(f"{self.title}: {len(self.runs)} runs", ["DAG", *heads, "runs"], rows)

    def __repr__(self) -> str:
        return repr(self.table())

    # --- as a picture ------------------------------------------------------------------------------
    def _repr_html_(self) -> str:
        return (
            f'<div><strong>{escape(self.title)}</strong> <span class="wt-muted">{len(self.runs)} runs</span>'
            f"{self.svg()}</div>"
        )

    def svg(self) -> str:
        """A dot for each run, a colour and a lane for each DAG; weekends are shaded."""
        left, step, columns = 84, DAY if self._by_month else HOUR, 31 if self._by_month else 24
        width, row = left + step * columns + 12, max(ROW, LANE * len(self.names) + 8)
        legend, top = self._legend(width)
        bottom = top + row * len(self._rows)
        parts = [*legend]
        for place, day in enumerate(self._rows):
            y = top + row * place
            parts += self._shades(day, left, y, step, row)
            parts.append(
                f'<line class="wt-grid" x1="{left}" x2="{left + step * columns}" y1="{y}" y2="{y}" '
                'stroke="currentColor" stroke-opacity=".2"/>'
                f'<text x="{left - 8}" y="{y + row / 2 + 4:.1f}" text-anchor="end" fill="currentColor">'
                f"{self._label(day)}</text>"
            )
        parts += self._axis(left, step, columns, top, bottom)
        parts += [self._dot(name, moment, left, top, step, row) for name, moment in self.runs]
        # As in a DAG's picture: it shrinks to the page, and from `min-width` on it scrolls.
        return (
            f'<div class="wt-scroll"><svg class="wt-gantt wt-calendar" role="img" '
            f'aria-label="{escape(self.title)}: {len(self.runs)} runs" style="min-width:{0.7 * width:.0f}px" '
            f'width="{width}" height="{bottom + 22}" viewBox="0 0 {width} {bottom + 22}" font-size="12">'
            f"{''.join(parts)}</svg></div>"
        )

    def _legend(self, width: int) -> tuple[list[str], int]:
        """The DAGs' names behind dots of their colours, and where the calendar itself begins."""
        x, y, parts = 8.0, LEGEND / 2, []
        for name in self.names:
            count = str(len(self.of(name)))
            needed = (len(name) + len(count)) * CHAR + 32
            if x > 8 and x + needed > width:
                x, y = 8.0, y + LEGEND
            parts.append(
                f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{self._colour(name)}"/>'
                f'<text x="{x + 9:.0f}" y="{y + 4.5:.1f}" fill="currentColor">{escape(name)} '
                f'<tspan fill-opacity=".6">{count}</tspan></text>'
            )
            x += needed
        return parts, int(y + LEGEND / 2 + 6)

    def _colour(self, name: str) -> str:
        return COLOURS[list(self.names).index(name) % len(COLOURS)]

    def _shades(self, day: date, left: int, y: int, step: int, row: int) -> list[str]:
        """Weekends, and in rows of months the days that a month does not have."""
        shade = (
            '<rect x="{x}" y="{y}" width="{width}" height="{row}" fill="currentColor" fill-opacity="{how}"/>'
        )
        if not self._by_month:
            whole = shade.format(x=left, y=y, width=24 * step, row=row, how=0.06)
            return [whole] if day.weekday() > 4 else []
        length = monthrange(day.year, day.month)[1]
        places = [n for n in range(length) if (day + timedelta(days=n)).weekday() > 4]
        free = [shade.format(x=left + n * step, y=y, width=step, row=row, how=0.06) for n in places]
        absent = shade.format(x=left + length * step, y=y, width=(31 - length) * step, row=row, how=0.22)
        return free + ([absent] if length < 31 else [])

    def _axis(self, left: int, step: int, columns: int, top: int, bottom: int) -> list[str]:
        """Hours stand on their lines, days of the month between two."""
        every, shift = (1, step / 2) if self._by_month else (3, 0)
        numbers = range(1, 32) if self._by_month else range(0, 25, every)
        unit = "day" if self._by_month else "hour"
        return [
            f'<text class="wt-axis" x="{left - 12}" y="{bottom + 15}" text-anchor="end" '
            f'fill="currentColor">{unit}</text>',
            f'<line class="wt-grid" x1="{left}" x2="{left + step * columns}" y1="{bottom}" y2="{bottom}" '
            'stroke="currentColor" stroke-opacity=".2"/>',
            *(
                f'<line class="wt-grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" '
                'stroke="currentColor" stroke-opacity=".2"/>'
                f'<text class="wt-axis" x="{x + shift:.0f}" y="{bottom + 15}" text-anchor="middle" '
                f'fill="currentColor">{number}</text>'
                for place, number in enumerate(numbers)
                for x in [left + step * every * place]
            ),
        ]

    def _dot(self, name: str, moment: datetime, left: int, top: int, step: int, row: int) -> str:
        hours = moment.hour + moment.minute / 60 + moment.second / 3600
        # A calendar of months has no room for hours: the dot stands in the middle of its day.
        x = left + step * (moment.day - 0.5 if self._by_month else hours)
        lane = list(self.names).index(name) - (len(self.names) - 1) / 2
        y = top + row * (self._row(moment) + 0.5) + lane * LANE
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{self._colour(name)}">'
            f"<title>{escape(name)}: {moment:%a %Y-%m-%d %H:%M}</title></circle>"
        )
