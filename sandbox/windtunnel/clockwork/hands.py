"""The hands of the clock: a small file that every process of a dated sandbox maps into its memory.

Four signed 64-bit numbers: the offset of virtual from real time (ns), the moment the clock was last turned to
(virtual, ns since 1970), how many loops the scheduler has begun, and the last run that a turn has told of. No import
of Airflow, nor of anything slow.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

OFFSET, TURNED_TO, LOOPS, TOLD = 0, 8, 16, 24
SIZE = 32
BEGAN = "began"  # on the record of a trigger that runs and has not slept yet
_NUMBER = struct.Struct("<q")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def real_time_ns() -> int:
    """Real time, also in a process that lives in virtual time: time-machine changes ``time.time_ns`` in place."""
    machine: Any = sys.modules.get("time_machine")
    if machine is not None and machine.traveller_stack:
        real: int = sys.modules["_time_machine"].original_time_ns()
        return real
    return time.time_ns()


def nanoseconds(when: datetime) -> int:
    """Nanoseconds from 1970 to ``when``, which has a zone."""
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def moment_of(nanoseconds_: int) -> datetime:
    """The moment (UTC) so many nanoseconds after 1970."""
    return _EPOCH + timedelta(microseconds=nanoseconds_ // 1000)


class Hands:
    """The file, mapped. Aligned numbers of 8 bytes are read and written at once, so nobody sees half of one."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        handle = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(handle, SIZE, access=access)
        finally:
            os.close(handle)

    @classmethod
    def begin(cls, path: Path, start: datetime) -> None:
        """Let it be ``start`` now, in the file there is, or in a new one."""
        if not path.exists() or path.stat().st_size != SIZE:
            path.unlink(missing_ok=True)
            path.write_bytes(bytes(SIZE))
            # Postgres, under another account where the sandbox runs as root, reads it too.
            path.chmod(0o644)
        hands = cls(path, writable=True)
        hands.put(OFFSET, nanoseconds(start) - real_time_ns())
        hands.put(TURNED_TO, nanoseconds(start))
        hands.put(TOLD, 0)

    def get(self, place: int) -> int:
        """The number at ``OFFSET``, ``TURNED_TO``, ``LOOPS`` or ``TOLD``."""
        number: int = _NUMBER.unpack_from(self._map, place)[0]
        return number

    def put(self, place: int, number: int) -> None:
        """Write it."""
        _NUMBER.pack_into(self._map, place, number)

    # --- for processes on real time, such as a notebook's kernel -------------------------------------
    def now(self) -> datetime:
        """What the clock shows."""
        return moment_of(real_time_ns() + self.get(OFFSET))

    def turned_to(self) -> datetime:
        """The moment it was last turned to; since then it runs as fast as any clock."""
        return moment_of(self.get(TURNED_TO))

    def turn(self, when: datetime) -> None:
        """Let it be ``when`` now, unless it is later already. Virtual time never goes back."""
        missing = nanoseconds(when) - real_time_ns() - self.get(OFFSET)
        if missing > 0:
            self.put(OFFSET, self.get(OFFSET) + missing)
