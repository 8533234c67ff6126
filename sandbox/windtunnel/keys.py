"""Single keys from a terminal, without Enter; the terminal is as it was afterwards, however the block ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

ENDED = "\x04"  # Ctrl-D: what is read when the terminal is gone

Keys = Callable[[float], str]  # waits at most so many seconds; the keys pressed meanwhile, often none


@contextmanager
def pressed(stream: IO[str] | None = None) -> Iterator[Keys | None]:
    """What waits for keys on ``stream``, by default standard input; None where that is no terminal."""
    handle = _terminal(sys.stdin if stream is None else stream)
    if handle is None:
        yield None
        return
    before = termios.tcgetattr(handle)

    def single(*_: object) -> None:
        tty.setcbreak(handle)

    # Ctrl-Z hands the terminal back to the shell, and `fg` gives it to us as the shell likes it.
    continued = signal.signal(signal.SIGCONT, single)
    single()
    try:
        yield lambda seconds: _read(handle, seconds)
    finally:
        signal.signal(signal.SIGCONT, continued)
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def no_keys(seconds: float) -> str:
    """For an input that is no terminal: waits, and nothing was pressed."""
    time.sleep(seconds)
    return ""


def _terminal(stream: IO[str] | None) -> int | None:
    try:
        handle = stream.fileno() if stream else -1
    except (OSError, ValueError):  # closed, or no file at all
        return None
    return handle if handle >= 0 and os.isatty(handle) else None


def _read(handle: int, seconds: float) -> str:
    ready, _, _ = select.select([handle], [], [], seconds)
    if not ready:
        return ""
    try:
        found = os.read(handle, 64)
    except OSError:
        found = b""
    if not found:
        return ENDED
    text = found.decode(errors="ignore")
    return "" if text.startswith("\x1b") else text  # an arrow key is several characters, none of them meant
