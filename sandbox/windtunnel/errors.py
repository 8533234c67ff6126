"""The one error a reader meets: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

RED, BOLD, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class WindtunnelError(Exception):
    """Something a person can mend.

    ``message`` says what is wrong and where; ``next_step`` is what to type or change.
    The command line and the notebook print both, without a traceback.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\nNext: {self.next_step}" if self.next_step else self.message

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for its own rendering: the reader sees the message alone.
        first, *rest = self.message.splitlines() or [""]
        lines = [f"{RED}✗{PLAIN} {BOLD}{first}{PLAIN}"]
        lines += [f"{BOLD}{line}{PLAIN}" if line.startswith("→") else line for line in rest]
        return [*lines, f"{BOLD}Next:{PLAIN} {self.next_step}"] if self.next_step else lines


@contextmanager
def interrupted_means(message: str, next_step: str) -> Iterator[None]:
    """Turn Ctrl-C, or Lab's stop button, inside the block into the given message."""
    try:
        yield
    except KeyboardInterrupt:
        raise WindtunnelError(message, next_step) from None
