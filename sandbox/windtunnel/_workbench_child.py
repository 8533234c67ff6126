"""The far end of ``windtunnel.workbench``: imports Airflow, then answers, and reports what they did.

A question is a line of JSON on standard input, a reply one on what was standard output. What the answer
itself prints goes to the log. Run as a script, so that the package is not imported: nothing of it is needed here.
"""

# ruff: noqa: E402

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Airflow imports jsonschema, which imports this to check IRIs where it is installed (by JupyterLab). It compiles a
# grammar on import: a third of the whole start. jsonschema does without when it is missing.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.listeners import hookimpl
from airflow.models.xcom import XComModel
from airflow.sdk.listener import get_listener_manager
from airflow.utils.session import create_session
from sqlalchemy import select

HOUR = 6  # runs are made for this hour (UTC) of their date
LOG_LINES = 60  # a traceback through Airflow alone is 30
LARGE = 2_000  # bytes of JSON from which an XCom's value is cut short
LARGEST_FILE = 4_000_000  # bytes


class Ear:
    """Hears of each task that starts or fails; Airflow calls it."""

    def __init__(self, answer: Path) -> None:
        self.answer = answer
        self.errors: dict[str, str] = {}
        self.logs: dict[str, list[str]] = {}
        self._begin = 0

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Remember where the task's part of the log begins."""
        self._begin = self._log_size()

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        """Keep what went wrong, and the log's last lines."""
        self.errors[task_instance.task_id] = told(error, self.answer)
        self._log_size()
        with Path("log").open("rb") as log:
            log.seek(self._begin)
            self.logs[task_instance.task_id] = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]

    def _log_size(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        return Path("log").stat().st_size


def told(error: Any, answer: Path) -> str:
    """An exception in a line or a few: its kind, its words, and the answer's own line it came from."""
    if not isinstance(error, BaseException):
        return str(error)
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == answer.name
    ]
    place = f" (line {lines[-1]} of {answer.name})" if lines else ""
    return f"{type(error).__name__}: {str(error)[:2000]}{place}"


def bag_of(answer: Path) -> BundleDagBag:
    """Parse the answer anew, as Airflow does before each task: nothing lives on from an earlier case."""
    return BundleDagBag(dag_folder=str(answer.parent), bundle_path=answer.parent, bundle_name="dags-folder")


def parse(answer: Path) -> dict[str, Any]:
    """The answer's DAGs, or why there are none."""
    bag = bag_of(answer)
    errors = [error.strip().splitlines() for error in bag.import_errors.values()]
    return {
        "error": "; ".join(import_error(lines, answer) for lines in errors),
        "dags": {dag_id: shape(dag) for dag_id, dag in sorted(bag.dags.items())},
    }


def import_error(lines: list[str], answer: Path) -> str:
    """The last line of a traceback, with the line of the answer it came from."""
    places = [
        line.split(", ")[1] for line in lines if line.strip().startswith("File ") and answer.name in line
    ]
    return f"{answer.name}, {places[-1]}: {lines[-1]}" if places else lines[-1]


def shape(dag: Any) -> dict[str, Any]:
    """A DAG's structure; see ``evidence.Dag``."""
    schedule = dag.schedule
    return {
        "schedule": schedule if schedule is None or isinstance(schedule, str) else repr(schedule),
        "catchup": bool(dag.catchup),
        "tasks": {
            task.task_id: {
                "operator": task.task_type,
                "upstream": sorted(task.upstream_task_ids),
                "retries": int(task.retries or 0),
            }
            for task in dag.tasks
        },
    }


def run(question: dict[str, Any], answer: Path) -> dict[str, Any]:
    """One run of the answer's DAG, and what it left; see ``evidence.Run``."""
    os.environ["WINDTUNNEL_DATA"] = question["data"]
    os.environ["AIRFLOW_CONN_SHOP_API"] = json.dumps({"conn_type": "http", "host": question["shop"]})
    dag = bag_of(answer).dags[question["dag_id"]]
    for task in dag.tasks:
        task.retries = (
            0  # a check does not wait for a second try; how many were asked for is part of the shape
        )
    ear = Ear(answer)
    listeners = get_listener_manager()
    listeners.pm.register(ear)
    moment = datetime.fromisoformat(question["date"]).replace(hour=HOUR, tzinfo=UTC)
    try:
        # A manual run has no logical date: `run_after` is the moment it was triggered.
        made = dag.test(run_after=moment, logical_date=None if question["manual"] else moment)
    finally:
        listeners.pm.unregister(ear)
    return {
        "state": str(made.state),
        "tasks": {named(ti): str(ti.state) for ti in made.get_task_instances()},
        "xcoms": xcoms(made.dag_id, made.run_id),
        "files": files(Path(question["data"])),
        "errors": ear.errors,
        "logs": ear.logs,
    }


def named(ti: Any) -> str:
    """A task instance's name: its task, with the index when mapped."""
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def xcoms(dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """What the run's tasks handed on; see ``evidence.XCom``."""
    with create_session() as session:
        query = select(XComModel.task_id, XComModel.key, XComModel.value)
        query = query.where(XComModel.dag_id == dag_id, XComModel.run_id == run_id)
        rows = session.execute(query.order_by(XComModel.task_id, XComModel.key)).all()
    found = []
    for task_id, key, value in rows:
        text = json.dumps(value)
        size = len(text.encode())
        found.append(
            {
                "task_id": task_id,
                "key": key,
                "size": size,
                "value": value if size < LARGE else text[:200],
            }
        )
    return found


def files(folder: Path) -> dict[str, str]:
    """Every file under ``folder``: relative path -> text. Of a huge one, only that it is there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(errors="replace")
        if path.stat().st_size < LARGEST_FILE
        else ""
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> None:
    """Answer questions until standard input ends."""
    # The next answer may have this one's name, size and second: its bytecode must not be taken for it.
    sys.dont_write_bytecode = True
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed from here on goes to the log
    questions = os.fdopen(os.dup(0), "r")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # an answer that calls input() gets an end of file

    def reply(found: dict[str, Any]) -> None:
        replies.write(json.dumps(found, default=str) + "\n")
        replies.flush()

    reply({"ready": True})
    for line in questions:
        question = json.loads(line)
        answer = Path(question["answer"])
        try:
            reply(parse(answer) if question["do"] == "parse" else run(question, answer))
        except Exception as error:
            traceback.print_exc()
            reply({"broken": told(error, answer)})


if __name__ == "__main__":
    main()
