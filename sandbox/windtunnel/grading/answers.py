"""From a submission to the file that is checked."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windtunnel.grading import archive, notebook, submissions
from windtunnel.grading.archive import Broken
from windtunnel.grading.submissions import Submission


@dataclass(frozen=True)
class Answer:
    """What was handed in, opened. Either ``problem`` says in one line what is wrong with it, or it can be checked.

    ``notebook``: the whole file, when the answer is a cell of one. ``digest``: of the bytes handed in.
    """

    source: str = ""
    notebook: bytes | None = None
    digest: str = ""
    problem: str = ""


def open_answer(submission: Submission, known: Sequence[str]) -> Answer:
    """The answer in ``submission``; ``known`` are the course's slugs. Raises nothing for what students do."""
    raw = b""
    try:
        with _file(submission, known) as (file, within):
            is_notebook = file.suffix.lower() == ".ipynb"
            limit = submissions.MAX_NOTEBOOK if is_notebook else submissions.MAX_ANSWER
            raw = submissions.read(file, within, limit)
            if is_notebook:
                source = notebook.answer(
                    file.name, notebook.parse(file.name, raw), submission.exercise, known
                )
            else:
                source = _text(file.name, raw)
            if not source.strip():
                raise Broken(f"{'the answer cell of ' if is_notebook else ''}{file.name} is empty")
            return Answer(source, raw if is_notebook else None, _digest(file.suffix.encode(), raw))
    except Broken as broken:
        return Answer(problem=str(broken), digest=_digest(str(broken).encode(), raw))


@contextlib.contextmanager
def _file(submission: Submission, known: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """The file with the answer, and the folder that it must be in."""
    entry = Path(submission.path)
    if archive.suffix(entry.name):
        submissions.read(entry, entry.parent, archive.MAX_PACKED)
        with archive.unpacked(entry) as folder, _named(entry.name):
            yield submissions.pick(folder, submission.exercise, known), folder
    elif entry.suffix.lower() in submissions.ANSWERS:
        yield entry, entry.parent
    elif not entry.is_dir():
        raise Broken(f"{entry.name} is a symbolic link to nowhere")
    elif not entry.resolve().is_relative_to(entry.parent.resolve()):
        raise Broken(f"{entry.name} is a symbolic link to a place outside the folder")
    else:
        with _named(entry.name):
            yield submissions.pick(entry, submission.exercise, known), entry


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        told = str(broken)
        raise Broken(f"{name} {told}" if told.startswith("holds") else told) from None


def _text(name: str, raw: bytes) -> str:
    """The file's text, without the mark that Windows' editors put first. Raises Broken."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Broken(f"{name} is not text in UTF-8: see line {line}") from None
    if "\0" in text:
        raise Broken(f"{name} is not text: it holds null bytes")
    return text


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
