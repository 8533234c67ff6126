"""The reader's folder: copies of chapters and starters. What a reader changed is never overwritten."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root, work_dir
from windtunnel.state import write_private


def prepare() -> list[str]:
    """Bring new and updated chapters and starters into ``work/``. Returns notes for the reader.

    A file the reader has not touched is updated in place. One they have is left alone, and the update is put
    beside it as ``NAME.updated.ipynb``.
    """
    root, work = repo_root(), work_dir()
    wanted = {f"notebooks/{path.name}": path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    wanted |= {
        f"answers/{path.parent.name}.py": path for path in sorted((root / "exercises").glob("*/starter.py"))
    }
    try:
        work.mkdir(parents=True, exist_ok=True)
        copied = _copied(work)
        notes = [
            note for name, source in wanted.items() if (note := _bring(source, work / name, name, copied))
        ]
        write_private(work / ".copied.json", json.dumps(copied, indent=1, sort_keys=True))
    except OSError as error:
        raise WindtunnelError(
            f"Your folder {work} cannot be written: {error.strerror}.",
            "make it writable, or name another with WINDTUNNEL_WORK.",
        ) from error
    return notes


def _copied(work: Path) -> dict[str, str]:
    """Digest of each file as it was copied."""
    try:
        return dict(json.loads((work / ".copied.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}  # then every existing file counts as the reader's own


def _bring(source: Path, target: Path, name: str, copied: dict[str, str]) -> str:
    new = _digest(source)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
        copied[name] = new
        return ""
    now, then = _digest(target), copied.get(name)
    if now == new:
        copied[name] = new
        return ""
    if now == then:
        _copy(source, target)
        copied[name] = new
        return f"{name} was updated."
    if then == new:
        return ""  # theirs differs, ours has not changed since
    for number in itertools.count(1):
        beside = target.with_name(f"{target.stem}.updated{number if number > 1 else ''}{target.suffix}")
        record = f"{name} {beside.name}"
        if copied.get(record) == new:
            return ""  # brought before, whatever became of it
        if not beside.exists() or _digest(beside) in (new, copied.get(record)):
            break  # else the reader works in that one
    _copy(source, beside)
    copied[record] = new
    return f"{name} has an update; yours was kept, the new one is {beside.name}."


def _copy(source: Path, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
