"""The process that judges one answer: it runs the criteria, and asks benches for the evidence."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from windtunnel.engine import fingerprint
from windtunnel.engine.bench import Ground
from windtunnel.engine.nursery import Bench, Nursery
from windtunnel.errors import WindtunnelError
from windtunnel.evidence import Case, NotJudged


class Evidence:
    """Evidence about one answer; an ``evidence.Source``.

    ``plan`` are the cases that the criteria asked for the last time: they are run ahead, side by side,
    because who asks for evidence asks for one thing at a time.
    """

    def __init__(
        self, nursery: Nursery, plan: Sequence[Any], jobs: int, seconds: float, until: float
    ) -> None:
        self._nursery = nursery
        self._plan = plan
        self._seconds = seconds
        self._until = until
        self._pool = ThreadPoolExecutor(max_workers=max(1, jobs))
        self._ahead: dict[str, Future[dict[str, Any]]] = {}
        self._database = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``
        self._lock = threading.Lock()
        self._benches: list[Bench] = []
        self._lost = ""  # why nothing more is run
        self.asked: list[Any] = []

    def parse(self, answer: Path) -> dict[str, Any]:
        """See ``evidence.Source``."""
        found: dict[str, Any] = self._found(self._ask(answer, do="parse"))
        only = next(iter(found["dags"])) if len(found["dags"]) == 1 else ""
        for cases in self._plan:
            # This answer may lack the DAGs that the last one was asked about.
            if all((case.get("dag") or only) in found["dags"] for case in cases):
                what = {"do": "run", "dag_id": only, "cases": cases}
                self._ahead[_key(cases)] = self._pool.submit(self._ask, answer, **what)
        return found

    def run(self, answer: Path, dag_id: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """See ``evidence.Source``."""
        plain = [vars(case) for case in cases]
        self.asked.append(plain)
        ahead = self._ahead.pop(_key(plain), None)
        reply = ahead.result() if ahead else self._ask(answer, do="run", dag_id=dag_id, cases=plain)
        runs: list[dict[str, Any]] = self._found(reply)
        return runs

    def planned(self, answer: Path, dag_id: str, first: str, last: str) -> dict[str, Any]:
        """See ``evidence.Source``."""
        question = {"do": "planned", "dag_id": dag_id, "first": first, "last": last}
        found: dict[str, Any] = self._found(self._ask(answer, **question))
        return found

    def ready(self, answer: Path, dag_id: str, assets: Sequence[str]) -> bool:
        """See ``evidence.Source``."""
        return bool(self._found(self._ask(answer, do="ready", dag_id=dag_id, assets=list(assets))))

    def call(self, answer: Path, function: str, arguments: Sequence[Any]) -> Any:
        """See ``evidence.Source``."""
        return self._found(self._ask(answer, do="call", function=function, arguments=list(arguments)))

    def show(self, answer: Path) -> list[dict[str, Any]]:
        """See ``evidence.Source``."""
        outputs: list[dict[str, Any]] = self._found(self._ask(answer, do="show"))
        return outputs

    def close(self) -> None:
        """Give up what was not asked for after all."""
        self._lost = self._lost or "the check is over"
        self._pool.shutdown(cancel_futures=True)
        self._database.close()

    def _ask(self, answer: Path, **question: Any) -> dict[str, Any]:
        if self._lost:
            return {"lost": self._lost}
        left = self._until - time.monotonic()
        if left <= 0:
            return {"lost": "Stopped: the check took longer than it was given."}
        bench = self._bench(answer)
        reply = bench.ask({**question, "seconds": min(self._seconds, left)})
        if bench.usable:
            self._benches.append(bench)
        if "lost" in reply and question["do"] == "run":
            self._lost = reply["lost"]  # what hung or died once is not given the time to do it again
        return reply

    def _bench(self, answer: Path) -> Bench:
        with self._lock:
            while self._benches:
                bench = self._benches.pop()
                if bench.usable:
                    return bench
        return self._nursery.bench(answer, self._database.fileno())

    def _found(self, reply: dict[str, Any]) -> Any:
        if "broken" in reply:
            raise WindtunnelError(f"The bench failed: {reply['broken']}", "please report this.")
        if "lost" in reply:
            raise NotJudged(reply["lost"])
        return reply["found"]


def judge(ground: Ground, order: Mapping[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Judge ``order["answer"]`` by the criteria in ``order["criteria"]``.

    Returns ``{"criteria": [finding, …], "broken": None or [message, next step]}``, see ``_criteria``; ``say``
    is told of each finding at once.
    """
    # The nursery comes first: its memory, which answers inherit, knows nothing of the criteria.
    with Nursery(ground) as nursery, _planned(order) as (plan, keep):
        until = time.monotonic() + order["time_limit"]
        evidence = Evidence(nursery, plan, order["jobs"], order["seconds"], until)
        try:
            found = _criteria(order, evidence, say)
        finally:
            evidence.close()
        keep(evidence.asked)
    return found


def _criteria(
    order: Mapping[str, Any], evidence: Evidence, say: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    import pytest

    from windtunnel._criteria import Plugin

    plugin = Plugin(Path(order["answer"]), evidence, say)
    criteria = Path(order["criteria"])
    target = f"{criteria}::{order['only']}" if order["only"] else str(criteria)
    # Nothing of the reader's own pytest: no configuration, plugins or cache. Plain asserts: a criterion's
    # message is written for a reader, and rewriting would add to it.
    # Left to itself, it also looks at everything beside the folders above, which may be a full home.
    here = ["--rootdir", str(criteria.parent), "--confcutdir", str(criteria.parent)]
    alone = ["-c", os.devnull, *here, "-p", "no:cacheprovider", "--assert=plain"]
    off = ["faulthandler", "logging", "threadexception", "unraisableexception"]
    quiet = ["-q", "-s", *(option for name in off for option in ("-p", f"no:{name}"))]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        pytest.main([*quiet, *alone, target], plugins=[plugin])
    if plugin.broken:
        return {"criteria": [], "broken": plugin.broken}
    if not plugin.findings:
        why = _last_line(printed.getvalue())
        return {
            "criteria": [],
            "broken": [
                f"The criteria could not run: {why}",
                "if you did not edit the exercise, this is our mistake: please report it.",
            ],
        }
    return {"criteria": plugin.findings, "broken": None}


@contextmanager
def _planned(order: Mapping[str, Any]) -> Iterator[tuple[list[Any], Callable[[list[Any]], None]]]:
    """What the criteria asked the last time, and how to remember what they ask now."""
    digest = hashlib.sha256(Path(order["criteria"]).read_bytes() + str(order["only"]).encode()).hexdigest()[
        :24
    ]
    mark = fingerprint.of_code()  # other code may ask in other words: what it asked would be run in vain
    file = Path(order["plans"]) / f"{mark}-{digest}.json"
    try:
        plan = list(json.loads(file.read_text()))
    except (OSError, ValueError):
        plan = []

    def keep(asked: list[Any]) -> None:
        known = {_key(cases) for cases in plan}
        new = [cases for cases in asked if _key(cases) not in known]
        if new:  # an answer that fails early asks less: what is known stays
            with contextlib.suppress(OSError):
                unfinished = file.with_name(f"{file.name}.{os.getpid()}")
                file.parent.mkdir(parents=True, exist_ok=True)
                for other in file.parent.glob("*.json"):
                    if not other.name.startswith(mark):
                        other.unlink(missing_ok=True)
                unfinished.write_text(json.dumps(plan + new))
                unfinished.replace(file)

    yield plan, keep


def _key(cases: Any) -> str:
    return json.dumps(cases, sort_keys=True)


def _last_line(text: str) -> str:
    """The line of pytest's output that says most: the exception, else its own complaint, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for kind in ("E  ", "ERROR", ""):
        told = [line.removeprefix(kind).strip(": ") for line in lines if line.startswith(kind)]
        if told:
            return told[-1]
    return "pytest printed nothing"
