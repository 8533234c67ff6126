"""When each task of a run waited and ran. Durations differ from run to run: a live view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windtunnel.views.states import colour

ROW, BAR, WIDTH, CHAR, TEXT_WIDTH = 26, 16, 520, 7.6, 40


@dataclass(frozen=True)
class Bar:
    """One task instance: seconds since the run was queued."""

    label: str
    state: str
    queued: float
    start: float
    end: float


@dataclass(frozen=True)
class Gantt:
    """Bars of one run, in the order given."""

    title: str
    bars: Sequence[Bar]

    @property
    def span(self) -> float:
        """Seconds from the run's beginning to its end; never 0."""
        return max((bar.end for bar in self.bars), default=0) or 1

    def __repr__(self) -> str:
        if not self.bars:
            return f"{self.title}, no task has started"
        width = max(len(bar.label) for bar in self.bars)
        lines = [f"{self.title}, {self.span:.1f} s"]
        for bar in self.bars:
            left = min(int(TEXT_WIDTH * bar.start / self.span), TEXT_WIDTH - 1)
            right = max(int(TEXT_WIDTH * bar.end / self.span), left + 1)
            drawn = f"{' ' * left}{'█' * (right - left)}".ljust(TEXT_WIDTH)
            lines.append(f"  {bar.label.ljust(width)} |{drawn}| {bar.end - bar.start:.2f} s {bar.state}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = max((len(bar.label) for bar in self.bars), default=0) * CHAR + 16
        height, total = (len(self.bars) + 1) * ROW, left + WIDTH + 30
        parts = [self._tick(left + WIDTH * tick / 4, height, self.span * tick / 4) for tick in range(5)]
        parts += [self._row(bar, row * ROW, left) for row, bar in enumerate(self.bars)]
        drawn = (
            f'<div class="wt-scroll"><svg class="wt-gantt" role="img" aria-label="{escape(self.title)}" '
            f'style="min-width:{0.7 * total:.0f}px" width="{total:.0f}" height="{height}" '
            f'viewBox="0 0 {total:.0f} {height}" font-size="12">{"".join(parts)}</svg></div>'
        )
        note = "seconds since the run was queued; pale = waiting" if self.bars else "no task has started"
        return (
            f'<div><strong>{escape(self.title)}</strong> <span class="wt-muted">{note}</span>'
            f"{drawn if self.bars else ''}</div>"
        )

    @staticmethod
    def _tick(x: float, height: int, seconds: float) -> str:
        return (
            f'<line class="wt-grid" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{height - ROW}" '
            f'stroke="currentColor" stroke-opacity=".2"/>'
            f'<text class="wt-axis" x="{x:.0f}" y="{height - 8}" text-anchor="middle" '
            f'fill="currentColor">{seconds:.1f} s</text>'
        )

    def _row(self, bar: Bar, top: float, left: float) -> str:
        scale, y, state = WIDTH / self.span, top + (ROW - BAR) / 2, escape(bar.state)
        waited, ran = max(bar.start - bar.queued, 0), max(bar.end - bar.start, 0)
        return (
            f'<text x="{left - 8:.0f}" y="{y + 12.5:.1f}" text-anchor="end" fill="currentColor">'
            f"{escape(bar.label)}</text>"
            f'<rect class="wt-bar wt-queued" x="{left + bar.queued * scale:.1f}" y="{y:.0f}" height="{BAR}" '
            f'width="{waited * scale:.1f}" rx="3" fill="{colour("queued")}" fill-opacity=".4">'
            f"<title>waited {waited:.2f} s</title></rect>"
            f'<rect class="wt-bar wt-{state}" x="{left + bar.start * scale:.1f}" y="{y:.0f}" height="{BAR}" '
            f'width="{max(ran * scale, 2):.1f}" rx="3" fill="{colour(bar.state)}">'
            f"<title>{escape(bar.label)}: {state}, {ran:.2f} s</title></rect>"
        )
