"""Runs and backfills on a real Airflow: start them, watch them, and read what they left."""

from __future__ import annotations

import _thread
import os
import re
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from windtunnel import backfill, backfills, dagcell, pause, runs, trigger, unpause
from windtunnel.api import Airflow
from windtunnel.backfills import Backfill
from windtunnel.errors import WindtunnelError
from windtunnel.live import View
from windtunnel.moments import moment
from windtunnel.runs import Run
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect
from windtunnel.waiting import poll

CELLS = {
    "shop": """
        import os
        from datetime import timedelta
        from airflow.providers.standard.operators.bash import BashOperator
        from airflow.sdk import dag, task

        def fetch(orders, name):
            return orders[name]

        @dag(schedule=None, default_args={"retry_delay": timedelta(seconds=1)})
        def shop():
            @task
            def days():
                return [1, 2, 3]

            @task
            def double(x):
                print(f"doubling {x}")
                return 2 * x

            @task(retries=1)
            def shaky(ti=None):
                print(f"try {ti.try_number}")
                if ti.try_number == 1:
                    raise ConnectionError("no answer yet")

            @task.branch
            def choose():
                return "taken"

            @task
            def taken(params=None, dag_run=None):
                return dag_run.conf

            @task
            def not_taken():
                pass

            @task
            def broken():
                print("before", os.environ["WINDTUNNEL_DATA"], __file__)
                fetch({}, "march")

            @task
            def report():
                pass

            doubled = double.expand(x=days())
            doubled >> report()
            broken() >> report.override(task_id="never")()
            shaky() >> choose() >> [taken(), not_taken()]
            BashOperator(task_id="shell", bash_command="echo hi")

        shop()
        """,
    "types": """
        from datetime import UTC, date, datetime, timedelta
        from decimal import Decimal
        from airflow.sdk import dag, task

        VALUES = {
            "none": None, "true": True, "int": 3, "float": 1.5, "text": "a <b> ü", "empty": "", "list": [1, [2]],
            "dict": {"a": {"b": None}}, "tuple": (1, (2,)), "set": {1}, "day": date(2026, 3, 1),
            "instant": datetime(2026, 3, 1, 6, tzinfo=UTC), "span": timedelta(minutes=5), "decimal": Decimal("1.5"),
        }

        @dag(schedule=None)
        def types():
            @task
            def push(ti=None):
                for key, value in VALUES.items():
                    ti.xcom_push(key, value)

            @task
            def nothing():
                pass

            push(), nothing()

        types()
        """,
    "slow": """
        import time
        from pathlib import Path
        from airflow.sdk import dag, task

        @dag(schedule=None, max_active_runs=2)
        def slow():
            @task
            def wait(dag_run=None):
                print("waiting")
                while not Path(dag_run.conf["until"]).exists():
                    time.sleep(0.05)

            @task
            def after():
                pass

            wait() >> after()

        slow()
        """,
    "nightly": """
        import time
        from datetime import UTC, datetime
        from pathlib import Path
        from airflow.sdk import dag, task

        @dag(schedule="0 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC))
        def nightly():
            @task
            def load(logical_date, dag_run=None):
                gate = (dag_run.conf or {}).get("until")
                while gate and not Path(gate).exists():
                    time.sleep(0.05)
                if logical_date.day == 13:
                    raise ValueError("unlucky")

            load()

        nightly()
        """,
    "asleep": """
        from airflow.sdk import dag, task

        @dag(schedule=None)
        def asleep():
            @task
            def rest():
                pass

            rest()

        asleep()
        """,
}


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Session:
    connected = connect()
    for source in CELLS.values():
        dagcell.save(connected, dagcell.Cell(textwrap.dedent(source).lstrip("\n")))
    for name in CELLS:
        if name != "asleep":
            connected.airflow.pause(name, False)
    return connected


@pytest.fixture(scope="module")
def airflow(session: Session) -> Airflow:
    return session.airflow


@pytest.fixture(scope="module")
def shop(session: Session) -> Run:
    """A run with one of everything, ended."""
    run = trigger("shop", conf={"limit": 10, "deep": {"list": [1, None]}})
    finish(run)
    return run


@pytest.fixture
def gate(tmp_path: Any) -> Iterator[Any]:
    """A file that ends tasks which wait for it, whatever becomes of the test."""
    tmp_path.chmod(0o755)
    path = tmp_path / "open"
    yield path
    path.touch()


def finish(thing: Run | Backfill) -> None:
    thing.watch()


def refused(action: Callable[[], Any]) -> WindtunnelError:
    with pytest.raises(WindtunnelError) as caught:
        action()
    assert "Traceback" not in str(caught.value)
    return caught.value


# --- starting ----------------------------------------------------------------------------------------


def test_an_unknown_dag_is_refused_with_the_nearest_name(session: Session) -> None:
    error = refused(lambda: trigger("shpo"))
    assert error.message == "There is no DAG 'shpo'. Did you mean 'shop'?"
    assert error.next_step == "DAGs here: asleep, nightly, shop, slow, types"


def test_a_paused_dag_is_refused_until_it_is_switched_on(session: Session, airflow: Airflow) -> None:
    error = refused(lambda: trigger("asleep"))
    assert error.message.startswith("asleep is paused")
    assert error.next_step == 'trigger("asleep", unpause=True), or unpause("asleep") first.'
    assert airflow.runs("asleep") == []
    finish(trigger("asleep", unpause=True))
    pause("asleep")
    refused(lambda: trigger("asleep"))
    unpause("asleep")
    finish(trigger("asleep"))
    assert [run.state for run in runs("asleep")] == ["success", "success"]


def test_a_run_gets_its_conf(shop: Run) -> None:
    assert shop.xcom("taken") == {"limit": 10, "deep": {"list": [1, None]}}


@pytest.mark.parametrize(
    "conf", [["a"], {"x": object()}, {"x": float("nan")}, {"x": datetime(2026, 3, 1)}, "x"]
)
def test_a_conf_that_is_no_json_is_refused(session: Session, conf: Any) -> None:
    assert refused(lambda: trigger("shop", conf=conf)).message.startswith(
        "conf must be a dict of JSON values"
    )


def test_a_logical_date_can_be_run_once(session: Session) -> None:
    run = trigger("asleep", logical_date="2026-03-01", unpause=True)
    assert run.logical_date == datetime(2026, 3, 1, tzinfo=UTC)
    for same in ("2026-03-01T01:00+01:00", date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)):
        error = refused(lambda same=same: trigger("asleep", logical_date=same))
        assert error.message == "asleep already has a run with the logical date 2026-03-01 00:00 UTC."
        assert error.next_step


@pytest.mark.parametrize("when", ["yesterday", "2026-02-30", "", "01.03.2026", 5])
def test_what_is_no_date_is_refused(session: Session, when: Any) -> None:
    error = refused(lambda: trigger("asleep", logical_date=when))
    assert error.message == f"{when!r} is not a date."
    assert "2026-03-01" in error.next_step


def test_a_moment_without_a_zone_is_utc() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    assert moment("2026-03-01") == moment(date(2026, 3, 1)) == moment(datetime(2026, 3, 1)) == midnight
    berlin = timezone(timedelta(hours=1))
    assert moment("2026-03-01T01:00+01:00") == moment(datetime(2026, 3, 1, 1, tzinfo=berlin)) == midnight


def test_a_dag_whose_file_is_broken_is_not_started(session: Session, airflow: Airflow) -> None:
    good = "from airflow.sdk import DAG\nwith DAG('fragile'): pass\n"
    dagcell.save(session, dagcell.Cell(good))
    refused(lambda: dagcell.save(session, dagcell.Cell(good + "1 / 0\n")))
    error = refused(lambda: trigger("fragile", unpause=True))
    assert "cannot be parsed now" in error.message
    assert airflow.runs("fragile") == []
    dagcell.save(session, dagcell.Cell(good))
    finish(trigger("fragile", unpause=True))


def test_a_dag_whose_file_is_gone_is_not_started(session: Session, airflow: Airflow) -> None:
    assert session.dags is not None
    dagcell.save(session, dagcell.Cell("from airflow.sdk import DAG\nwith DAG('gone'): pass\n"))
    (session.dags / "gone.py").unlink()
    assert poll(lambda: airflow.dag("gone").is_stale or None, timeout=60, every=0.1)
    assert "is gone" in refused(lambda: trigger("gone", unpause=True)).message
    airflow.delete_dag("gone")


# --- watching ----------------------------------------------------------------------------------------

TABLE = """\
shop: failed
task       state            tries
---------  ---------------  -----
broken     failed           1
days       success          1
double[0]  success          1
double[1]  success          1
double[2]  success          1
never      upstream_failed  0
report     success          1
shaky      success          2
choose     success          1
not_taken  skipped          0
shell      success          1
taken      success          1
"""


def test_watching_ends_in_a_table_that_is_the_same_on_every_run(
    shop: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.watch()
    again = trigger("shop", conf={"limit": 20})
    again.watch()
    assert capsys.readouterr().out == TABLE * 2
    assert shop.tries()["shaky"] == 2


def test_watching_asks_at_most_ten_times_a_second(
    session: Session, airflow: Airflow, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    asked: list[float] = []
    attempt = Airflow._attempt
    monkeypatch.setattr(
        Airflow, "_attempt", lambda self, do: (asked.append(time.monotonic()), attempt(self, do))[1]
    )
    monkeypatch.setattr(View, "live", True)  # as if somebody looked on
    begun = time.monotonic()
    refused(lambda: run.watch(timeout=3))
    assert len(asked) / (time.monotonic() - begun) <= 10
    gate.touch()
    monkeypatch.undo()
    finish(run)


def test_a_watch_that_lasts_too_long_says_how_far_the_run_is(session: Session, gate: Any) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    assert poll(lambda: run.states().get("wait") == "running" or None, timeout=60, every=0.1)
    error = refused(lambda: run.watch(timeout=0.5))
    assert error.message == "The run of slow had not ended after 0 s: 1 running, 1 none."
    gate.touch()
    finish(run)
    assert run.state == "success"


def test_ctrl_c_during_a_watch_leaves_the_run_going_and_says_so(session: Session, gate: Any) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    assert poll(lambda: run.states().get("wait") == "running" or None, timeout=60, every=0.1)
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    error = refused(run.watch)
    timer.join()
    assert error.message == "Stopped watching; the run of slow goes on."
    gate.touch()
    finish(run)
    assert run.state == "success"


def test_a_watch_outlives_an_api_server_that_dies(session: Session, sandbox: Sandbox, gate: Any) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    assert poll(lambda: run.states().get("wait") == "running" or None, timeout=60, every=0.1)
    os.kill(sandbox.status().components["api-server"]["pid"], signal.SIGKILL)
    gate.touch()
    finish(run)
    assert run.state == "success"


def test_a_run_before_the_start_date_is_no_silent_success(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trigger("nightly", logical_date="2025-01-01")
    run.watch()
    assert "nightly: success, but no task ran" in capsys.readouterr().out
    assert "no task ran" in refused(lambda: run.log("load")).next_step


def test_what_failed_is_cleared_and_runs_again(session: Session) -> None:
    run = trigger("nightly", logical_date="2026-01-13")
    finish(run)
    run.clear()
    finish(run)
    assert run.tries() == {"load": 2}
    fine = trigger("nightly", logical_date="2026-01-14")
    finish(fine)
    assert "Nothing in this run of nightly has failed" in refused(fine.clear).message
    fine.clear("load")
    finish(fine)
    assert fine.tries() == {"load": 2}
    assert "no task 'laod'" in refused(lambda: fine.clear("laod")).message


# --- looking at what it left -------------------------------------------------------------------------


def test_states_name_each_instance_of_a_mapped_task(shop: Run) -> None:
    states = shop.states()
    assert [name for name in states if name.startswith("double")] == ["double[0]", "double[1]", "double[2]"]
    assert states["not_taken"] == "skipped"


def test_an_xcom_of_a_mapped_task_is_a_list_and_of_an_instance_one_value(shop: Run) -> None:
    assert shop.xcom("double") == [2, 4, 6]
    assert shop.xcom("double[1]") == 4


def test_xcoms_come_back_as_they_were_pushed(session: Session) -> None:
    run = trigger("types", unpause=True)
    finish(run)
    values: dict[str, Any] = {}
    source = textwrap.dedent(CELLS["types"]).split("@dag")[0].replace("from airflow.sdk import dag, task", "")
    exec(source, values)
    for key, value in values["VALUES"].items():
        found = run.xcom("push", key)
        assert (type(found), found) == (type(value), value), key
    error = refused(lambda: run.xcom("nothing"))
    assert (
        error.message
        == "nothing pushed nothing under the key 'return_value' in this run; its state is success."
    )


def test_an_xcom_of_an_unknown_task_names_the_tasks(shop: Run) -> None:
    error = refused(lambda: shop.xcom("reprot"))
    assert error.message == "This run of shop has no task 'reprot'. Did you mean 'report'?"
    assert "days" in error.next_step


def test_an_xcom_of_a_task_that_failed_says_so(shop: Run) -> None:
    assert refused(lambda: shop.xcom("broken")).message.endswith("its state is failed.")


def test_the_log_of_a_failed_task_names_the_exception_and_its_line_in_the_cell(
    session: Session, shop: Run
) -> None:
    lines = textwrap.dedent(CELLS["shop"]).lstrip("\n").splitlines()
    call = lines.index('        fetch({}, "march")') + 2  # from 1, and the cell's first line is %%dag
    inside = lines.index("    return orders[name]") + 2
    assert repr(shop.log("broken")) == (
        "before $WINDTUNNEL_DATA work/dags/scratch/shop.py\n"
        "KeyError: 'march'\n"
        f"  line {call} of the cell, in broken\n"
        f"  line {inside} of the cell, in fetch"
    )


def test_the_log_of_each_try_can_be_read(shop: Run) -> None:
    assert shop.log("shaky").lines() == ["try 2"]
    assert shop.log("shaky", 1).lines()[:2] == ["try 1", "ConnectionError: no answer yet"]
    assert refused(lambda: shop.log("shaky", 3)).message == "shaky has no try 3: it was tried 2 times."
    assert refused(lambda: shop.log("broken", 0)).message == "broken has no try 0: it was tried once."


def test_the_log_of_a_mapped_task_is_that_of_an_instance(shop: Run) -> None:
    assert shop.log("double[2]").lines() == ["doubling 3"]
    assert "name one: double[0], double[1], double[2]" in refused(lambda: shop.log("double")).next_step
    assert refused(lambda: shop.log("double[7]")).next_step == "it has: double[0], double[1], double[2]."


def test_the_log_of_a_command_is_what_it_printed(shop: Run) -> None:
    assert shop.log("shell").lines() == ["hi"]
    assert "Running command" in shop.log("shell").full


@pytest.mark.parametrize("task", ["never", "not_taken"])
def test_a_task_that_never_started_has_no_log(shop: Run, task: str) -> None:
    assert "it never started" in refused(lambda: shop.log(task)).message


def test_the_log_of_a_running_task_shows_what_it_printed_so_far(session: Session, gate: Any) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    assert poll(lambda: run.states().get("wait") == "running" or None, timeout=60, every=0.1)
    assert poll(lambda: run.log("wait").lines() == ["waiting"] or None, timeout=60, every=0.1)
    gate.touch()
    finish(run)


def test_a_log_tells_nothing_of_times_ids_and_this_machine(shop: Run, sandbox: Sandbox) -> None:
    text = "\n".join(repr(shop.log(task)) for task in ("days", "broken", "shaky", "shell", "double[0]"))
    assert str(sandbox.state.path) not in text
    assert shop.run_id not in text
    assert not re.search(r"\d\d:\d\d", text)


def test_a_graph_shows_each_task_once_in_its_most_telling_state(shop: Run) -> None:
    graph = shop.graph()
    assert graph.copies == {"double": 3}
    assert (graph.states["double"], graph.states["broken"], graph.states["never"]) == (
        "success",
        "failed",
        "upstream_failed",
    )
    assert shop.run_id not in repr(graph) + graph._repr_html_()
    assert repr(graph) == repr(shop.graph())


def test_a_gantt_has_a_bar_for_each_instance_that_ran(shop: Run) -> None:
    bars = {bar.label: bar for bar in shop.gantt().bars}
    assert set(bars) == {name for name, tries in shop.tries().items() if tries}
    assert all(0 <= bar.queued <= bar.start <= bar.end for bar in bars.values())


def test_a_gantt_of_a_run_that_goes_on_is_drawn(session: Session, gate: Any) -> None:
    run = trigger("slow", conf={"until": str(gate)})
    assert poll(lambda: run.states().get("wait") == "running" or None, timeout=60, every=0.1)
    assert [bar.label for bar in run.gantt().bars] == ["wait"]
    gate.touch()
    finish(run)


def test_a_run_that_was_deleted_says_so(session: Session, airflow: Airflow) -> None:
    run = Run(airflow, "shop", "manual__never")
    assert refused(lambda: run.state).message == "That run of shop is gone."


# --- backfills ---------------------------------------------------------------------------------------


def test_a_backfill_by_dates_includes_the_last_day(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    made = backfill("nightly", "2026-03-01", "2026-03-03")
    made.watch()
    assert capsys.readouterr().out == (
        "nightly: backfill of 3 runs\n"
        "logical date (UTC)  state\n"
        "------------------  -------\n"
        "2026-03-01 02:00    success\n"
        "2026-03-02 02:00    success\n"
        "2026-03-03 02:00    success\n"
    )
    assert [run.logical_date for run in made.runs()] == [
        datetime(2026, 3, day, 2, tzinfo=UTC) for day in (1, 2, 3)
    ]


def test_a_backfill_by_instants_ends_at_the_instant(session: Session) -> None:
    made = backfill("nightly", datetime(2026, 4, 1, 2), "2026-04-03T01:59")
    finish(made)
    assert list(made.states()) == ["2026-04-01 02:00", "2026-04-02 02:00"]


def test_a_backfill_again_can_follow_at_once_and_leaves_existing_runs_alone(session: Session) -> None:
    finish(backfill("nightly", "2026-05-13", "2026-05-13"))
    again = backfill("nightly", "2026-05-12", "2026-05-13")
    finish(again)
    assert again.states() == {"2026-05-12 02:00": "success", "2026-05-13 02:00": "failed"}
    assert [run.tries() for run in again.runs()] == [{"load": 1}, {"load": 1}]


@pytest.mark.parametrize(("what", "month", "tries"), [("failed", 6, [1, 2]), ("completed", 7, [2, 2])])
def test_existing_runs_are_done_again_on_demand(
    session: Session, what: backfills.Reprocess, month: int, tries: list[int]
) -> None:
    range_ = f"2026-{month:02}-12", f"2026-{month:02}-13"
    finish(backfill("nightly", *range_))
    again = backfill("nightly", *range_, reprocess=what)
    finish(again)
    assert [run.tries()["load"] for run in again.runs()] == tries


def test_a_second_backfill_while_one_runs_is_refused(session: Session, gate: Any) -> None:
    first = backfill("nightly", "2026-08-01", "2026-08-01", conf={"until": str(gate)})
    error = refused(lambda: backfill("nightly", "2026-08-02", "2026-08-02"))
    assert error.message == "A backfill of nightly is still going on; a DAG can have one at a time."
    gate.touch()
    finish(first)
    finish(backfill("nightly", "2026-08-02", "2026-08-02"))


def test_a_backfill_backwards_begins_with_the_last_day(session: Session) -> None:
    made = backfill("nightly", "2026-09-01", "2026-09-03", run_backwards=True, max_active_runs=1)
    finish(made)
    started = [run._record().start_date for run in made.runs()]
    assert started == sorted(started, reverse=True)


def test_a_dry_run_says_what_a_backfill_would_make_and_makes_nothing(
    session: Session, airflow: Airflow
) -> None:
    finish(backfill("nightly", "2026-01-12", "2026-01-13"))
    pause("nightly")  # nothing is to run, so it may be
    try:
        days = "2026-01-11", "2026-01-14"
        plan = backfill("nightly", *days, dry_run=True)
        assert repr(plan) == (
            "nightly: a backfill would make 2 runs\n"
            "logical date (UTC)\n"
            "------------------\n"
            "2026-01-11 02:00\n"
            "2026-01-14 02:00"
        )
        assert len(plan) == 2
        again = backfill("nightly", *days, reprocess="failed", run_backwards=True, dry_run=True)
        assert again.dates == ["2026-01-14 02:00", "2026-01-13 02:00", "2026-01-11 02:00"]
        found = airflow.runs(
            "nightly",
            run_type=["backfill"],
            logical_date_gte=moment("2026-01-11"),
            logical_date_lte=moment("2026-01-15"),
        )
        assert [run.logical_date.day for run in found] == [12, 13]
    finally:
        unpause("nightly")


def test_a_run_of_a_backfill_that_has_ended_can_be_cleared(session: Session) -> None:
    first = backfill("nightly", "2026-01-25", "2026-01-25")
    finish(first)
    finish(backfill("nightly", "2026-01-26", "2026-01-26"))
    [run] = first.runs()
    run.clear("load")
    run.watch(60)
    assert (run.state, run.tries()) == ("success", {"load": 2})


def test_a_run_says_who_made_it(session: Session) -> None:
    by_hand = trigger("nightly", logical_date="2026-01-21T02:00")
    by_hand.watch()
    assert by_hand.run_type == "manual"
    finish(backfill("nightly", "2026-01-21", "2026-01-21", reprocess="completed"))
    assert by_hand.run_type == "backfill"  # that took it over


def test_a_dag_without_a_schedule_cannot_be_backfilled(session: Session) -> None:
    error = refused(lambda: backfill("shop", "2026-03-01", "2026-03-02"))
    assert error.message == "shop has no schedule by the clock, so no date has a run to make."
    assert "@daily" in error.next_step


@pytest.mark.parametrize(
    ("start", "end", "options", "words"),
    [
        ("2026-03-02", "2026-03-01", {}, "would end (2026-03-01) before it starts (2026-03-02)"),
        (
            "2026-03-01T03:00",
            "2026-03-01T04:00",
            {},
            "has no run from 2026-03-01 03:00 to 2026-03-01 04:00 UTC",
        ),
        ("2999-03-01", "2999-03-02", {}, "future dates"),
        ("March", "2026-03-02", {}, "'March' is not a date"),
        ("2026-03-01", "2026-03-02", {"reprocess": "all"}, "reprocess='all' is not known"),
        ("2026-03-01", "2026-03-02", {"conf": []}, "conf must be a dict"),
        ("2026-03-01", "2026-03-02", {"max_active_runs": 0}, "max_active_runs"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(
    session: Session, start: str, end: str, options: dict[str, Any], words: str
) -> None:
    assert words in refused(lambda: backfill("nightly", start, end, **options)).message


def test_a_paused_or_unknown_dag_is_not_backfilled(session: Session, airflow: Airflow) -> None:
    pause("nightly")
    try:
        assert "paused" in refused(lambda: backfill("nightly", "2026-10-01", "2026-10-02")).message
    finally:
        unpause("nightly")
    assert (
        "Did you mean 'nightly'?" in refused(lambda: backfill("nihgtly", "2026-10-01", "2026-10-02")).message
    )
