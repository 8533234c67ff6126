"""The pytest plugin that criteria run under: the ``submission`` fixture, and findings as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.evidence import NotJudged, Source, Submission


class Plugin:
    """Judges ``answer`` on ``source``; ``say`` hears of each finding. ``broken`` is why there is no verdict."""

    def __init__(self, answer: Path, source: Source, say: Callable[[dict[str, Any]], None]) -> None:
        self._submission = Submission(answer, source)
        self._say = say
        self.findings: list[dict[str, Any]] = []
        self.broken: list[str] = []

    @pytest.fixture(scope="session")
    def submission(self) -> Submission:
        """The answer, to be asked for evidence."""
        return self._submission

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the finding of each criterion."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, WindtunnelError):
            # The bench is broken: no verdict is better than a wrong one.
            self.broken = [error.message, error.next_step]
            item.session.shouldstop = error.message
        elif isinstance(item, pytest.Function) and call.when == "call":
            finding = {
                "name": item.name,
                "text": inspect.cleandoc(item.function.__doc__ or item.name),
                "points": getattr(item.function, "points", 1),
                "passed": error is None,
                "message": _shown(_message(error, [found["message"] for found in self.findings]))
                if error
                else "",
            }
            self.findings.append(finding)
            self._say(finding)
        return report


def _message(error: BaseException, earlier: list[str]) -> str:
    """What the reader is told about a criterion that is not met."""
    if not isinstance(error, AssertionError):
        # It tripped over evidence it did not foresee: nearly always a file of another form than asked.
        return (
            f"Your result could not be judged: {type(error).__name__}: {error}. "
            "Compare the files' forms with those in the exercise."
        )
    if isinstance(error, NotJudged) and _shown(str(error)) in earlier:
        return "Not judged, for the reason given above."
    return str(error) or "not so"


def _shown(message: str) -> str:
    """The message without what an answer may have put into it to confuse a terminal or a file."""
    whole = message.encode("utf-8", "replace").decode()
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in whole
    )
