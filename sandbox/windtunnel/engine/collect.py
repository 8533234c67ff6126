"""What a run left, read without trusting it: files, SQLite tables, XComs."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

from windtunnel.engine import limits

_SQLITE = b"SQLite format 3\x00"


def collected(folder: Path) -> dict[str, Any]:
    """``{"files": {path: text}, "tables": {path: {table: rows}}}`` of all regular files under ``folder``.

    Links are not followed: they might lead out of the folder. Of a large file, only that it is there.
    """
    files: dict[str, str] = {}
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    left = limits.EVIDENCE
    for path in _regular(folder):
        if len(files) >= limits.MOST_FILES:
            break
        name = path.relative_to(folder).as_posix()
        content = _content(path, min(limits.LARGEST_FILE, left))
        left -= len(content)
        if content.startswith(_SQLITE):
            files[name] = ""
            tables[name] = _tables(path)
        elif not name.endswith(("-wal", "-shm", "-journal")):
            files[name] = content.decode(errors="replace")
    return {"files": files, "tables": tables}


def _regular(folder: Path) -> list[Path]:
    found = []
    for root, names, files in os.walk(folder):  # which does not follow links
        names.sort()
        found += [Path(root, name) for name in files]
        if len(found) > 10 * limits.MOST_FILES:
            break
    return sorted(path for path in found if stat.S_ISREG(path.lstat().st_mode))


def _content(path: Path, most: int) -> bytes:
    """The bytes of a file; none of one that is larger than ``most``."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        if os.fstat(handle).st_size > most:
            return file.read(16) if most > 16 else b""
        return file.read(most)


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table of a SQLite file. One that cannot be read is no table."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as base:
            base.execute("PRAGMA trusted_schema = OFF")  # a view or trigger of the answer's runs nothing here
            base.set_progress_handler(lambda: 1, 50_000_000)
            listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            for (name,) in base.execute(listed).fetchall():
                quoted = str(name).replace('"', '""')
                cursor = base.execute(f'SELECT * FROM "{quoted}" LIMIT {limits.MOST_ROWS}')  # noqa: S608
                names, rows = [column[0] for column in cursor.description], cursor.fetchall()
                found[str(name)] = [
                    {key: _plain(value) for key, value in zip(names, row, strict=True)} for row in rows
                ]
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
