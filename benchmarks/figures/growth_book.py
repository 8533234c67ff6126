"""How the book's cost grows with its chapters: building the site, and executing the notebooks."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from benchmarks.figures import book
from benchmarks.harness import Bench, Curve, Subject, stopwatch
from windtunnel.chapters import chapters

POINTS = (1, 3, 6, 12)
NO_WARNINGS = ("--all", "-n", "--keep-going", "-q")  # links to chapters that were left out lead nowhere
WRITTEN = re.compile(r"^(\S+) +written ")


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Curve]]:
    """Nothing to prepare: each sample has a copy of its own."""
    slugs = [chapter.slug for chapter in chapters()][: max(POINTS)]

    def built(number: int) -> float:
        with book.fresh(bench.folder) as folder:
            return first(folder, slugs[:number])

    @functools.cache
    def ends() -> dict[str, float]:
        with book.fresh(bench.folder) as folder:
            return executed(folder, slugs)

    def run(number: int) -> float:
        return max(ends()[slug] for slug in slugs[:number])

    yield [
        Curve(
            "growth-book-build",
            "Build the book from its outputs",
            "s",
            "chapters",
            POINTS,
            {"Windtunnel": built},
            note="All pages that are no chapters are built each time as well, as is the index for the search.",
        ),
        Curve(
            "growth-book-execute",
            "Execute the chapters",
            "s",
            "chapters",
            POINTS,
            {"Windtunnel": run},
            rounds=1,
            note=(
                "`windtunnel notebooks` over all twelve, once, two at a time: the seconds until the first so many were "
                "done. It is not a straight line, as chapters differ: they sleep and wait for schedules."
            ),
        ),
    ]


def first(folder: Path, slugs: Sequence[str]) -> float:
    """Seconds for a site with these chapters alone."""
    source = book.copied(folder / "book")
    for path in set(book.notebooks(source)) - set(book.notebooks(source, slugs)):
        path.unlink()
    contents = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    for part in contents["parts"]:
        part["chapters"] = [each for each in part["chapters"] if _is_there(source, each["file"])]
    contents["parts"] = [part for part in contents["parts"] if part["chapters"]]
    (source / "_toc.yml").write_text(yaml.safe_dump(contents, sort_keys=False), encoding="utf-8")
    took = stopwatch()
    book.build(source, folder, *NO_WARNINGS)
    return took()


def executed(folder: Path, slugs: Sequence[str]) -> dict[str, float]:
    """For each chapter, the seconds after which its notebook was written, all in one run."""
    source, ends = book.copied(folder / "book"), {}
    book.strip(book.notebooks(source, slugs))
    took = stopwatch()

    def heard(line: str) -> None:
        if found := WRITTEN.match(line):
            ends[found[1]] = took()

    book.execute(source, slugs, folder, heard)
    for path in book.notebooks(source, slugs):
        book.check(path)
    return ends


def _is_there(source: Path, file: str) -> bool:
    return not file.startswith("notebooks/") or (source / f"{file}.ipynb").exists()


SUBJECT = Subject(
    name="growth_book",
    about="the book's build and execution over 1 to 12 chapters",
    open=opened,
)
