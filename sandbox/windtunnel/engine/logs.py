"""The log of one task: the last lines, and the exception that ended it."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from windtunnel.engine import limits


class Log:
    """What a task printed and logged. Keeps the last lines, and counts the rest."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=limits.LINES)
        self._rest = b""
        self._size = 0
        self._error: list[dict[str, Any]] = []
        self._note = ""

    @property
    def too_long(self) -> bool:
        """Whether there was more than a task may print."""
        return self._size > limits.OUTPUT

    def printed(self, part: bytes) -> None:
        """Take what came through standard output or error."""
        self._size += len(part)
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest[-limits.LINE :]
        for line in lines[-limits.LINES :] if part else [*lines, rest]:
            if line:
                self._add(line.decode(errors="replace"))

    def flooded(self) -> None:
        """Take it that there was too much."""
        self._size = limits.OUTPUT + 1

    def note(self, text: str) -> None:
        """Add a line of our own, and take it for the reason of the failure."""
        self._note = self._note or text
        self._add(text)

    def lines(self) -> list[str]:
        """The last lines."""
        return list(self._lines)

    def error(self, answer: Path) -> str:
        """The exception that ended the task: its kind, its words, and the answer's own line it came from."""
        if self._error:
            last = self._error[0]
            words = one_line(str(last.get("exc_value", "")))
            name = str(last.get("exc_type", "")).rsplit(".", 1)[-1]
            frames = [each for each in last.get("frames") or () if isinstance(each, dict)]
            lines = [f.get("lineno") for f in frames if str(f.get("filename", "")).endswith(answer.name)]
            return one_line(f"{name}: {words}") + (f" (line {lines[-1]} of {answer.name})" if lines else "")
        return self._note or one_line(self._lines[-1] if self._lines else "no reason in its log")

    def logger(self) -> Any:
        """A logger for Airflow's supervisor that writes here."""
        return structlog.wrap_logger(None, processors=[self._take], logger_name="task")

    def _take(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        detail = event.get("error_detail")  # whatever the task says it is
        if not (isinstance(detail, list) and all(isinstance(each, dict) for each in detail)):
            detail = None
        if detail and not self._error:
            self._error = detail
        text = str(event.get("event", ""))
        if not text.startswith("::"):  # Airflow's marks for folding a log
            self._size += len(text)
            self._add(f"{level.upper()} {text}" if level in ("warning", "error", "critical") else text)
            for each in detail or ():
                self._add(f"{each.get('exc_type')}: {each.get('exc_value')}")
        raise structlog.DropEvent

    def _add(self, line: str) -> None:
        self._lines.append(line[: limits.LINE].encode("utf-8", "replace").decode())


def one_line(text: str) -> str:
    """``text`` as a message can show it: in one line, cut short, no control characters, no halves of a character."""
    whole = text[: 2 * limits.LINE].encode("utf-8", "replace").decode()
    line = "".join(each if each.isprintable() else " " for each in whole)
    return " ".join(line.split())[: limits.LINE]
