"""What a reader has done, kept in their folder as ``.progress.json``.

::

    {"version": 1, "exercises": {SLUG: {"earned": 12, "best": 14, "total": 32, "done": false,
                                        "checks": 5, "hints": 2, "when": "2026-03-02T06:00:00+00:00"}}}

``earned`` is that of the last check, null after a reset; ``done`` stays true until one. Exercises and fields
we do not know are kept: an exercise was renamed, or the file is from a later version of the course.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windtunnel.check import Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.paths import work_dir
from windtunnel.state import write_private

NAME = ".progress.json"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """What is known of one exercise; points are those of the criteria."""

    earned: int | None = None  # at the last check; None: not checked since it began, or was reset
    best: int = 0  # of all checks since the exercise was worth ``total``
    total: int = 0
    done: bool = False  # all points were earned once since the last reset
    checks: int = 0
    hints: int = 0  # how many were shown
    when: str = ""  # of the last check: ISO 8601, UTC


@dataclass
class Record:
    """The file's content."""

    exercises: dict[str, dict[str, Any]] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    def entry(self, slug: str) -> Entry:
        """What is known of ``slug``."""
        known = self.exercises.get(slug, {})
        return Entry(**{f.name: known[f.name] for f in fields(Entry) if f.name in known})

    def change(self, slug: str, **values: object) -> None:
        """Set fields of its entry; those we do not know stay."""
        self.exercises[slug] = self.exercises.get(slug, {}) | values


_untold: list[str] = []  # whoever reads first finds the damage; whoever speaks to the reader next tells it


def notes() -> list[str]:
    """What the reader must be told about the file, once: it was damaged."""
    found = _untold.copy()
    _untold.clear()
    return found


def read() -> Record:
    """What is kept; nothing where there is no file. A damaged one is set aside, and `notes` says where.

    Raises WindtunnelError when it is there and cannot be read.
    """
    file = work_dir() / NAME
    try:
        return _parsed(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Record()
    except ValueError as error:
        with _said(file):
            _untold.append(_set_aside(file, error))
        return Record()
    except OSError as error:
        raise _unusable(file, error) from error


def checked(verdict: Verdict) -> None:
    """Note a check of the reader's answer."""
    with _changing() as record:
        before = record.entry(verdict.slug)
        same = before.total == verdict.total  # else an update of the course asks for something else
        record.change(
            verdict.slug,
            earned=verdict.earned,
            best=max(verdict.earned, before.best) if same else verdict.earned,
            total=verdict.total,
            done=verdict.passed or (same and before.done),
            checks=before.checks + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def hinted(slug: str, number: int) -> None:
    """Note that hints were shown up to ``number``."""
    with _changing() as record:
        record.change(slug, hints=max(number, record.entry(slug).hints))


def forgotten(slug: str) -> None:
    """Note that the answer went back to the starter. Hints that were seen stay seen."""
    with _changing() as record:
        if slug in record.exercises:
            record.change(slug, earned=None, done=False)


def _parsed(content: bytes) -> Record:
    """Raises ValueError unless it is a record."""
    found = json.loads(content)
    if not isinstance(found, dict) or not isinstance(found.get("exercises"), dict):
        raise ValueError("it has no exercises")
    for slug, entry in found["exercises"].items():
        if not isinstance(entry, dict):
            raise ValueError(f"{slug} has no entry")
        _look_at(slug, entry)
    rest = {key: value for key, value in found.items() if key != "exercises"}
    return Record(found["exercises"], rest)


def _look_at(slug: str, entry: dict[str, Any]) -> None:
    for name, kind in (
        ("best", int),
        ("total", int),
        ("checks", int),
        ("hints", int),
        ("done", bool),
        ("when", str),
    ):
        if not isinstance(entry.get(name, kind()), kind):
            raise ValueError(f"{name} of {slug} is {entry[name]!r}")
    if not isinstance(entry.get("earned"), int | None):
        raise ValueError(f"earned of {slug} is {entry['earned']!r}")
    if entry.get("when"):
        datetime.fromisoformat(entry["when"])


def _set_aside(file: Path, error: ValueError) -> str:
    for number in itertools.count(1):
        aside = file.with_name(f"{file.name}.damaged-{number}")
        if not aside.exists():
            break
    file.replace(aside)
    reason = "it is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
    return f"Your progress could not be read ({reason}). It begins anew; the old file is now {aside}."


@contextlib.contextmanager
def _changing() -> Iterator[Record]:
    """The record, to change; written at the end, whole or not at all. One process at a time."""
    file = work_dir() / NAME
    with _said(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network disks know no locks
                fcntl.flock(folder, fcntl.LOCK_EX)
            record = read()
            yield record
            text = {"version": VERSION} | record.rest | {"exercises": record.exercises}
            write_private(file, json.dumps(text, indent=1, sort_keys=True) + "\n")
        finally:
            os.close(folder)


@contextlib.contextmanager
def _said(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, error: OSError) -> WindtunnelError:
    return WindtunnelError(
        f"Your progress cannot be kept in {file}: {error.strerror}.",
        "make the folder writable, or name another with WINDTUNNEL_WORK.",
    )
