"""A reader's answers: begun from the starter, saved from a cell, checked, put back. Nothing of theirs is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from windtunnel import progress_record, work
from windtunnel.check import Verdict, check
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise, answer_path
from windtunnel.paths import work_dir


@dataclass(frozen=True)
class Attempt:
    """A check of the reader's own answer, and what they must be told besides."""

    verdict: Verdict
    notes: tuple[str, ...] = ()


def begin(exercise: Exercise) -> list[str]:
    """Put the starter where the answer belongs, unless an answer is there. Returns notes for the reader.

    A starter that was brought before is updated as `work.prepare` does it.
    """
    file = answer_path(exercise.slug)
    if file.exists() and not work.digest_when_written(_name(exercise)):
        return []  # it never was a starter
    if not exercise.starter.is_file():
        if file.exists():
            return []
        raise WindtunnelError(
            f"{exercise.slug} has no starter at {exercise.starter}.",
            f"`git restore exercises` brings it back; or write the answer from nothing, at {file}.",
        )
    new = not file.exists()
    notes = work.bring({_name(exercise): exercise.starter})
    return [f"The starter is now {shown(file)}: that is the file to edit.", *notes] if new else notes


def attempt(exercise: Exercise, progress: Callable[[str], None] = lambda _: None) -> Attempt:
    """Check the reader's answer, begun from the starter if need be, and keep the result with their progress.

    ``progress`` is told what is done before there is anything to see. Raises WindtunnelError when the check
    cannot run. Progress that cannot be kept is a note: the verdict stands.
    """
    notes = begin(exercise)
    verdict = check(exercise.slug, progress=progress)
    if not untouched(exercise):  # what nobody has written yet is no attempt
        try:
            progress_record.checked(verdict)
        except WindtunnelError as error:
            notes.append(str(error))
    return Attempt(verdict, (*notes, *progress_record.notes()))


def untouched(exercise: Exercise) -> bool:
    """Whether there is no answer yet: no file, or the starter as it was brought."""
    content = _content(answer_path(exercise.slug))
    return content is None or _is_starter(exercise, content)


def save(exercise: Exercise, source: str) -> list[str]:
    """Make ``source``, the text of a notebook's cell, the answer. Returns notes for the reader.

    What the file held is kept beside it, unless a cell wrote it or it is the starter.
    """
    file, new, notes = answer_path(exercise.slug), source.encode(), []
    with _writable(file):
        old = _content(file)
        written = work.digest_when_written(_cell_name(exercise))
        if old is not None and old != new and not _is_starter(exercise, old) and work.digest(old) != written:
            kept = _keep(file, old)
            notes.append(f"{shown(file)} was not written by a cell; what it held is kept as {kept.name}.")
        if old != new:
            _replace(file, new)
        if not work.digest_when_written(_name(exercise)) and exercise.starter.is_file():
            work.note(_name(exercise), exercise.starter.read_bytes())  # else it would be brought as an update
        work.note(_cell_name(exercise), new)
    return notes


def reset(exercise: Exercise) -> Path | None:
    """Put the starter back. Returns where the old answer is kept; None when there was none worth keeping."""
    file = answer_path(exercise.slug)
    with _writable(file):
        content = _content(file)
        if not exercise.starter.is_file():
            begin(exercise)  # says what is wrong
        starter = exercise.starter.read_bytes()
        kept = None if content is None or _is_starter(exercise, content) else _keep(file, content)
        _replace(file, starter)
        work.note(_name(exercise), starter)
    progress_record.forgotten(exercise.slug)
    return kept


def shown(file: Path) -> str:
    """The path as a reader knows it: the same on every machine as long as it is in their folder."""
    try:
        return f"work/{file.relative_to(work_dir())}"
    except ValueError:
        return str(file)


def _name(exercise: Exercise) -> str:
    return f"answers/{exercise.slug}.py"


def _cell_name(exercise: Exercise) -> str:
    """What a cell wrote is noted by a name of its own: `work.prepare` must not take it for a starter."""
    return f"{_name(exercise)} from a cell"


def _is_starter(exercise: Exercise, content: bytes) -> bool:
    starter = _content(exercise.starter)
    return content == starter or work.digest(content) == work.digest_when_written(_name(exercise))


def _keep(file: Path, content: bytes) -> Path:
    """A backup beside the file; the one that holds the same already, if there is one."""
    for number in itertools.count(1):
        backup = file.with_name(f"{file.stem}.backup-{number}{file.suffix}")
        there = _content(backup)
        if there is None and not backup.exists():
            _replace(backup, content)
            return backup
        if there == content:
            return backup
    raise AssertionError  # the numbers do not end


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _replace(file: Path, content: bytes) -> None:
    """Write it at once: who watches the file never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(file)


@contextmanager
def _writable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WindtunnelError(
            f"{file} cannot be written: {error.strerror}.",
            "make the folder writable, or name another with WINDTUNNEL_WORK.",
        ) from error
