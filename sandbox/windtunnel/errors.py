"""The one error a reader meets: what is wrong, where, and what to do next."""

from __future__ import annotations


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
        return [str(self)]
