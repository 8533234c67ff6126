"""A DAG as a picture, left to right, and as text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import networkx as nx

from windtunnel.views.states import colour

ROW, GAP, BOX, CHAR = 44, 46, 30, 7.4  # pixels: rows apart, columns apart, box height, width of a letter


@dataclass(frozen=True)
class Graph:
    """Tasks, edges ``(upstream, downstream)`` and, for a run, ``states`` by task."""

    title: str
    tasks: Sequence[str]
    edges: Sequence[tuple[str, str]]
    states: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def order(self) -> list[str]:
        """Tasks from the first to the last, names breaking ties: the same on every run."""
        return order(self.tasks, self.edges)

    def __repr__(self) -> str:
        downstream = {task: sorted(b for a, b in self.edges if a == task) for task in self.tasks}
        lines = [f"{self.title}{f'  ({self.note})' if self.note else ''}"]
        for task in self.order():
            state = f"  [{self.states[task]}]" if task in self.states else ""
            arrow = f" → {', '.join(downstream[task])}" if downstream[task] else ""
            lines.append(f"  {task}{state}{arrow}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        note = f' <span style="opacity:.7">{escape(self.note)}</span>' if self.note else ""
        return f'<div class="wt-card"><strong>{escape(self.title)}</strong>{note}{self.svg()}</div>'

    def svg(self) -> str:
        """The picture; it scrolls where the page is too narrow for it."""
        columns = _columns(self.tasks, self.edges)
        widths = [max(len(task) for task in column) * CHAR + 24 for column in columns]
        height = max(map(len, columns), default=1) * ROW
        place: dict[str, tuple[float, float, float]] = {}
        x = 4.0
        for column, width in zip(columns, widths, strict=True):
            top = (height - len(column) * ROW) / 2
            for row, task in enumerate(column):
                place[task] = (x, top + row * ROW + ROW / 2, width)
            x += width + GAP
        parts = [self._edge(place[a], place[b]) for a, b in sorted(self.edges)]
        parts += [self._box(task, *place[task]) for task in self.order()]
        total = x - GAP + 4
        return (
            f'<div style="overflow-x:auto"><svg class="wt-graph" role="img" '
            f'aria-label="{escape(self.title)}: {escape(" then ".join(self.order()))}" '
            f'width="{total:.0f}" height="{height:.0f}" viewBox="0 0 {total:.0f} {height:.0f}" '
            f'font-family="system-ui, sans-serif" font-size="13">{"".join(parts)}</svg></div>'
        )

    def _box(self, task: str, x: float, y: float, width: float) -> str:
        state = self.states.get(task, "")
        stroke = colour(state) if state else "currentColor"
        fill = f"{colour(state)}33" if state else "none"
        return (
            f'<rect x="{x:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="6" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{2 if state else 1}">'
            f"<title>{escape(task)}{f': {state}' if state else ''}</title></rect>"
            f'<text x="{x + width / 2:.0f}" y="{y + 4.5:.0f}" text-anchor="middle" fill="currentColor">'
            f"{escape(task)}</text>"
        )

    @staticmethod
    def _edge(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
        x1, y1, x2, y2 = start[0] + start[2], start[1], end[0], end[1]
        bend = (x1 + x2) / 2
        return (
            f'<path d="M{x1:.0f} {y1:.0f} C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2 - 5:.0f} {y2:.0f}" '
            f'fill="none" stroke="currentColor" stroke-opacity=".55"/>'
            f'<path d="M{x2 - 7:.0f} {y2 - 4:.0f} L{x2:.0f} {y2:.0f} L{x2 - 7:.0f} {y2 + 4:.0f} Z" '
            f'fill="currentColor" fill-opacity=".55"/>'
        )


def _digraph(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tasks)
    graph.add_edges_from(edges)
    return graph


def order(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[str]:
    """Tasks in topological order, names breaking ties."""
    return list(nx.lexicographical_topological_sort(_digraph(tasks, edges)))


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
