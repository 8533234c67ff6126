"""A table with the same text on every run: what a notebook cell ends in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windtunnel.views.states import COLOURS, chip


@dataclass(frozen=True)
class Table:
    """A heading and rows of text. A cell that is a state's name is drawn as a coloured label."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, line(self.columns), rule, *map(line, self.rows)])

    def _repr_html_(self) -> str:
        cell = "padding:.15em 1em .15em 0;text-align:left;border:none"
        head = "".join(f'<th style="{cell};opacity:.7">{escape(name)}</th>' for name in self.columns)
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="{cell}">{chip(text) if text in COLOURS else escape(text)}</td>' for text in row
            )
            + "</tr>"
            for row in self.rows
        )
        return (
            f'<div class="wt-card"><strong>{escape(self.title)}</strong>'
            f'<table class="wt-table" style="border-collapse:collapse;margin:.3em 0">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )
