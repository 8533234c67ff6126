"""A table with the same text on every run: what a notebook cell ends in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windtunnel.views.states import COLOURS, chip

NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Table:
    """A heading and rows of text. In a column called "state", a state's name is drawn as a coloured label."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __repr__(self) -> str:
        rows = [[" ".join(cell.splitlines()) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, line(rows[0]), rule, *map(line, rows[1:])])

    def _repr_html_(self) -> str:
        kinds = [self._kind(index) for index in range(len(self.columns))]
        head = "".join(
            f"<th{kind}>{escape(name)}</th>" for name, kind in zip(self.columns, kinds, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{kind}>{chip(text) if name == 'state' and text in COLOURS else escape(text)}</td>"
                for name, text, kind in zip(self.columns, row, kinds, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return (
            f'<div class="wt-scroll"><table class="wt-table"><caption>{escape(self.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _kind(self, column: int) -> str:
        """Columns of numbers are drawn flush right."""
        cells = [row[column] for row in self.rows if row[column]]
        return ' class="wt-num"' if cells and all(NUMBER.fullmatch(cell) for cell in cells) else ""
