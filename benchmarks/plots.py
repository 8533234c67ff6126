"""Results as pictures: bars for comparisons, lines for growing costs. SVG, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.report import Result, figure, is_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHERS, DARK = "#0e7490", "#a8b3bd", "#24292f"
LINES = [OURS, "#b45309", "#6d5bd0", "#57606a"]
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "windtunnel",
    "svg.fonttype": "none",  # text stays text: the browser's font, and readable by a screen reader
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#d0d7de",
    "axes.labelcolor": DARK,
    "text.color": DARK,
    "xtick.color": "#57606a",
    "ytick.color": DARK,
}


def draw(path: Path, results: Sequence[Result]) -> None:
    """All comparisons and curves of a subject, one below the other."""
    with matplotlib.rc_context(STYLE):
        rows = [5 if is_curve(result) else len(result["sides"]) for result in results]
        height = sum(0.34 * row + 1.0 for row in rows)
        picture = Figure(figsize=(8, height), layout="constrained")
        axes = picture.subplots(len(results), 1, height_ratios=[row + 1.2 for row in rows], squeeze=False)
        for place, result in zip(axes[:, 0], results, strict=True):
            place.set_title(result["title"], loc="left", fontsize=11, fontweight="bold")
            (_lines if is_curve(result) else _bars)(place, result)
        picture.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)


def _bars(axes: Axes, result: Result) -> None:
    names = list(result["sides"])
    for place, name in enumerate(names):
        row = result["sides"][name]
        colour = OURS if place == 0 or result.get("all_ours") else OTHERS
        if "median" in row:
            axes.barh(place, row["median"], color=colour, height=0.62)
            axes.plot(row["samples"], [place] * row["n"], "o", ms=3.5, color=DARK, alpha=0.55, mew=0)
        axes.annotate(
            figure(row), (row.get("max", 0), place), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max((row.get("max", 0) for row in result["sides"].values()), default=1) * 1.3 or 1)
    axes.set_xlabel(result["unit"] + (", more is better" if result["more_is_better"] else ""))
    axes.spines[["top", "right"]].set_visible(False)


def _lines(axes: Axes, result: Result) -> None:
    for (name, line), colour in zip(result["sides"].items(), LINES, strict=False):
        known = [(int(point), row) for point, row in line.items() if "median" in row]
        if not known:
            continue
        at = [point for point, _ in known]
        axes.plot(at, [row["median"] for _, row in known], "o-", color=colour, label=name, ms=4)
        axes.fill_between(
            at, [row["min"] for _, row in known], [row["max"] for _, row in known], color=colour, alpha=0.15
        )
        for point, row in known:
            axes.annotate(
                figure({**row, "n": 1}), (point, row["median"]), xytext=(0, 6), textcoords="offset points",
                ha="center", fontsize=8.5,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    points = sorted({int(point) for line in result["sides"].values() for point in line})
    axes.set_xticks(points, [str(point) for point in points])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.margins(y=0.25)
    axes.set_xlabel(result["over"])
    axes.set_ylabel(result["unit"])
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
