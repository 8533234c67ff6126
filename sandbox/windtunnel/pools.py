"""Pools: how much of something tasks may hold together, whatever DAG and run they belong to."""

from __future__ import annotations

import contextlib
from typing import Any

from windtunnel.api import ConflictError, NotFoundError
from windtunnel.errors import WindtunnelError
from windtunnel.session import current
from windtunnel.views.table import Table

UNLIMITED = -1


def pool(name: str, slots: int | None, description: str = "") -> None:
    """Make a pool with so many slots, or give the one of that name another size; None removes it.

    -1 slots are as many as anybody asks for, and with 0 nothing starts any more. Tasks that hold a slot already
    keep it. Raises WindtunnelError for any other number, and for a name that Airflow refuses.
    """
    if not name.strip():
        raise WindtunnelError("A pool needs a name.", 'for example pool("source_db_pool", 5).')
    airflow = current().airflow
    if slots is None:
        with contextlib.suppress(NotFoundError):
            airflow.drop_pool(name)
        return
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < UNLIMITED:
        raise WindtunnelError(
            f"A pool cannot have {slots!r} slots.",
            f'write a whole number: pool("{name}", 5); -1 is no limit, and None removes it.',
        )
    try:
        airflow.make_pool(name, slots, description)
    except ConflictError:
        airflow.change_pool(name, slots)


def pools() -> Table:
    """Every pool: its slots, those held by running and by queued tasks, and those that waiting tasks want."""
    rows = [
        [
            record.name,
            "no limit" if record.slots == UNLIMITED else str(record.slots),
            *(str(held) for held in _held(record)),
        ]
        for record in current().airflow.pools()
    ]
    return Table("Pools", ["pool", "slots", "running", "queued", "scheduled"], rows)


def _held(record: Any) -> tuple[int, int, int]:
    return record.running_slots, record.queued_slots, record.scheduled_slots
