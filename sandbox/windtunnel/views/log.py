"""A task's log: what the task itself said, without the machinery's lines and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

OWN = ("task.stdout", "task.stderr")


@dataclass(frozen=True)
class Log:
    """Structured log events of one try of one task. ``print(log.full)`` shows every line."""

    task: str
    events: Sequence[dict[str, Any]]

    def lines(self) -> list[str]:
        """What the task printed or logged, and what it raised, in order."""
        found = []
        for event in self.events:
            logger, level = str(event.get("logger", "")), str(event.get("level", "info"))
            if logger in OWN:
                found.append(str(event.get("event", "")))
            elif event.get("error_detail"):
                for error in event["error_detail"]:
                    found.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
            elif logger.startswith(("unusual_prefix", "root", "pipelines")) or level in ("error", "critical"):
                found.append(f"{level.upper()} {event.get('event', '')}")
        return found

    @property
    def full(self) -> str:
        """Every line as Airflow stored it, with time, level and source."""
        return "\n".join(
            f"{event.get('timestamp', '')} {str(event.get('level', '')).upper():8} {event.get('event', '')}"
            f"{'  [' + str(event['logger']) + ']' if event.get('logger') else ''}"
            for event in self.events
        )

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.full.splitlines())

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or f"({self.task} printed nothing)"
