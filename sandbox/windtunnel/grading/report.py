"""The output folder: grades as CSV, JSON and JUnit, and pages to look at. Every file is whole or not there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from windtunnel.grading.grades import ERROR, ExerciseResults, Grade, Results
from windtunnel.views import grades as pages
from windtunnel.whole import put

PAGES = "submissions"
INDEX = "index.html"
# What a spreadsheet takes for the beginning of a formula; the wide forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write(folder: Path, results: Results, formats: Iterable[str] = ("csv",)) -> list[Path]:
    """Write the index, a page for each submission, and the files of ``formats``. Returns the index and those.

    A file of another format that is there already is written anew too: it would tell old grades. Pages of
    submissions that are no more are removed.
    """
    wanted = [name for name in FORMATS if name in formats or (folder / file_name(name)).exists()]
    (folder / PAGES).mkdir(exist_ok=True)
    names = page_names(results.grades)
    for grade in results.grades:
        name = names[grade.student, grade.exercise]
        put(folder / PAGES / name, pages.submission(grade, results.folder))
    for old in (folder / PAGES).glob("*.html"):
        if old.name not in names.values():
            old.unlink()
    links = {who: f"{PAGES}/{name}" for who, name in names.items()}
    put(folder / INDEX, pages.index(results, links))
    for name in wanted:
        put(folder / file_name(name), FORMATS[name](results))
    return [folder / INDEX, *(folder / file_name(name) for name in wanted)]


def file_name(format_: str) -> str:
    """``grades.csv``, ``grades.json``, ``grades.junit.xml``."""
    return "grades.junit.xml" if format_ == "junit" else f"grades.{format_}"


def page_names(grades: Iterable[Grade]) -> dict[tuple[str, str], str]:
    """A file name for each student and exercise: readable, and no two alike also where case does not count."""
    names: dict[tuple[str, str], str] = {}
    for grade in grades:
        who = (grade.student, grade.exercise)
        plain = re.sub(r"[^a-z0-9]+", "-", f"{grade.student} {grade.exercise}".lower()).strip("-")[:80]
        mark = hashlib.sha256("\0".join(who).encode()).hexdigest()[:6]
        names[who] = f"{plain}-{mark}.html"
    return names


def _csv(results: Results) -> str:
    """A row for each student and exercise. Begins with a byte order mark, by which spreadsheets know UTF-8."""
    columns = _criteria_columns(results.exercises)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(
        map(
            _cell,
            ["student", "exercise", "points", "total", "percent", "status", *columns.values(), "reason"],
        )
    )
    for grade in results.grades:
        earned = {(grade.exercise, each.name): each.points if each.passed else 0 for each in grade.criteria}
        percent = None if grade.percent is None else f"{grade.percent:.1f}"
        writer.writerow(
            [
                *map(_cell, (grade.student, grade.exercise)),
                *("" if value is None else value for value in (grade.earned, grade.total, percent)),
                grade.status,
                *(earned.get(column, "") for column in columns),
                _cell(grade.reason),
            ]
        )
    return "\ufeff" + table.getvalue()


def _criteria_columns(exercises: list[ExerciseResults]) -> dict[tuple[str, str], str]:
    """(exercise, criterion) → the heading of its column."""
    headings: dict[tuple[str, str], str] = {}
    for exercise in exercises:
        for criterion in exercise.criteria:
            text = criterion.text.splitlines()[0]
            heading = text if len(exercises) == 1 else f"{exercise.exercise}: {text}"
            taken = heading in headings.values()
            headings[exercise.exercise, criterion.name] = (
                f"{heading} ({criterion.name})" if taken else heading
            )
    return headings


def _cell(text: str) -> str:
    """``text`` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _json(results: Results) -> str:
    exercises = [
        {
            "exercise": each.exercise,
            "graded": len(each.percents),
            "mean_percent": each.mean,
            "median_percent": each.median,
            "missed": {m.criterion.name: m.missed for m in each.missed},
        }
        for each in results.exercises
    ]
    grades = [
        grade.to_dict() | {"points": grade.earned, "total": grade.total, "percent": grade.percent}
        for grade in results.grades
    ]
    for grade_ in grades:
        del grade_["source"]  # it is on the submission's page
    everything = {
        "windtunnel": version("windtunnel"),
        "folder": results.folder,
        "exercises": exercises,
        "grades": grades,
        "skipped": list(results.skipped),
    }
    return json.dumps(everything, indent=1, ensure_ascii=False) + "\n"


def _junit(results: Results) -> str:
    """A test suite for each submission, a test case for each criterion."""
    root = ElementTree.Element("testsuites", name="windtunnel grade")
    for grade in results.grades:
        missed = [each for each in grade.criteria if not each.passed]
        broken = grade.status == ERROR
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{grade.student} · {grade.exercise or 'unknown exercise'}",
            tests=str(max(len(grade.criteria), int(broken))),
            failures=str(len(missed)),
            errors=str(int(broken)),
            skipped="0",
            time=f"{grade.seconds:.1f}",
        )
        if broken:
            case = ElementTree.SubElement(
                suite, "testcase", classname=grade.student, name="could be graded", time="0"
            )
            ElementTree.SubElement(case, "error", message=grade.reason)
        for criterion in grade.criteria:
            case = ElementTree.SubElement(
                suite, "testcase", classname=grade.student, name=criterion.text.splitlines()[0], time="0"
            )
            if not criterion.passed:
                failure = ElementTree.SubElement(case, "failure", message=criterion.message)
                failure.text = criterion.message
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


FORMATS: dict[str, Callable[[Results], str]] = {"csv": _csv, "json": _json, "junit": _junit}
