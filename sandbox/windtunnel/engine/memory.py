"""How much memory the processes of an answer take together. Each has a limit of its own (``jail``), but there may
be many."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOST = 4 << 30  # bytes of all processes of an answer together, beyond what they start with
EVERY = 0.1  # seconds between looks


class TooMuch(Exception):
    """The processes took more memory than there is for them. Says so, for the learner."""


class Watch:
    """Looks at the processes that descend from this one, now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY

    def look(self) -> None:
        """Look, if it is time to. Raises TooMuch."""
        if sys.platform != "linux" or time.monotonic() < self._next:
            return
        processes = list(_descendants())
        start = _held(os.getpid(), "status", ("RssAnon:", "RssShmem:")) or 0
        held = {each: _held(each, "status", ("RssAnon:", "RssShmem:")) or 0 for each in processes}
        taken = {each: max(0, found - start) for each, found in held.items()}
        if sum(taken.values()) > MOST:
            # Pages that a fork shares with its parent were counted for both: look closely, which takes longer.
            close = {each: _held(each, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for each in processes}
            taken |= {each: found for each, found in close.items() if found is not None}
        if sum(taken.values()) > MOST:
            raise TooMuch(f"Stopped: its processes took more than {MOST >> 30} GB of memory together.")
        self._next = time.monotonic() + EVERY


def _descendants() -> Iterator[int]:
    """The other processes of this world; where it has no world of its own, those that descend from this one."""
    if os.getpid() == 1:
        yield from (
            int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name != "1"
        )
        return
    import psutil

    with suppress(psutil.Error):
        yield from (process.pid for process in psutil.Process().children(recursive=True))


def _held(process: int, file: str, names: tuple[str, ...]) -> int | None:
    """The sum, in bytes, of these lines of a file of /proc. None for a process that has ended or hides it."""
    try:
        text = Path(f"/proc/{process}/{file}").read_text()
    except OSError:
        return None
    found = (line.split() for line in text.splitlines() if line.startswith(names))
    return sum(int(words[1]) << 10 for words in found)
