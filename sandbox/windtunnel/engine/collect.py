"""What a run left, read without trusting it: files, SQLite tables, XComs."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from windtunnel.engine import limits

_SQLITE = b"SQLite format 3\x00"


def collected(folder: Path) -> dict[str, Any]:
    """``{"files": {path: text}, "tables": {path: {table: rows}}}`` of all regular files under ``folder``.

    Links are not followed: they might lead out of the folder. Of a large file, only that it is there.
    """
    files: dict[str, str] = {}
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    left = limits.EVIDENCE
    for path, content in sorted(_contents(folder)):
        name = os.fsencode(path.relative_to(folder)).decode(errors="replace")
        if len(files) >= limits.MOST_FILES:
            break
        content = content[:left]
        left -= len(content)
        if content.startswith(_SQLITE):
            files[name] = ""
            tables[name] = _tables(path)
        elif not name.endswith(("-wal", "-shm", "-journal")):
            files[name] = content.decode(errors="replace")
    return {"files": files, "tables": tables}


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The regular files and what they begin with. What answers left running may turn a folder into a link at any
    time: so nothing is opened but by its name in a folder that is open."""
    left, count = limits.EVIDENCE, 0
    for place, names, files, handle in os.fwalk(folder):  # which does not follow links
        names.sort()
        if len(Path(place).parts) - len(folder.parts) >= limits.DEEPEST:
            names.clear()
        for name in sorted(files)[: limits.MOST_FILES]:
            content = _content(name, handle, min(limits.LARGEST_FILE, left))
            if content is not None:
                left, count = left - len(content), count + 1
                yield Path(place, name), content
        if count > limits.MOST_FILES:
            return


def _content(name: str, folder: int, most: int) -> bytes | None:
    """The bytes of a file, 16 of one that is larger than ``most``; None for what is no regular file."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return None
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(most if os.fstat(handle).st_size <= most else 16)


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table of a SQLite file, up to as much as a file may hold. One that cannot be read is no table."""
    found: dict[str, list[dict[str, Any]]] = {}
    left = limits.LARGEST_FILE
    try:
        with closing(sqlite3.connect(f"file:{quote(bytes(path))}?mode=ro", uri=True, timeout=1)) as base:
            base.execute("PRAGMA trusted_schema = OFF")  # a view or trigger of the answer's runs nothing here
            base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.LARGEST_FILE)  # a column may make itself larger
            base.set_progress_handler(lambda: 1, 50_000_000)
            listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            for (name,) in base.execute(listed).fetchall():
                quoted = str(name).replace('"', '""')
                cursor = base.execute(f'SELECT * FROM "{quoted}" LIMIT {limits.MOST_ROWS}')  # noqa: S608
                names = [column[0] for column in cursor.description]
                rows = found[str(name)] = []
                for row in cursor:
                    left -= sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
                    if left < 0:
                        return found
                    rows.append({key: _plain(value) for key, value in zip(names, row, strict=True)})
    except (sqlite3.Error, UnicodeDecodeError):
        return found
    return found


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def xcoms(dag_id: str, run_id: str, session: Any) -> list[dict[str, Any]]:
    """What the run's tasks handed on; see ``evidence.XCom``."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = select(XComModel.task_id, XComModel.key, XComModel.value)
    query = query.where(XComModel.dag_id == dag_id, XComModel.run_id == run_id)
    found = []
    for task_id, key, value in session.execute(query.order_by(XComModel.task_id, XComModel.key)):
        text = json.dumps(value)
        size = len(text.encode())
        shown = value if size < limits.LARGE else text[:200]
        found.append({"task_id": task_id, "key": key, "size": size, "value": shown})
    return found
