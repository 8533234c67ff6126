"""Results on screen, as a page's table and as the README's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.machine import in_words

BEGIN, END = "<!-- from benchmarks/results: windtunnel bench writes this -->", "<!-- end of the results -->"
Result = dict[str, Any]


def written(folder: Path) -> dict[str, Result]:
    """All results of a folder, by name, each subject's in the order of its figures."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
    }
    return dict(sorted(found.items(), key=lambda item: item[1].get("place", 0)))


def is_curve(result: Result) -> bool:
    """Whether it is one of the growing costs."""
    return "over" in result


def number(value: float) -> str:
    """Three digits that mean something: 0.46, 1.98, 12.3, 917."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def figure(side: Result) -> str:
    """``1.98 (1.69–3.26)``, or that it failed."""
    if "median" not in side:
        return "failed" if side.get("failed") else "–"
    if side["n"] == 1:
        return number(side["median"])
    return f"{number(side['median'])} ({number(side['min'])}–{number(side['max'])})"


def beside(result: Result, name: str) -> str:
    """How many times Windtunnel's figure this side's is, or the other way round where more is better."""
    sides = result["sides"]
    first = next(iter(sides))
    ours, theirs = sides[first].get("median"), sides[name].get("median")
    if name == first or result.get("all_ours") or not ours or not theirs:
        return ""
    return f"{theirs / ours:.2f} ×" if theirs / ours < 10 else f"{theirs / ours:.0f} ×"


def met(result: Result) -> Iterator[tuple[str, bool]]:
    """Each thing that was wished for, in words, and whether the figures have it."""
    target, sides, unit = result.get("target", {}), result["sides"], result["unit"]
    ours = list(sides.values()) if result.get("all_ours") else [next(iter(sides.values()))]
    if not all("median" in row for row in ours):
        return
    if "most" in target:
        yield f"at most {target['most']:g} {unit}", all(row["median"] <= target["most"] for row in ours)
    if "least" in target:
        yield f"at least {target['least']:g} {unit}", all(row["median"] >= target["least"] for row in ours)
    if "worst" in target:
        yield f"never over {target['worst']:g} {unit}", all(row["max"] <= target["worst"] for row in ours)
    if "beats" in target and "median" in (peer := sides.get(target["beats"], {})):
        ratios = [row["median"] / peer["median"] for row in ours]
        times = target.get("times", 1)
        better = [ratio if result["more_is_better"] else 1 / ratio for ratio in ratios]
        yield f"{times:g} × {target['beats']}", min(better) >= times


def table(result: Result) -> Table:
    """For the terminal."""
    if is_curve(result):
        points = list(dict.fromkeys(point for line in result["sides"].values() for point in line))
        shown = Table("", *points, title=escape(f"{result['title']}, {result['unit']}, by {result['over']}"))
        for side, line in result["sides"].items():
            shown.add_row(escape(side), *(figure(line.get(point, {})) for point in points))
        return shown
    shown = Table("", "median", "min", "max", "n", "", title=escape(f"{result['title']}, {result['unit']}"))
    for side, row in result["sides"].items():
        if "median" in row:
            values = (number(row["median"]), number(row["min"]), number(row["max"]), str(row["n"]))
            shown.add_row(escape(side), *values, beside(result, side))
        if row.get("failed"):
            shown.add_row(escape(side), f"[red]failed: {escape(row['failed'])}[/]")
    if wishes := list(met(result)):
        shown.caption = "; ".join(f"{wish}: {'yes' if kept else '[red]no[/]'}" for wish, kept in wishes)
    return shown


def markdown(results: dict[str, Result], names: list[str]) -> str:
    """A table of comparisons: a line for each, Windtunnel's figure in front. Curves are left out."""
    lines = ["| | Windtunnel | beside it | wished for |", "|---|---|---|---|"]
    for name in names:
        result = results.get(name)
        if result is None or is_curve(result):
            continue
        (first, ours), *others = result["sides"].items()
        own = figure(ours) if first == "Windtunnel" else f"{first}: {figure(ours)}"
        beside_it = "; ".join(f"{side}: {figure(row)}" for side, row in others) or "–"
        wishes = "; ".join(f"{wish}: {'yes' if kept else '**no**'}" for wish, kept in met(result)) or "–"
        lines.append(f"| {result['title']}, {result['unit']} | {own} | {beside_it} | {wishes} |")
    return "\n".join(lines) + f"\n\n{machines([results[name] for name in names if name in results])}\n"


def machines(results: Iterable[Result]) -> str:
    """Where it was measured; more than one line if not all at once."""
    return "  \n".join(
        f"Measured on {words}." for words in dict.fromkeys(in_words(r["machine"]) for r in results)
    )


def section(title: str, plot: str, results: dict[str, Result]) -> str:
    """A subject's plot, its tables, what they mean, and the load they were measured under, in Markdown."""
    titles = "; ".join(result["title"] for result in results.values())
    blocks = [f"## {title}", f"![As in the tables: {titles}]({plot})"]
    said = ""
    for result in results.values():
        blocks.append(f"**{result['title']}**, {result['unit']}")
        blocks.append(_growth(result) if is_curve(result) else _sides(result))
        note = result["note"] if result["note"] != said else "Measured as above."
        blocks.append(f"{note} {_when(result)}.".strip())
        said = result["note"]
    blocks.append(machines(results.values()))
    return "\n\n".join(blocks) + "\n"


def _sides(result: Result) -> str:
    first = next(iter(result["sides"]))
    heads = ["", "median", "min–max", "n"]
    if compared := len(result["sides"]) > 1 and not result.get("all_ours"):
        heads.append("of Windtunnel's" if first == "Windtunnel" else "of the first's")
    rows = []
    for side, row in result["sides"].items():
        name = side.replace("--", r"\-\-")  # an option, no dash
        if "median" in row:
            span = f"{number(row['min'])}–{number(row['max'])}" if row["n"] > 1 else ""
            times = [beside(result, side)] if compared else []
            rows.append([name, number(row["median"]), span, str(row["n"]), *times])
        if row.get("failed"):
            rows.append([name, "failed", *[""] * (len(heads) - 3), row["failed"]])
    lines = [" | ".join(cells) for cells in (heads, ["---", *["--:"] * (len(heads) - 1)], *rows)]
    wishes = "; ".join(f"{wish}: {'yes' if kept else '**no**'}" for wish, kept in met(result))
    return "\n".join(f"| {line} |" for line in lines) + (f"\n\nWished for: {wishes}." if wishes else "")


def _growth(result: Result) -> str:
    points = list(dict.fromkeys(point for line in result["sides"].values() for point in line))
    lines = [f"| {result['over']} | " + " | ".join(points) + " |", "|---|" + "--:|" * len(points)]
    for side, line in result["sides"].items():
        lines.append(f"| {side} | " + " | ".join(figure(line.get(point, {})) for point in points) + " |")
    return "\n".join(lines)


def _when(result: Result) -> str:
    load = result["load"]
    return f"Load of the machine before and after: {load['before']:.1f} and {load['after']:.1f}"


def put_between_marks(text: str, block: str) -> str:
    """``text`` with what stands between the two marks exchanged. Raises ValueError if they are not there."""
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError("no place for the results")
    return f"{before}{BEGIN}\n\n{block}\n{END}{after}"
