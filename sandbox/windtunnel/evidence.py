"""What is known about an answer: its shape, and what its runs did.

Criteria ask; they never import the answer. The evidence is data. Where it comes from is behind ``Source``:
a process that runs the answer (``windtunnel.engine``) or, in a test, anything that answers its questions.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

Dataset = Mapping[str, Sequence[Mapping[str, Any]]]
Result = TypeVar("Result")


class NotJudged(AssertionError):
    """There is no evidence of what a criterion asks about: the answer does not get so far. Says why."""


@dataclass(frozen=True)
class Case:
    """One run to be made: the date it is for, the shop it meets (None: the invented one).

    ``manual`` runs have no logical date; their date is the day they were triggered.
    """

    date: str
    data: Dataset | None = None
    manual: bool = False
    conf: Mapping[str, Any] | None = None  # what the run is triggered with
    parallel: int = 1  # tasks that may run side by side, each in a process of its own
    interval: tuple[str, str] | None = None  # its data interval, two moments; None: the timetable's
    faults: tuple[Mapping[str, Any], ...] = ()  # what is broken outside, see ``world.faults.Fault``
    dag: str | None = None  # which DAG of the file; None: its only one
    # Names or URIs of the assets whose updates start it: such a run has no logical date, and its tasks are
    # given the events that runs before it in the same question caused, or one for each that has none.
    assets: tuple[str, ...] = ()
    pools: Mapping[str, int] = field(default_factory=dict)  # pools there are besides default_pool, with slots


class Source(Protocol):
    """Runs answers. All methods raise NotJudged when one cannot be run."""

    def parse(self, answer: Path) -> dict[str, Any]:
        """``{"dags": {dag_id: shape}, "error": text or ""}``; see ``Dag`` for a shape."""

    def run(self, answer: Path, dag_id: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """Run the cases one after the other on one data folder, empty at first; see ``Run`` for results.

        ``dag_id`` is the DAG of those that name none.
        """

    def planned(self, answer: Path, dag_id: str, first: str, last: str) -> dict[str, Any]:
        """``{"runs": [run, …], "problem": why they are not known}`` from first to before last, see ``Planned``."""

    def ready(self, answer: Path, dag_id: str, assets: Sequence[str]) -> bool:
        """Whether the DAG would run once these assets, by name or URI, have been updated."""

    def call(self, answer: Path, function: str, arguments: Sequence[Any]) -> Any:
        """What the function returns, as JSON."""

    def show(self, answer: Path) -> list[dict[str, Any]]:
        """What the answer shows when it is run as a notebook's cell; see ``Submission.outputs``."""


@dataclass(frozen=True)
class Task:
    """One task as the scheduler sees it."""

    operator: str
    upstream: frozenset[str]
    retries: int
    trigger_rule: str
    pool: str
    pool_slots: int
    # The assets it updates when it succeeds, {"name", "uri"} each.
    outlets: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Dag:
    """One DAG as the scheduler sees it. ``schedule`` is the cron text, or a timetable's description."""

    dag_id: str
    schedule: str | None
    catchup: bool
    start_date: str | None  # ISO 8601
    max_active_runs: int
    tags: list[str]
    tasks: dict[str, Task]
    assets: Any = None  # what it waits for, as Airflow puts it: {"all": [{"asset": {"name", "uri", …}}, …]}

    def before(self, task_id: str) -> frozenset[str]:
        """Every task that must have ended before ``task_id`` starts, directly or through others."""
        direct = self.tasks[task_id].upstream
        return direct.union(*(self.before(upstream) for upstream in direct))


@dataclass(frozen=True)
class Planned:
    """One run that Airflow would make. Moments are aware, in the zone that was asked in."""

    run_after: datetime
    logical_date: datetime | None
    start: datetime | None  # of its data interval
    end: datetime | None


@dataclass(frozen=True)
class Update:
    """One asset that a task of a run updated."""

    asset: str  # its name
    uri: str
    task_id: str
    extra: Any


@dataclass(frozen=True)
class XCom:
    """One value handed from task to task. ``size`` is bytes of JSON; ``value`` is cut short when large."""

    task_id: str
    key: str
    size: int
    value: Any


@dataclass(frozen=True)
class Request:
    """One request that the outside world received during a run, in the order they came."""

    method: str
    path: str  # without the leading slash
    query: dict[str, str]
    body: Any  # the JSON that was sent; None without
    status: int  # what was answered


@dataclass(frozen=True)
class Run:
    """What one run did."""

    date: str
    state: str
    tasks: dict[str, str]  # task id -> state
    xcoms: list[XCom] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # path under $WINDTUNNEL_DATA -> text
    errors: dict[str, str] = field(
        default_factory=dict
    )  # failed task id -> exception, with the answer's line
    logs: dict[str, list[str]] = field(default_factory=dict)  # task id -> last lines of its log
    tries: dict[str, int] = field(default_factory=dict)  # task id -> how often it was started
    order: list[str] = field(default_factory=list)  # task ids, in the order in which they were started
    received: list[Request] = field(default_factory=list)  # what the outside world was asked and told
    spans: list[dict[str, Any]] = field(default_factory=list)  # see ``slots``, ``slept``
    waits: dict[str, list[float]] = field(
        default_factory=dict
    )  # task id -> how long it waited between looks while it held no worker, seconds each
    updated: list[Update] = field(default_factory=list)  # assets, in the order of their updates
    due: list[str] = field(default_factory=list)  # DAGs to be started next, because of updated assets
    tables: dict[str, dict[str, list[dict[str, Any]]]] = field(
        default_factory=dict
    )  # SQLite file under $WINDTUNNEL_DATA -> table -> rows

    def succeeded(self) -> Run:
        """This run. NotJudged, with the cause, when it failed or was empty."""
        if self.state != "success" or not self.tasks:
            raise NotJudged(f"The run had to succeed, but {self.outcome}.")
        return self

    @property
    def outcome(self) -> str:
        """The run in one sentence, for messages."""
        ended = f"the run for {self.date} ended {self.state}"
        if not self.tasks:
            return f"{ended} without running a single task: is start_date later?"
        causes = "; ".join(f"{task_id} failed with {error}" for task_id, error in sorted(self.errors.items()))
        return f"{ended}: {causes}" if causes else ended

    def text(self, path: str) -> str:
        """The file at ``path`` under ``$WINDTUNNEL_DATA``. NotJudged, listing what there is, when missing."""
        if path not in self.files:
            self.succeeded()  # the cause of a failure says more than the file that is therefore missing
            there = ", ".join(sorted(self.files)) or "nothing"
            raise NotJudged(f"The run for {self.date} left no {path} under WINDTUNNEL_DATA; it left {there}.")
        return self.files[path]

    def rows(self, path: str, *columns: str) -> list[dict[str, str]]:
        """The CSV file at ``path``, a dict of texts a row. NotJudged when it lacks one of ``columns``."""
        reader = csv.DictReader(io.StringIO(self.text(path)))
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            has = ", ".join(reader.fieldnames or ()) or "none"
            raise NotJudged(f"{path} has no column {', '.join(missing)}; its columns are {has}.")
        return list(reader)

    def slots(self, pool: str) -> list[int]:
        """How many slots of ``pool`` were in use, after each start and end of a task, in their order."""
        held = [span for span in self.spans if span["pool"] == pool]
        changes = [(span["start"], span["slots"]) for span in held] + [
            (span["end"], -span["slots"]) for span in held
        ]
        return list(accumulate(change for _, change in sorted(changes)))

    def slept(self, task_id: str) -> float:
        """Seconds that a task slept in the middle of its work, holding its worker. Short naps do not count."""
        return float(sum(span["slept"] for span in self.spans if span["task"] == task_id))

    def table(self, path: str, table: str) -> list[dict[str, Any]]:
        """The rows of ``table`` in the SQLite file at ``path`` under ``$WINDTUNNEL_DATA``.

        NotJudged, listing what there is, when the file or the table is missing.
        """
        if path not in self.tables:
            self.text(path)
            raise NotJudged(f"{path} is no SQLite database.")
        if table not in self.tables[path]:
            has = ", ".join(self.tables[path]) or "none"
            raise NotJudged(f"{path} has no table {table}; its tables are {has}.")
        return self.tables[path][table]

    def json(self, path: str) -> Any:
        """The JSON file at ``path``. NotJudged when it is not JSON, which has no NaN."""

        def refuse(constant: str) -> None:
            raise ValueError(f"{constant} is no JSON: other programs cannot read it (write null)")

        try:
            return json.loads(self.text(path), parse_constant=refuse)
        except ValueError as error:
            raise NotJudged(f"{path} cannot be read as JSON: {error}.") from None


class Submission:
    """An answer, to be asked for evidence. A question asked again is not run again."""

    def __init__(self, answer: Path, source: Source) -> None:
        self.answer = answer
        self._source = source
        self._parsed: dict[str, Dag] | None = None
        self._runs: dict[str, list[Run]] = {}
        self._planned: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._outputs: list[dict[str, Any]] | None = None
        self._lost: NotJudged | None = None

    @property
    def dags(self) -> dict[str, Dag]:
        """The DAGs that Airflow finds in the file. NotJudged when it cannot be imported or has none."""
        if self._parsed is None:
            self._parsed = self._ask(self._parse)
        return self._parsed

    def call(self, function: str, *arguments: Any) -> Any:
        """What the answer's ``function`` returns for ``arguments`` (both JSON). NotJudged when it raises."""
        return self._ask(lambda: self._source.call(self.answer, function, arguments))

    def outputs(self) -> list[dict[str, Any]]:
        """What the answer prints and displays when it is run as a notebook's cell, as nbformat has outputs.

        NotJudged when the cell raises. See ``windtunnel.notebook_answers`` for how to compare them.
        """
        if self._outputs is None:
            self._outputs = self._ask(self._show)
        return self._outputs

    @property
    def dag(self) -> Dag:
        """The file's only DAG."""
        if len(self.dags) > 1:
            raise NotJudged(f"One DAG was asked for; your file has {len(self.dags)}: {', '.join(self.dags)}.")
        return next(iter(self.dags.values()))

    def run(
        self, date: str, data: Dataset | None = None, *, manual: bool = False, twice: bool = False
    ) -> Run:
        """What a run for ``date`` does in a world with ``data``; ``twice``: what a second run leaves."""
        return self.runs(*[Case(date, data, manual)] * (2 if twice else 1))[-1]

    def runs(self, *cases: Case) -> list[Run]:
        """What several runs do, one after the other, over the same data folder."""
        question = json.dumps([vars(case) for case in cases], sort_keys=True)
        if question not in self._runs:
            named = [self._named(case.dag).dag_id for case in cases if case.dag is not None]
            dag_id = self.dag.dag_id if len(named) < len(cases) else ""
            found = self._ask(lambda: self._source.run(self.answer, dag_id, cases))
            self._runs[question] = [_run(case, each) for case, each in zip(cases, found, strict=True)]
        return self._runs[question]

    def planned(self, dag_id: str, first: str, last: str, zone: str = "UTC") -> list[Planned]:
        """The runs that Airflow would make of a DAG from ``first`` to before ``last``, by their ``run_after``.

        Both are dates or moments (ISO 8601) in ``zone``. As if catchup were on and the DAG had never been
        paused, so that it says what the schedule is and not when somebody switched it on; start_date and
        end_date hold. NotJudged when there are thousands, or the timetable fails.
        """
        local = ZoneInfo(zone)
        begin, end = (_moment(each).replace(tzinfo=local).isoformat() for each in (first, last))
        if (dag_id, begin, end) not in self._planned:
            self._named(dag_id)
            self._planned[dag_id, begin, end] = self._ask(
                lambda: self._source.planned(self.answer, dag_id, begin, end)
            )
        found = self._planned[dag_id, begin, end]
        if found["problem"]:
            raise NotJudged(found["problem"])
        return [
            Planned(**{name: text and _moment(text).astimezone(local) for name, text in run.items()})
            for run in found["runs"]
        ]

    def runs_on(self, dag_id: str, *assets: str) -> bool:
        """Whether Airflow would run a DAG once just these assets, by name or URI, have been updated."""
        self._named(dag_id)
        return self._ask(lambda: self._source.ready(self.answer, dag_id, assets))

    def _named(self, dag_id: str) -> Dag:
        if dag_id not in self.dags:
            raise NotJudged(f"There is no DAG {dag_id}; your file has {', '.join(self.dags)}.")
        return self.dags[dag_id]

    def _ask(self, question: Callable[[], Result]) -> Result:
        """Evidence from the source. An answer that hung or died once is not given the time to do it again."""
        if self._lost is not None:
            raise self._lost
        try:
            return question()
        except NotJudged as lost:
            self._lost = lost
            raise

    def _show(self) -> list[dict[str, Any]]:
        self._read()
        return self._source.show(self.answer)

    def _read(self) -> None:
        """NotJudged, with the place, when the answer's text is not Python's."""
        try:
            # Reading is not importing: this gives a syntax error's place without running anything.
            ast.parse(self.answer.read_text(encoding="utf-8"))
        except SyntaxError as error:
            line = (error.text or "").strip()
            raise NotJudged(f"{self.answer.name}:{error.lineno}: {error.msg}: {line}") from None
        except UnicodeDecodeError as error:
            raise NotJudged(f"{self.answer.name} is not text in UTF-8: {error}.") from None
        except ValueError:
            raise NotJudged(f"{self.answer.name} is not Python's text: it holds null bytes.") from None
        except (RecursionError, MemoryError):
            raise NotJudged(f"{self.answer.name} is nested too deeply for Python to read.") from None

    def _parse(self) -> dict[str, Dag]:
        self._read()
        found = self._source.parse(self.answer)
        if found["error"]:
            raise NotJudged(f"Airflow cannot import your file: {found['error']}")
        if not found["dags"]:
            raise NotJudged(
                "Airflow finds no DAG in your file. A DAG must exist once the file is imported: "
                "a `with DAG(…)` block at the top level, or a call of the function decorated with `@dag`."
            )
        return {dag_id: _dag(dag_id, shape) for dag_id, shape in found["dags"].items()}


def _dag(dag_id: str, shape: dict[str, Any]) -> Dag:
    tasks = {
        task_id: Task(**(task | {"upstream": frozenset(task["upstream"])}))
        for task_id, task in shape["tasks"].items()
    }
    return Dag(dag_id=dag_id, **(shape | {"tasks": tasks}))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _run(case: Case, found: dict[str, Any]) -> Run:
    parts = {
        "xcoms": [XCom(**xcom) for xcom in found["xcoms"]],
        "received": [Request(**request) for request in found.get("received", ())],
        "updated": [Update(**update) for update in found.get("updated", ())],
    }
    return Run(date=case.date, **(found | parts))
