"""Files that ``%%dag`` cells become: saved whole, and never over an edit that the reader made by hand."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.errors import WindtunnelError

# Beside the files: what each held when it was saved. DAG files themselves stay exactly what the cell says.
RECORD = ".cells.json"


@dataclass(frozen=True)
class DagFile:
    """One file of a chapter's folder of DAGs."""

    path: Path

    def save(self, source: str, first_line: int = 1) -> None:
        """Write ``source``, at once and whole; the reader's own edits are kept as ``.bak``.

        ``first_line``: the line of the cell in which the source begins. Raises WindtunnelError when the
        folder cannot be written.
        """
        with _writable(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.read() != source:
                self._keep_edits()
            _replace(self.path, source)
            self._note({"sha256": _digest(source), "first_line": first_line})

    def touch(self) -> None:
        """Give it a new date, so that Airflow parses it again."""
        with _writable(self.path):
            os.utime(self.path)

    def remove(self) -> None:
        """Delete it; the reader's own edits are kept as ``.bak``."""
        with _writable(self.path):
            self._keep_edits()
            self.path.unlink(missing_ok=True)
            self._note(None)

    def read(self) -> str | None:
        """What it holds; None when it does not exist."""
        try:
            return self.path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def first_line(self) -> int:
        """The line of the cell that its first line is; 1 for a file that is no cell's, or not any more."""
        known = self._known()
        mine = known.get(self.path.name, {})
        source = self.read()
        return int(mine["first_line"]) if source is not None and mine.get("sha256") == _digest(source) else 1

    def _keep_edits(self) -> None:
        source = self.read()
        if source is not None and self._known().get(self.path.name, {}).get("sha256") != _digest(source):
            stamp = time.strftime("%Y%m%d-%H%M%S")
            shutil.copy2(self.path, self.path.with_name(f"{self.path.name}.{stamp}.bak"))

    def _known(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads((self.path.parent / RECORD).read_text()))
        except (OSError, ValueError):
            return {}  # then every file counts as the reader's own

    def _note(self, entry: dict[str, Any] | None) -> None:
        known = {name: each for name, each in self._known().items() if name != self.path.name}
        if entry:
            known[self.path.name] = entry
        _replace(self.path.parent / RECORD, json.dumps(known, indent=1, sort_keys=True))


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(text.encode())
    unfinished.replace(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WindtunnelError(
            f"{path} cannot be written: {error.strerror}.",
            "make the folder writable, or make room on its disk.",
        ) from error
