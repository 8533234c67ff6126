"""The reader's folder: copies of chapters, briefs and starters. What a reader changed is never overwritten."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root, work_dir
from windtunnel.state import write_private

RECORD = ".copied.json"  # in the folder: the digest of each file as it was written there


def prepare() -> list[str]:
    """Bring new and updated chapters, briefs and starters into ``work/``. Returns notes for the reader.

    A file the reader has not touched is updated in place. One they have is left alone, and the update is put
    beside it as ``NAME.updated.ipynb``.
    """
    root = repo_root()
    wanted = {f"notebooks/{path.name}": path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    wanted |= {
        f"answers/{path.parent.name}.py": path for path in sorted((root / "exercises").glob("*/starter.py"))
    }
    wanted |= {  # where the chapters' links find them
        f"exercises/{path.parent.name}/exercise.md": path
        for path in sorted((root / "exercises").glob("*/exercise.md"))
    }
    return bring(wanted)


def bring(wanted: Mapping[str, Path]) -> list[str]:
    """Bring these files (name in ``work/`` → source) as `prepare` does. Returns notes for the reader.

    Raises WindtunnelError when the folder cannot be written.
    """
    work = work_dir()
    try:
        work.mkdir(parents=True, exist_ok=True)
        copied = _copied(work)
        notes = [
            note for name, source in wanted.items() if (note := _bring(source, work / name, name, copied))
        ]
        write_private(work / RECORD, json.dumps(copied, indent=1, sort_keys=True))
    except OSError as error:
        raise WindtunnelError(
            f"Your folder {work} cannot be written: {error.strerror}.",
            "make it writable, or name another with WINDTUNNEL_WORK.",
        ) from error
    return notes


def digest_when_written(name: str) -> str:
    """What `bring` or `note` last noted of the file called ``name``; empty for one that is not ours."""
    return _copied(work_dir()).get(name, "")


def digest(content: bytes) -> str:
    """By which the record knows a file's content."""
    return hashlib.sha256(content).hexdigest()


def note(name: str, content: bytes) -> None:
    """Note that ``name`` holds ``content`` because we wrote it, so that its reader is not taken to have."""
    copied = _copied(work_dir()) | {name: digest(content)}
    write_private(work_dir() / RECORD, json.dumps(copied, indent=1, sort_keys=True))


def _copied(work: Path) -> dict[str, str]:
    """Digest of each file as it was copied."""
    try:
        return dict(json.loads((work / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return {}  # then every existing file counts as the reader's own


def _bring(source: Path, target: Path, name: str, copied: dict[str, str]) -> str:
    new = _digest(source)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if _copy_new(source, target):
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


def _copy_new(source: Path, target: Path) -> bool:
    """Copy, unless ``target`` has come to be meanwhile: an editor that saves by renaming has it gone for an instant."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.copyfile(source, unfinished)
    try:
        os.link(unfinished, target)
    except FileExistsError:
        return False
    except OSError:  # a disk without hard links
        unfinished.replace(target)
        return True
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def _copy(source: Path, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def _digest(path: Path) -> str:
    return digest(path.read_bytes())
