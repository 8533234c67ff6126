"""Reading from a database that belongs to somebody else, over one connection or over several at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any


def read(connect: Callable[[], Any], table: str, *, parts: int = 1, seconds: float = 0) -> int:
    """Read ``table`` in ``parts``, each over a connection of its own, and return how many rows there were.

    ``connect`` makes a connection (DB-API). All of them are opened before the first row is read, as programs do that
    read a large table side by side, and closed whatever happens. ``seconds``: how much longer the reading takes than
    these few rows would, as for a larger table. Whatever ``connect`` raises is raised.
    """
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect())) for _ in range(parts)]
        time.sleep(seconds)
        return sum(_count(connection, table, part, parts) for part, connection in enumerate(connections))


def _count(connection: Any, table: str, part: int, parts: int) -> int:
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"select id from {table} where id %% %s = %s", (parts, part))  # noqa: S608
        return len(cursor.fetchall())
