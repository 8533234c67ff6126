"""When each task of a run waited and ran. Durations differ from run to run: a live view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windtunnel.views.states import colour

ROW, BAR, WIDTH, CHAR = 26, 16, 560, 7.4


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

    def __repr__(self) -> str:
        width = max((len(bar.label) for bar in self.bars), default=0)
        span = max((bar.end for bar in self.bars), default=0) or 1
        lines = [f"{self.title}, {span:.1f} s"]
        for bar in self.bars:
            left, right = (
                int(40 * bar.start / span),
                max(int(40 * bar.end / span), int(40 * bar.start / span) + 1),
            )
            lines.append(
                f"  {bar.label.ljust(width)} |{' ' * left}{'█' * (right - left)}{' ' * (40 - right)}| "
                f"{bar.end - bar.start:.2f} s {bar.state}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        span = max((bar.end for bar in self.bars), default=0) or 1
        label = max((len(bar.label) for bar in self.bars), default=0) * CHAR + 16
        height = (len(self.bars) + 1) * ROW
        parts = []
        for tick in range(5):
            x = label + WIDTH * tick / 4
            parts.append(
                f'<line x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{height - ROW}" stroke="currentColor" '
                f'stroke-opacity=".15"/><text x="{x:.0f}" y="{height - 8}" text-anchor="middle" '
                f'fill="currentColor" fill-opacity=".7">{span * tick / 4:.1f} s</text>'
            )
        for row, bar in enumerate(self.bars):
            y = row * ROW + (ROW - BAR) / 2
            scale = WIDTH / span
            parts.append(
                f'<text x="{label - 8:.0f}" y="{y + 12.5:.0f}" text-anchor="end" fill="currentColor">'
                f"{escape(bar.label)}</text>"
                f'<rect x="{label + bar.queued * scale:.1f}" y="{y:.0f}" height="{BAR}" rx="3" '
                f'width="{max(bar.start - bar.queued, 0) * scale:.1f}" fill="{colour("queued")}" '
                f'fill-opacity=".35"><title>waited {bar.start - bar.queued:.2f} s</title></rect>'
                f'<rect x="{label + bar.start * scale:.1f}" y="{y:.0f}" height="{BAR}" rx="3" '
                f'width="{max((bar.end - bar.start) * scale, 2):.1f}" fill="{colour(bar.state)}">'
                f"<title>{escape(bar.label)}: {bar.state}, {bar.end - bar.start:.2f} s</title></rect>"
            )
        return (
            f'<div class="wt-card"><strong>{escape(self.title)}</strong> <span style="opacity:.7">'
            f"seconds since the run was queued; grey = waiting for a worker</span>"
            f'<div style="overflow-x:auto"><svg class="wt-gantt" role="img" aria-label="{escape(self.title)}" '
            f'width="{label + WIDTH + 30:.0f}" height="{height}" font-family="system-ui, sans-serif" '
            f'font-size="12">{"".join(parts)}</svg></div></div>'
        )
