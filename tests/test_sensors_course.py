"""Files from the tills and jobs on the cluster: the logic by itself, and the two course DAGs on a dated sandbox."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines import cluster_jobs, till_files
from windtunnel import clock, data_file, deploy, metadata, runs, unpause, warehouse, world
from windtunnel.sandbox import Sandbox, temporary
from windtunnel.session import connect

DAY = "2026-03-03"


def send(folder: Path, store: str, *lines: str, day: str = DAY) -> Path:
    file = till_files.path(folder, day, store)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def send_all(folder: Path, day: str = DAY) -> None:
    for number, store in enumerate(till_files.STORES, start=1):
        send(folder, store, f"r1,{number}.50", "r2,2.00", "total,2", day=day)


# --- files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        (["r1,1.50", "total,1"], True),
        (["total,0"], True),
        ([], False),
        (["r1,1.50"], False),
        (["r1,1.50", "total,2"], False),
        (["r1,1.50", "total"], False),
    ],
)
def test_a_file_is_whole_when_its_last_line_counts_the_others(
    tmp_path: Path, lines: list[str], whole: bool
) -> None:
    assert till_files.is_whole(send(tmp_path, "wien", *lines)) is whole


def test_a_file_that_is_not_there_is_not_whole(tmp_path: Path) -> None:
    assert not till_files.is_whole(tmp_path / "nothing.csv")


def test_who_is_missing_is_named_and_only_for_that_day(tmp_path: Path) -> None:
    send_all(tmp_path, day="2026-03-02")
    send(tmp_path, "lyon", "total,0")
    send(tmp_path, "wien", "r1,1.00")
    assert till_files.missing(tmp_path, DAY) == ["berlin", "milano", "wien"]


def test_takings_are_those_of_all_stores_or_none(tmp_path: Path) -> None:
    send_all(tmp_path)
    assert till_files.takings(tmp_path, DAY) == 20.0
    send(tmp_path, "lyon", "r1,2.50")
    with pytest.raises(ValueError, match=r"2026-03-03: nothing whole from lyon$"):
        till_files.takings(tmp_path, DAY)


# --- jobs --------------------------------------------------------------------------------------------


def job(number: int, state: str, name: str = "n", **more: Any) -> dict[str, Any]:
    return {"job_id": number, "name": name, "state": state} | more


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ([], None),
        (["running"], 1),
        (["succeeded", "running"], 2),
        (["running", "failed", "cancelled"], 1),
        (["failed"], None),
    ],
)
def test_a_job_is_found_again_unless_it_came_to_nothing(states: list[str], found: int | None) -> None:
    jobs = [job(number, state) for number, state in enumerate(states, start=1)]
    assert cluster_jobs.under_way([*jobs, job(9, "running", "another")], "n") == found


def test_a_job_is_for_a_day_and_adds_up_completed_orders() -> None:
    orders = [
        {"status": "completed", "total_amount": 2.5},
        {"status": "returned", "total_amount": 100.0},
    ]
    described = cluster_jobs.description(date(2026, 3, 3), orders)
    assert described == {"name": "lifetime value of 2026-03-03", "seconds": 43_200, "amounts": [2.5]}


def test_a_job_has_a_result_in_the_end_and_none_before() -> None:
    assert cluster_jobs.result(job(1, "running", progress=0.5)) is None
    assert cluster_jobs.result(job(1, "succeeded", result=0)) == 0.0


@pytest.mark.parametrize("state", ["failed", "cancelled", "evicted"])
def test_a_job_that_will_never_succeed_is_not_waited_for(state: str) -> None:
    with pytest.raises(cluster_jobs.JobFailed, match=rf"job 7 \(n\): {state}"):
        cluster_jobs.result(job(7, state))


@pytest.mark.parametrize("module", [till_files, cluster_jobs], ids=lambda module: module.__name__)
def test_the_business_logic_does_not_import_airflow(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in modules if name.startswith("airflow")]


# --- live --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with temporary(clock=datetime(2026, 3, 2, 12, tzinfo=UTC)) as started:
        yield started


@pytest.fixture
def live(sandbox: Sandbox) -> Iterator[Sandbox]:
    session = connect()
    session.fresh()
    yield sandbox
    world.reset()
    session.fresh()


def running() -> int:
    """How many workers are taken."""
    return int(metadata("select count(*) from task_instance where state = 'running'").rows[0][0])


def jobs_for(day: str) -> list[dict[str, Any]]:
    found = world.jobs.get()["jobs"]
    return [job for job in found if job["name"] == f"lifetime value of {day}"]


def nothing_has_come() -> None:
    """No file, no row, no object: as on the evening before."""
    world.s3.delete(f"discounts/{DAY}.csv")
    for file in [data_file(f"prices-{DAY}.csv"), *data_file("tills").glob("*/*.csv")]:
        file.unlink(missing_ok=True)
    warehouse("drop table if exists stock_taken, orders_by_day; create table stock_taken (day date)")


def test_six_waits_end_when_the_real_thing_happens_and_hold_no_worker(live: Sandbox) -> None:
    clock.reset("2026-03-02T12:00")
    nothing_has_come()
    for dag_id in ("orders_by_day", "morning_inputs"):
        deploy(dag_id)
        unpause(dag_id)
    clock.until("2026-03-03T03:30")
    world.weather.down(for_="2h")
    clock.until("2026-03-03T04:45")
    run = runs("morning_inputs")[-1]
    waiting = dict.fromkeys(["discounts", "stock_taken", "tills", "weather"], "up_for_reschedule")
    assert run.states() == waiting | {"orders": "success", "price_list": "deferred", "report": "none"}
    assert running() == 0

    data_file(f"prices-{DAY}.csv").write_text("apples,2\n")
    warehouse("insert into stock_taken values (%s)", [DAY])
    send_all(data_file(""))
    send(data_file(""), "wien", "r1,4.50")  # still on its way
    clock.until("2026-03-03T06:15")
    assert run.states() == {
        **dict.fromkeys(["orders", "price_list", "stock_taken", "weather"], "success"),
        **dict.fromkeys(["discounts", "tills"], "up_for_reschedule"),
        "report": "none",
    }
    send_all(data_file(""))
    clock.until("2026-03-03T09:45")  # no discounts come, which is no failure
    assert (run.state, run.states()["discounts"], run.xcom("report")) == ("success", "skipped", 20.0)


def test_the_waits_give_up_at_nine(live: Sandbox) -> None:
    clock.reset("2026-03-02T12:00")
    nothing_has_come()
    world.s3.put(f"discounts/{DAY}.csv", "apples,10\n")
    deploy("morning_inputs")
    unpause("morning_inputs")
    clock.until("2026-03-03T08:45")
    run = runs("morning_inputs")[-1]
    gave_up = ["orders", "price_list", "stock_taken", "tills"]
    assert [run.states()[task] for task in (*gave_up, "discounts", "weather")] == [
        *("up_for_reschedule", "deferred", "up_for_reschedule", "up_for_reschedule"),
        *("success", "success"),
    ]
    clock.until("2026-03-03T09:45")
    assert run.states() == {
        **dict.fromkeys(gave_up, "failed"),
        **dict.fromkeys(["discounts", "weather"], "success"),
        "report": "upstream_failed",
    }


def test_twelve_hours_elsewhere_cost_one_job_and_no_worker_whatever_hiccups(live: Sandbox) -> None:
    clock.reset("2026-03-06T12:00")
    warehouse("drop table if exists lifetime_value")
    deploy("lifetime_value")
    unpause("lifetime_value")
    clock.until("2026-03-06T18:30")
    run = runs("lifetime_value")[-1]
    assert run.states() == {"submit": "success", "wait": "up_for_reschedule", "store": "none"}
    assert running() == 0

    world.jobs.fails(503, times=1)
    clock.until("2026-03-06T19:30")  # it asked at 19:00, was refused, and asked again at 19:05
    assert (run.states()["wait"], run.tries()["wait"]) == ("up_for_reschedule", 2)

    run.clear("submit")  # somebody starts it over: the job is found again
    clock.until("2026-03-07T08:15")
    assert run.state == "success"
    assert [job["state"] for job in jobs_for("2026-03-05")] == ["succeeded"]
    day = world.orders.get(start="2026-03-05", end="2026-03-06")["orders"]
    sold = round(sum(order["total_amount"] for order in day if order["status"] == "completed"), 2)
    stored = warehouse("select day::text, euros from lifetime_value")
    assert stored is not None
    assert stored.to_dict("records") == [{"day": "2026-03-05", "euros": sold}]


def test_a_job_that_was_cancelled_fails_the_wait_at_once(live: Sandbox) -> None:
    clock.reset("2026-03-07T12:00")
    deploy("lifetime_value")
    unpause("lifetime_value")
    clock.until("2026-03-07T18:30")
    (job,) = jobs_for("2026-03-06")
    world.ask("DELETE", f"jobs/{job['job_id']}")
    clock.until("2026-03-07T19:30")
    run = runs("lifetime_value")[-1]
    assert run.states() == {"submit": "success", "wait": "failed", "store": "upstream_failed"}
    assert run.tries()["wait"] == 1
