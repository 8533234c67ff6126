"""The pytest plugin that criteria run under: the ``submission`` fixture, and findings as JSON.

Loaded by ``windtunnel.check`` only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.evidence import NotJudged, Submission
from windtunnel.workbench import Workbench

_FINDINGS = pytest.StashKey[list[dict[str, Any]]]()
_BROKEN = pytest.StashKey[tuple[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--answer`` and ``--report``."""
    parser.addoption("--answer", type=Path, required=True, help="the file to judge")
    parser.addoption("--report", type=Path, required=True, help="where the findings go, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no findings."""
    config.stash[_FINDINGS] = []


@pytest.fixture(scope="session")
def submission(request: pytest.FixtureRequest) -> Iterator[Submission]:
    """The answer, to be asked for evidence."""
    answer = request.config.getoption("--answer")
    with Workbench() as workbench:
        yield Submission(answer, workbench)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the finding of each criterion."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, WindtunnelError):
        # The workbench is broken: no verdict is better than a wrong one.
        item.config.stash[_BROKEN] = (error.message, error.next_step)
        item.session.shouldstop = error.message
    elif isinstance(item, pytest.Function) and call.when == "call":
        findings = item.config.stash[_FINDINGS]
        findings.append(
            {
                "name": item.name,
                "text": inspect.cleandoc(item.function.__doc__ or item.name),
                "points": getattr(item.function, "points", 1),
                "passed": error is None,
                "message": _message(error, [finding["message"] for finding in findings]) if error else "",
            }
        )
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report, unless the criteria themselves could not be loaded."""
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        stash = session.config.stash
        report = {"criteria": stash[_FINDINGS], "broken": stash.get(_BROKEN, None)}
        if report["criteria"] or report["broken"]:
            session.config.getoption("--report").write_text(json.dumps(report))


def _message(error: BaseException, earlier: list[str]) -> str:
    """What the reader is told about a criterion that is not met."""
    if not isinstance(error, AssertionError):
        # It tripped over evidence it did not foresee: nearly always a file of another form than asked.
        return (
            f"Your result could not be judged: {type(error).__name__}: {error}. "
            "Compare the files' forms with those in the exercise."
        )
    if isinstance(error, NotJudged) and str(error) in earlier:
        return "Not judged, for the reason given above."
    return str(error) or "not so"
