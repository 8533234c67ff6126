"""A task's log: what the task itself said, without the machinery's lines, times and paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Loggers of Airflow and of the libraries below it. `airflow.task` itself is the one Airflow's documentation
# tells people to use.
MACHINERY = re.compile(
    r"(task|airflow\.(?!task$).+|py\.warnings|asyncio|httpx|httpcore|urllib3|botocore|boto3)(\..*)?"
)
# Python's own modules and installed ones: a learner did not write those lines.
INSTALLED = re.compile(r"/(site-packages|dist-packages|lib/python3\.\d+)/|^<frozen")


class Shown(str):
    """Text that a notebook shows as it is, without quotes and ``\\n``."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Log:
    """Structured log events of one try of one task. ``log.full`` shows every line.

    ``file`` is the DAG's file, whose first line is line ``first_line`` of a cell. ``without_paths`` takes this
    machine's folders out of a line.
    """

    task: str
    events: Sequence[Mapping[str, Any]]
    file: str = ""
    first_line: int = 1
    without_paths: Callable[[str], str] = str

    def lines(self) -> list[str]:
        """What the task printed, what it logged, and what it raised where: the same text on every run.

        In that order, because printed lines and logged ones reach Airflow through pipes that race.
        """
        printed = [*self._printed("task.stdout"), *self._printed("task.stderr")]
        return [self.without_paths(line) for line in (*printed, *self._logged(), *self._raised())]

    @property
    def full(self) -> Shown:
        """Every line as Airflow stored it, with time, level and source, and whole tracebacks."""
        return Shown("\n".join(line for event in self.events for line in _whole(event)))

    def __contains__(self, text: str) -> bool:
        return text in self.full

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or f"({self.task} printed nothing)"

    def _printed(self, stream: str) -> Iterator[str]:
        return (str(event.get("event", "")) for event in self.events if event.get("logger") == stream)

    def _logged(self) -> Iterator[str]:
        command = False
        for event in self.events:
            logger, level = str(event.get("logger", "")), str(event.get("level", ""))
            said = str(event.get("event", ""))
            if logger.endswith(".SubprocessHook"):  # a BashOperator's: its command's output is in between
                if command and not said.startswith("Command exited"):
                    yield said
                command = said == "Output:" or (command and not said.startswith("Command exited"))
            elif logger in ("task.stdout", "task.stderr", "") or event.get("error_detail"):
                continue
            elif not MACHINERY.fullmatch(logger) or level in ("error", "critical"):
                yield f"{level.upper()} {said}"

    def _raised(self) -> Iterator[str]:
        for event in self.events:
            for error in event.get("error_detail") or []:
                cause = "caused by " if error.get("is_cause") else ""
                yield f"{cause}{error.get('exc_type')}: {error.get('exc_value')}"
                yield from map(str, error.get("exc_notes") or [])
                for frame in error.get("frames") or []:
                    path = str(frame.get("filename", ""))
                    if not INSTALLED.search(path):
                        yield f"  {self._place(path, int(frame.get('lineno', 0)))}, in {frame.get('name')}"

    def _place(self, path: str, line: int) -> str:
        if self.file and path.endswith(self.file) and self.first_line > 1:
            return f"line {line + self.first_line - 1} of the cell"
        return f"{path.rpartition('/')[2]}, line {line}"


def _whole(event: Mapping[str, Any]) -> Iterator[str]:
    source = f"  [{event['logger']}]" if event.get("logger") else ""
    level = str(event.get("level", "")).upper()
    yield f"{event.get('timestamp', '')} {level:8} {event.get('event', '')}{source}".strip()
    for error in event.get("error_detail") or []:
        for frame in error.get("frames") or []:
            yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
        yield f"{error.get('exc_type')}: {error.get('exc_value')}"
