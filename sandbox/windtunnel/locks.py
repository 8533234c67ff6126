"""Two locks of a state folder: the launcher's for life, and one around each start and stop.

Both are the system's: it frees them when their process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LAUNCHER = "lock"
TURN = "turn.lock"


def acquire(folder: Path, patience: float = 2.0) -> IO[str] | None:
    """The launcher's lock, or None when another launcher keeps it for ``patience`` seconds.

    A POSIX record lock: forked children do not inherit it. `is_held` takes it for an instant, hence the
    patience.
    """
    file = (folder / LAUNCHER).open("a")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(0.01)
        else:
            return file


def is_held(folder: Path) -> bool:
    """Whether a launcher lives on ``folder``."""
    try:
        with (folder / LAUNCHER).open() as file:  # reading is enough to ask, also on a read-only disk
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else starts, stops or sets aside the sandbox in ``folder``; they wait for us.

    Makes the folder if it is not there.
    """
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / TURN, os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # The folder may have been set aside while we waited: then this is the lock of another folder.
            if _is(handle, folder / TURN):
                yield
                return
        finally:
            os.close(handle)


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
