"""A DAG as a picture, left to right, and as text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from windtunnel.deferred import Deferred
from windtunnel.views.states import chip, colour

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = Deferred("networkx")

ROW, GAP, BOX, CHAR = 46, 34, 32, 7.1  # pixels: rows apart, columns apart, box height, width of a letter


@dataclass(frozen=True)
class Graph:
    """Tasks, edges ``(upstream, downstream)`` and, for a run, ``states`` by task.

    ``copies``: how many instances a mapped task has.
    """

    title: str
    tasks: Sequence[str]
    edges: Sequence[tuple[str, str]]
    states: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    copies: Mapping[str, int] = field(default_factory=dict)

    def order(self) -> list[str]:
        """Tasks from the first to the last, names breaking ties: the same on every run."""
        return order(self.tasks, self.edges)

    def __repr__(self) -> str:
        downstream = {task: sorted(b for a, b in self.edges if a == task) for task in self.tasks}
        lines = [f"{self.title}{f'  ({self.note})' if self.note else ''}"]
        for task in self.order():
            state = f"  [{self.states[task]}]" if task in self.states else ""
            arrow = f" → {', '.join(downstream[task])}" if downstream[task] else ""
            lines.append(f"  {self._label(task)}{state}{arrow}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        note = f' <span class="wt-muted">{escape(self.note)}</span>' if self.note else ""
        legend = " ".join(chip(state) for state in sorted(set(self.states.values())))
        return (
            f"<div><strong>{escape(self.title)}</strong>{note}{self.svg()}"
            f"{f'<div>{legend}</div>' if legend else ''}</div>"
        )

    def _label(self, task: str) -> str:
        return f"{task} ×{self.copies[task]}" if task in self.copies else task

    def svg(self) -> str:
        """The picture; it scrolls where the page is too narrow for it."""
        columns = _columns(self.tasks, self.edges)
        widths = [max(len(self._label(task)) for task in column) * CHAR + 20 for column in columns]
        height = max(map(len, columns), default=0) * ROW
        place: dict[str, tuple[float, float, float]] = {}
        x = 2.0
        for column, width in zip(columns, widths, strict=True):
            top = (height - len(column) * ROW) / 2
            for row, task in enumerate(column):
                place[task] = (x, top + row * ROW + ROW / 2, width)
            x += width + GAP
        parts = [_edge(place[a], place[b]) for a, b in sorted(self.edges)]
        parts += [self._box(task, *place[task]) for task in self.order()]
        total = max(x - GAP + 2, 0)
        # The attributes are for pages without the style sheet. On those with, the picture shrinks to the page,
        # and from `min-width` on it scrolls instead, to keep letters readable.
        return (
            f'<div class="wt-scroll"><svg class="wt-graph" role="img" style="min-width:{0.7 * total:.0f}px" '
            f'aria-label="{escape(self.title)}: {escape(" then ".join(self.order()))}" '
            f'width="{total:.0f}" height="{height:.0f}" viewBox="0 0 {total:.0f} {height:.0f}" '
            f'fill="none" stroke="currentColor">{"".join(parts)}</svg></div>'
        )

    def _box(self, task: str, x: float, y: float, width: float) -> str:
        state, label = self.states.get(task, ""), escape(self._label(task))
        look = f'class="wt-node wt-{escape(state)}" stroke="{colour(state)}"' if state else 'class="wt-node"'
        return (
            f"<g {look}><title>{label}{f': {escape(state)}' if state else ''}</title>"
            f'<rect x="{x:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="6"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + 4.5:.0f}" text-anchor="middle" fill="currentColor" '
            f'stroke="none" font-size="13">{label}</text></g>'
        )


def _edge(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x1, y1, x2, y2 = start[0] + start[2], start[1], end[0], end[1]
    bend = (x1 + x2) / 2
    return (
        f'<path class="wt-edge" d="M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} '
        f'{x2 - 6:.0f} {y2:.0f}"/>'
        f'<path class="wt-arrow" fill="currentColor" d="M{x2 - 7:.0f} {y2 - 4:.0f}L{x2:.0f} {y2:.0f}'
        f'L{x2 - 7:.0f} {y2 + 4:.0f}Z"/>'
    )


def order(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[str]:
    """Tasks in topological order, names breaking ties."""
    return list(nx.lexicographical_topological_sort(_digraph(tasks, edges)))


def _digraph(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tasks)
    graph.add_edges_from(edges)
    return graph


def _columns(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Tasks by their distance from the start, each column ordered to keep edges short."""
    graph = _digraph(tasks, edges)
    columns = [sorted(column) for column in nx.topological_generations(graph)]
    for previous, column in itertools.pairwise(columns):
        row = {task: index for index, task in enumerate(previous)}

        def centre(task: str, row: dict[str, int] = row) -> tuple[float, str]:
            rows = [row[up] for up in graph.predecessors(task) if up in row]
            return (sum(rows) / len(rows) if rows else len(row) / 2, task)

        column.sort(key=centre)
    return columns
