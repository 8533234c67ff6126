"""What is finished, one JSON line each, so that a second call goes on where the first one was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import IO

from windtunnel.exercises import Exercise
from windtunnel.grading.grades import Grade

NAME = "journal.jsonl"
_NO_PART_OF_A_CHECK = {"exercise.md", "starter.py"}


def key(answer_digest: str, exercise: Exercise, timeout: float) -> str:
    """Equal when nothing has changed that a grade depends on: answer, criteria, course, Airflow, time limit."""
    course = f"{version('windtunnel')} {version('apache-airflow')} {timeout:g}"
    parts = [answer_digest, exercise.slug, criteria_digest(exercise), course]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def criteria_digest(exercise: Exercise) -> str:
    """Of everything in the exercise's folder that a verdict may depend on, and of the reference notebook."""
    digest = hashlib.sha256()
    reference = exercise.solution.with_name("reference.ipynb")
    files = [path for path in sorted(exercise.folder.rglob("*")) if path.is_file()]
    for file in [*files, *([reference] if reference.exists() else [])]:
        if file.name not in _NO_PART_OF_A_CHECK and "__pycache__" not in file.parts:
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


class Journal:
    """The journal in an output folder. `add` returns when the line is on the disk."""

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        self._path = folder / NAME
        self._kept: dict[str, Grade] = {}
        if again:
            self._path.unlink(missing_ok=True)
        elif self._path.exists():
            self._read()
        self._file: IO[bytes] | None = None

    def _read(self) -> None:
        for line in self._path.read_bytes().split(b"\n"):
            try:
                kept = json.loads(line)
                self._kept[kept["key"]] = Grade.from_dict(kept["grade"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # the line that was being written when the power went, or one of another version

    def find(self, student: str, key: str) -> Grade | None:
        """The grade that is kept for the same answer of the same student, if there is one."""
        return self._kept.get(f"{key} {student}")

    def add(self, key: str, grade: Grade) -> None:
        """Keep a grade, through whatever happens next."""
        if self._file is None:
            torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
            self._file = self._path.open("ab")
            if torn:
                self._file.write(b"\n")
        line = json.dumps({"key": f"{key} {grade.student}", "grade": grade.to_dict()})
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing is lost without it."""
        if self._file is not None:
            self._file.close()
            self._file = None
