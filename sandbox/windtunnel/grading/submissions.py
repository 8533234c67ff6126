"""Who handed in what, to which exercise.

An entry of the folder is a student's: ``alice.py``, ``alice.ipynb``, ``alice/``, ``alice.zip``. The exercise is
the one that was named, or stands in a name: ``<slug>/alice.py``, ``alice/<slug>.py``, ``alice-<slug>.zip``, a
notebook's ``%%exercise <slug>``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from windtunnel import exercises
from windtunnel.errors import WindtunnelError
from windtunnel.grading import archive, notebook
from windtunnel.grading.archive import Broken
from windtunnel.grading.grades import clean

MB = 2**20
MAX_ANSWER = MB
MAX_NOTEBOOK = 25 * MB  # with its pictures
ANSWERS = (".py", ".ipynb")
JUNK = {"__pycache__", "__macosx", "thumbs.db", "desktop.ini", "node_modules"}
HOW = (
    "name the exercise (`windtunnel grade FOLDER --exercise SLUG`), or put it into names: "
    "FOLDER/SLUG/alice.py, FOLDER/alice/SLUG.py or FOLDER/alice-SLUG.py."
)


@dataclass(frozen=True)
class Submission:
    """A student's answer to one exercise, not yet opened.

    ``problem``: why nobody can grade it, for example that it was handed in twice; empty otherwise.
    """

    student: str
    exercise: str  # a slug; empty when it cannot be told
    path: str  # the entry: a file, a folder or an archive
    file: str  # the same as a path below the graded folder, for people
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """What a folder holds. ``skipped``: entries that are no submissions, for people."""

    submissions: tuple[Submission, ...]
    skipped: tuple[str, ...] = ()


def find(folder: Path, exercise: str = "", *, without: Path | None = None) -> Found:
    """The submissions in ``folder``; to ``exercise`` (a prefix will do), or to what their names say.

    ``without``: an entry to pass over, for grades that are kept in the folder itself. Raises WindtunnelError
    when there is no such folder or exercise, nothing to grade, or no way to tell the exercise.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise WindtunnelError(
            f"The folder of submissions, {folder}, {what}.", "windtunnel grade FOLDER --exercise SLUG"
        )
    chosen = exercises.find(exercise).slug if exercise else ""
    search = _Search(folder, chosen, [each.slug for each in exercises.exercises()])
    for entry in _entries(folder):
        if without is None or entry.absolute() != without.absolute():
            search.top(entry)
    return search.result()


def pick(folder: Path, slug: str, known: Sequence[str]) -> Path:
    """The one answer to exercise ``slug`` in a student's folder. Raises Broken when there is none or several."""
    there = list(_files(folder))
    below = [file for file in there if slug in map(_plain, file.relative_to(folder).parts[:-1])]
    named = [file for file in there if slug_in(file.stem, known)[0] == slug] or below
    if len(named) > 1:
        exact = [file for file in named if _plain(file.stem) == slug]
        named = exact or named
    others = [file for file in there if not slug_in(file.stem, known)[0]]
    candidates = named or others
    if not candidates:
        raise Broken(f"holds no answer to {slug}: there is no .py or .ipynb file for it")
    if len(candidates) > 1:
        names = ", ".join(sorted(str(file.relative_to(folder)) for file in candidates)[:4])
        told = "holds several answers" if named else f"holds {len(candidates)} files, none named {slug}"
        raise Broken(f"{told}: {names}")
    return candidates[0]


def read(file: Path, within: Path, limit: int) -> bytes:
    """The bytes of a student's file, at most ``limit``. Raises Broken for what is no ordinary file of theirs."""
    name = file.name
    try:
        real = file.resolve(strict=True)
        if not real.is_relative_to(within.resolve()):
            raise Broken(f"{name} is a symbolic link to a place outside the folder")
        if real.is_dir():
            raise Broken(f"{name} is a folder, not a file")
        if not real.is_file():
            raise Broken(f"{name} is not an ordinary file")
        with real.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise Broken(f"{name} has {size / MB:.0f} MB; at most {limit // MB} MB are read")
            return stream.read(limit)
    except FileNotFoundError:
        what = "is a symbolic link to nowhere" if file.is_symlink() else "is gone"
        raise Broken(f"{name} {what}") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        why = getattr(error, "strerror", None) or "symbolic links in a circle"
        raise Broken(f"{name} cannot be read: {why}") from None


def slug_in(name: str, known: Iterable[str]) -> tuple[str, str]:
    """The exercise that stands in ``name``, and what else does: ``alice-03-x`` → ``("03-x", "alice")``."""
    plain = _plain(name)
    for slug in sorted(known, key=len, reverse=True):
        found = re.search(rf"(?<![a-z0-9]){re.escape(slug)}(?![a-z0-9])", plain)
        if found:
            return slug, (name[: found.start()] + name[found.end() :]).strip(" -_.,()")
    return "", name


def _plain(name: str) -> str:
    # One character for one, so that places found in it are places in the name.
    return "".join(low if len(low := c.lower()) == 1 else c for c in name).replace("_", "-").replace(" ", "-")


def _is_junk(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in JUNK


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not _is_junk(entry.name))
    except OSError as error:
        raise WindtunnelError(
            f"{folder} cannot be read: {error.strerror}.", "see to its permissions."
        ) from error


def _files(folder: Path) -> Iterator[Path]:
    """Everything named like an answer below ``folder``, folders with such names too. Raises Broken."""

    def unreadable(error: OSError) -> None:
        raise Broken(f"{Path(error.filename).name} cannot be read: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        mistaken = [name for name in folders if name.lower().endswith(ANSWERS)]
        folders[:] = [name for name in folders if name not in mistaken]
        for name in sorted([*files, *mistaken]):
            if name.lower().endswith(ANSWERS) and not _is_junk(name):
                yield Path(place, name)


class _Search:
    """A folder being looked through."""

    def __init__(self, folder: Path, chosen: str, known: list[str]) -> None:
        self._folder, self._chosen, self._known = folder, chosen, known
        self._found: list[Submission] = []
        self._skipped: list[str] = []

    def top(self, entry: Path) -> None:
        """An entry of the folder: an exercise's folder, or a student's entry."""
        slug = _plain(entry.name)
        if slug not in self._known or not entry.is_dir() or entry.is_symlink():
            self.student(entry, "")
        elif self._chosen in ("", slug):
            for inner in _entries(entry):
                self.student(inner, slug)
        else:
            self._skip(entry, f"submissions to {slug}")

    def student(self, entry: Path, slug: str) -> None:
        """A student's entry; ``slug`` when its folder is an exercise's."""
        stem, kind = _stem(entry)
        if not kind:
            self._skip(entry, "no .py, .ipynb, folder or archive")
            return
        named, rest = slug_in(stem, self._known)
        name = rest or (entry.parent.name if entry.parent == self._folder else stem)
        if self._chosen and named and named != self._chosen:
            self._skip(entry, f"an answer to {named}")
            return
        problem = ""
        slugs = [slug or self._chosen or named] if slug or self._chosen or named else []
        if not slugs:
            try:
                slugs = self._inside(entry, kind)
            except Broken as broken:
                problem = str(broken)
        for each in slugs or [""]:
            untold = "" if each else problem or f"which exercise it answers cannot be told: {HOW}"
            self._add(name, each, entry, untold)

    def _inside(self, entry: Path, kind: str) -> list[str]:
        """The exercises that names inside a folder, an archive or a notebook tell. Raises Broken."""
        if kind == "archive":
            read(entry, self._folder, archive.MAX_PACKED)
            with archive.unpacked(entry) as folder:
                return self._inside(folder, "folder")
        files = [entry] if kind == "file" else list(_files(entry))
        told: set[str] = set()
        for file in files:
            parts = file.relative_to(entry).parts if kind == "folder" else (file.name,)
            above = [part for part in map(_plain, parts[:-1]) if part in self._known]
            named = slug_in(file.stem, self._known)[0] or (above[-1] if above else "")
            if named:
                told.add(named)
            elif file.suffix.lower() == ".ipynb":
                raw = read(file, entry if kind == "folder" else self._folder, MAX_NOTEBOOK)
                told |= set(notebook.exercises_in(notebook.parse(file.name, raw), self._known))
        return sorted(told)

    def _add(self, student: str, slug: str, entry: Path, problem: str) -> None:
        shown = self._shown(entry)
        # As people write it: composed letters, and something for bytes that are no text.
        name = unicodedata.normalize("NFC", clean(os.fsencode(student).decode("utf-8", "replace")))
        name = " ".join(name.split()) or "?"
        self._found.append(Submission(name, slug, str(entry.absolute()), shown, problem))

    def _skip(self, entry: Path, why: str) -> None:
        self._skipped.append(f"{self._shown(entry)} ({why})")

    def _shown(self, entry: Path) -> str:
        return clean(os.fsencode(entry.relative_to(self._folder)).decode("utf-8", "replace"))

    def result(self) -> Found:
        """Everything found, one for each student and exercise. Raises WindtunnelError when there is nothing."""
        told = {submission.exercise for submission in self._found} - {""}
        if not self._found:
            beside = f" It holds {', '.join(self._skipped[:4])}." if self._skipped else " It is empty."
            raise WindtunnelError(
                f"There is nothing to grade in {self._folder}.{beside}",
                "put one entry for each student there: alice.py, alice.ipynb, alice/ or alice.zip.",
            )
        if not told:
            raise WindtunnelError(f"Which exercise {self._folder} answers cannot be told.", HOW)
        if len(told) == 1:
            # One exercise: what is too broken to say which is meant, is meant for that one.
            [only] = told
            self._found = [s if s.exercise else replace(s, exercise=only, problem="") for s in self._found]
        together: dict[tuple[str, str], list[Submission]] = {}
        for submission in self._found:
            together.setdefault((submission.student, submission.exercise), []).append(submission)
        return Found(tuple(_merged(same) for same in together.values()), tuple(self._skipped))


def _merged(same: list[Submission]) -> Submission:
    if len(same) == 1:
        return same[0]
    names = ", ".join(submission.file for submission in same)
    return replace(same[0], file=names, problem=f"handed in more than once: {names}; leave one of them")


def _stem(entry: Path) -> tuple[str, str]:
    """The entry's name without what its kind adds, and its kind: ``file``, ``archive``, ``folder`` or nothing."""
    packed = archive.suffix(entry.name)
    if packed:
        return entry.name[: -len(packed)], "archive"
    if entry.suffix.lower() in ANSWERS:  # a folder with such a name is told to be one when it is read
        return entry.stem, "file"
    if entry.is_dir() or (entry.is_symlink() and not entry.suffix):
        return entry.name, "folder"
    return entry.name, ""
