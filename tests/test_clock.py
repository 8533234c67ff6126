"""The clock that can be turned, on a real Airflow: what is due happens, when it is due and not before."""

from __future__ import annotations

import _thread
import json
import os
import re
import signal
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandboxes import wait_for
from windtunnel import backfill, clock, dagcell, metadata, pause, runs, trigger, unpause, warehouse, world
from windtunnel.clock import Turn
from windtunnel.clockwork.component import Watcher
from windtunnel.clockwork.hands import Hands, nanoseconds
from windtunnel.errors import WindtunnelError
from windtunnel.postgres import Postgres
from windtunnel.runs import Run
from windtunnel.sandbox import Sandbox, temporary
from windtunnel.session import Session, connect

START = datetime(2026, 3, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
Live = Callable[..., None]

# What each run was told of itself goes into one line of a file.
NOTE = """
import json, os, time
from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG, Asset, task
SEEN = os.environ["WINDTUNNEL_DATA"] + "/seen.jsonl"
def note(**what):
    with open(SEEN, "a") as file:
        print(json.dumps({"now": datetime.now(timezone.utc).isoformat(), **what}), file=file)
"""
CHAIN = """
with DAG("{dag_id}", schedule={schedule}, start_date={start}, catchup={catchup}, max_active_runs={most}):
    @task
    def a(dag_run=None, **context):
        note(dag=dag_run.dag_id, ds=context.get("ds"), run_id=dag_run.run_id,
             start=str(context.get("data_interval_start")), end=str(context.get("data_interval_end")),
             logical=str(context.get("logical_date")))
    @task
    def b(): ...
    @task
    def c(): ...
    a() >> b() >> c()
"""


WAITING = {
    "retried": """
        with DAG("retried", schedule=None):
            @task(retries=2, retry_delay=timedelta(minutes=5))
            def flaky(ti=None):
                note(dag="retried", number=ti.try_number)
                if ti.try_number < 3:
                    raise RuntimeError("not yet")
            flaky()
        """,
    "sensed": """
        with DAG("sensed", schedule=None):
            @task
            def begin():
                return time.time()
            @task.sensor(mode="reschedule", poke_interval=600, timeout=3600)
            def spaced(since):
                return time.time() - since > 35 * 60
            @task.sensor(mode="reschedule", poke_interval=600, timeout=3600)
            def spaced_never(since):
                return False
            @task.sensor(mode="poke", poke_interval=600, timeout=3600)
            def poked(since):
                return time.time() - since > 35 * 60
            @task.sensor(mode="poke", poke_interval=600, timeout=3600)
            def poked_never(since):
                return False
            since = begin()
            spaced(since), spaced_never(since), poked(since), poked_never(since)
        """,
    "deferred": """
        from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
        from airflow.providers.standard.sensors.filesystem import FileSensor
        with DAG("deferred", schedule=None):
            TimeDeltaSensor(task_id="two_hours", delta=timedelta(hours=2), deferrable=True)
            TimeDeltaSensor(task_id="thirty_hours", delta=timedelta(hours=30), deferrable=True)
        """,
    "limited": """
        from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
        with DAG("limited", schedule=None):
            @task(execution_timeout=timedelta(minutes=10))
            def slow():
                time.sleep(3600)
            slow()
        with DAG("limited_run", schedule=None, dagrun_timeout=timedelta(hours=2)):
            TimeDeltaSensor(task_id="six_hours", delta=timedelta(hours=6), deferrable=True)
        """,
    "long": """
        with DAG("long", schedule=None):
            @task
            def sleeps():
                time.sleep(24 * 3600)
                note(dag="long")
            sleeps()
        """,
}


def chain(
    dag_id: str,
    schedule: str,
    start: str = "datetime(2026, 3, 1)",
    catchup: bool = False,
    most: int = 16,
) -> str:
    return CHAIN.format(dag_id=dag_id, schedule=schedule, start=start, catchup=catchup, most=most)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with temporary(clock=START) as started:
        yield started


@pytest.fixture
def session(sandbox: Sandbox) -> Session:
    return connect()


@pytest.fixture
def live(session: Session) -> Iterator[Live]:
    """Saves DAGs as a ``%%dag --many`` cell does; at the end they are gone."""

    def save(*sources: str, imports: str = "") -> None:
        cell = NOTE + imports + "\n".join(textwrap.dedent(source) for source in sources)
        dagcell.save(session, dagcell.Cell(cell), "cell", many=True)

    session.fresh()
    (session.sandbox.state.data / "seen.jsonl").unlink(missing_ok=True)
    yield save
    session.fresh()


def seen(session: Session, **wanted: Any) -> list[dict[str, Any]]:
    """The notes that tasks have written, in order."""
    assert session.sandbox
    path = session.sandbox.state.data / "seen.jsonl"
    notes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [note for note in notes if wanted.items() <= note.items()]


def begin(at: str) -> None:
    clock.reset(at)


def shape(turn: Turn) -> list[tuple[str, str, str]]:
    return [(run.dag_id, f"{run.run_after:%m-%d %H:%M}", run.state) for run in turn.runs]


def local(moment: datetime) -> str:
    return moment.astimezone(BERLIN).strftime("%m-%d %H:%M%z")


def states(run: Run) -> dict[str, str]:
    return run.states()


# --- schedules -------------------------------------------------------------------------------------


def test_a_month_of_daily_runs(live: Live, session: Session) -> None:
    begin("2026-03-01")
    live(chain("daily", '"0 6 * * *"'))
    unpause("daily")
    turn = clock.advance(days=30)
    assert repr(turn) == (
        "2026-03-01 00:00 → 2026-03-31 00:00 UTC\n  daily  30 success  (2026-03-01 06:00 … 2026-03-30 06:00)"
    )
    assert all(set(states(run).values()) == {"success"} for run in runs("daily"))
    assert [note["ds"] for note in seen(session, dag="daily")] == [
        f"2026-03-{day:02}" for day in range(1, 31)
    ]


def test_the_same_days_are_three_times_the_same(live: Live, session: Session) -> None:
    told = []
    for _ in range(3):
        begin("2026-03-01")
        live(chain("daily", '"0 6 * * *"'), chain("twice", '"0 */12 * * *"'), WAITING["retried"])
        for dag_id in ("daily", "twice"):
            unpause(dag_id)
        trigger("retried", unpause=True)
        turn = clock.advance(days=2)
        order = metadata(
            "select dag_id, task_id, map_index, state, try_number from task_instance order by start_date"
        )
        told.append((repr(turn), order.rows))
    assert told[0] == told[1] == told[2]
    assert [run.state for run in turn.runs] == ["success"] * 8


def test_each_timetable_tells_its_tasks_the_right_dates(live: Live, session: Session) -> None:
    begin("2026-03-01")
    live(
        chain("point", '"0 6 * * *"'),
        chain("interval", 'CronDataIntervalTimetable("0 6 * * *", timezone="UTC")'),
        chain("delta", "timedelta(days=1)", catchup=True),
        imports="from airflow.sdk import CronDataIntervalTimetable\n",
    )
    for dag_id in ("point", "interval", "delta"):
        unpause(dag_id)
    clock.until("2026-03-03T07:00")

    def told(dag_id: str) -> list[tuple[str, str, str, str, str]]:
        return [
            (n["ds"], n["start"][:16], n["end"][:16], n["logical"][:16], n["run_id"][11:27])
            for n in seen(session, dag=dag_id)
        ]

    day = [f"2026-03-0{n} 06:00" for n in range(1, 4)]
    assert told("point") == [(at[:10], at, at, at, at.replace(" ", "T")) for at in day]
    # The first interval that begins on or after the start date is over on the 2nd.
    assert told("interval") == [
        (day[0][:10], day[0], day[1], day[0], "2026-03-02T06:00"),
        (day[1][:10], day[1], day[2], day[1], "2026-03-03T06:00"),
    ]
    assert told("delta") == [
        (at[:10], at, at, at, at.replace(" ", "T")) for at in (f"2026-03-0{n} 00:00" for n in range(1, 4))
    ]


@pytest.mark.parametrize(
    ("begins", "until", "nightly", "mornings", "lengths"),
    [
        # Spring: 02:30 does not exist on the 29th, and the day has 23 hours.
        (
            "2026-03-27T12:00",
            "2026-03-30T12:00",
            ["03-28 02:30+0100", "03-29 03:30+0200", "03-30 02:30+0200"],
            ["03-28 06:00+0100", "03-29 06:00+0200", "03-30 06:00+0200"],
            [23, 24],
        ),
        # Autumn: 02:30 is there twice on the 25th, and the second one counts, and the day has 25 hours.
        (
            "2026-10-23T12:00",
            "2026-10-26T12:00",
            ["10-24 02:30+0200", "10-25 02:30+0100", "10-26 02:30+0100"],
            ["10-24 06:00+0200", "10-25 06:00+0100", "10-26 06:00+0100"],
            [25, 24],
        ),
    ],
)
def test_berlin_changes_its_clocks(
    live: Live, begins: str, until: str, nightly: list[str], mornings: list[str], lengths: list[int]
) -> None:
    begin(begins)
    zone = 'timezone="Europe/Berlin"'
    start = f'datetime.fromisoformat("{begins}")'
    live(
        chain("nightly", f'CronTriggerTimetable("30 2 * * *", {zone})', start),
        chain("morning", f'CronTriggerTimetable("0 6 * * *", {zone})', start),
        chain("whole_day", f'CronDataIntervalTimetable("0 6 * * *", {zone})', start),
        imports="from airflow.sdk import CronDataIntervalTimetable, CronTriggerTimetable\n",
    )
    for dag_id in ("nightly", "morning", "whole_day"):
        unpause(dag_id)
    turn = clock.until(until)
    assert [local(run.run_after) for run in turn.of("morning")] == mornings
    assert [local(run.run_after) for run in turn.of("nightly")] == nightly
    assert {run.state for run in turn.runs} == {"success"}
    intervals = metadata(
        "select extract(epoch from data_interval_end - data_interval_start) / 3600 from dag_run "
        "where dag_id = 'whole_day' order by run_after"
    )
    assert [round(float(row[0])) for row in intervals.rows] == lengths


# --- waiting ---------------------------------------------------------------------------------------


def test_a_retry_comes_after_five_minutes_and_not_after_four(live: Live) -> None:
    live(WAITING["retried"])
    run = trigger("retried", unpause=True)
    wait_for("the first failure", lambda: states(run)["flaky"] == "up_for_retry")
    clock.advance(minutes=4)
    assert (states(run)["flaky"], run.tries()["flaky"]) == ("up_for_retry", 1)
    clock.advance(minutes=2)
    assert (states(run)["flaky"], run.tries()["flaky"]) == ("up_for_retry", 2)
    turn = clock.advance(minutes=6)
    assert (states(run)["flaky"], run.tries()["flaky"]) == ("success", 3)
    assert [run.state for run in turn.of("retried")] == ["success"]


def test_sensors_wait_in_virtual_time_and_time_out_in_it(live: Live) -> None:
    live(WAITING["sensed"])
    run = trigger("sensed", unpause=True)
    clock.advance(minutes=25)
    assert {name: states(run)[name] for name in ("spaced", "poked", "spaced_never", "poked_never")} == {
        "spaced": "up_for_reschedule",
        "spaced_never": "up_for_reschedule",
        "poked": "running",
        "poked_never": "running",
    }
    clock.advance(minutes=20)
    assert (states(run)["spaced"], states(run)["poked"]) == ("success", "success")
    clock.advance(minutes=5)
    assert (states(run)["spaced_never"], states(run)["poked_never"]) == ("up_for_reschedule", "running")
    clock.advance(minutes=30)
    assert (states(run)["spaced_never"], states(run)["poked_never"]) == ("failed", "failed")


def test_a_deferred_task_comes_back_when_it_is_due(live: Live) -> None:
    live(WAITING["deferred"])
    run = trigger("deferred", unpause=True)
    clock.advance(hours=1, minutes=55)
    assert set(states(run).values()) == {"deferred"}
    clock.advance(minutes=10)
    assert states(run) == {"two_hours": "success", "thirty_hours": "deferred"}
    clock.advance(hours=29)
    assert run.state == "success"


def test_a_trigger_looks_when_its_hour_is_over_and_not_later(live: Live, session: Session) -> None:
    live(
        """
        with DAG("looks", schedule=None):
            FileSensor(task_id="file", filepath=SEEN + ".late", poke_interval=3600, deferrable=True)
        """,
        imports="from airflow.providers.standard.sensors.filesystem import FileSensor\n"
        "import os\nos.environ['AIRFLOW_CONN_FS_DEFAULT'] = 'fs://'\n",
    )
    assert session.sandbox
    run = trigger("looks", unpause=True)
    clock.advance(hours=1, minutes=30)
    (session.sandbox.state.data / "seen.jsonl.late").write_text("here")
    clock.advance(minutes=15)
    assert states(run) == {"file": "deferred"}
    clock.advance(minutes=30)
    assert states(run) == {"file": "success"}


def test_one_look_asks_a_sleeper_once(tmp_path: Path) -> None:
    """Else one that falls asleep while the look goes on is neither at work nor about to wake."""
    Hands.begin(tmp_path / "hands", START)
    (tmp_path / "sleepers").mkdir()
    watcher = Watcher(tmp_path)
    waits = types.SimpleNamespace(id=7, kwargs={}, classpath="FileTrigger")
    assert watcher._wakes(waits) is None
    wakes = START + timedelta(hours=1)
    (tmp_path / "sleepers" / "trigger-7").write_text(str(nanoseconds(wakes)))
    assert watcher._wakes(waits) is None
    assert watcher._begins(7)
    watcher._begin_look()
    assert watcher._wakes(waits) == wakes


def test_limits_of_tasks_and_runs_count_virtual_time(live: Live) -> None:
    live(WAITING["limited"])
    task_run, whole_run = trigger("limited", unpause=True), trigger("limited_run", unpause=True)
    clock.advance(minutes=8)
    assert (task_run.state, whole_run.state) == ("running", "running")
    clock.advance(minutes=4)
    assert task_run.state == "failed"
    assert "Timeout" in repr(task_run.log("slow"))
    clock.advance(hours=1, minutes=40)
    assert whole_run.state == "running"
    clock.advance(minutes=20)
    assert whole_run.state == "failed"


def test_a_task_that_runs_survives_a_day(live: Live, session: Session) -> None:
    live(WAITING["long"])
    run = trigger("long", unpause=True)
    clock.advance(hours=23)
    assert states(run) == {"sleeps": "running"}
    clock.advance(hours=2)
    assert (run.state, run.tries()["sleeps"]) == ("success", 1)
    assert len(seen(session, dag="long")) == 1


def test_more_tasks_sleep_than_there_are_workers(live: Live) -> None:
    begin("2026-03-08")
    live(
        """
        with DAG("sleepy", schedule="@daily", start_date=datetime(2026, 3, 1), catchup=True):
            @task
            def sleeps():
                time.sleep(20 * 60)
            sleeps()
        """
    )
    unpause("sleepy")
    turn = clock.advance(minutes=30)
    assert sorted(run.state for run in turn.of("sleepy")) == ["running"] * 4 + ["success"] * 4
    clock.advance(minutes=30)
    assert {run.state for run in runs("sleepy")} == {"success"}


def test_a_missed_deadline_is_told_when_it_is_missed(live: Live, session: Session) -> None:
    live(
        """
        def missed(**_):
            note(dag="late", what="missed")
        with DAG("late", schedule=None, deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1), callback=SyncCallback(missed),
        )):
            TimeDeltaSensor(task_id="three_hours", delta=timedelta(hours=3), deferrable=True)
        """,
        imports="from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback\n"
        "from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor\n",
    )
    run = trigger("late", unpause=True)
    clock.advance(minutes=58)
    assert seen(session, dag="late") == []
    clock.advance(minutes=4)
    assert [note["what"] for note in seen(session, dag="late")] == ["missed"]
    assert run.state == "running"
    clock.advance(hours=2, minutes=30)
    assert run.state == "success"


# --- what else starts runs -------------------------------------------------------------------------


def test_an_update_of_an_asset_starts_its_consumer_within_the_turn(live: Live, session: Session) -> None:
    begin("2026-03-01")
    live(
        """
        ORDERS = Asset("orders_of_the_clock")
        with DAG("producer", schedule="0 6 * * *", start_date=datetime(2026, 3, 1)):
            @task(outlets=[ORDERS])
            def produce(): ...
            produce()
        with DAG("consumer", schedule=[ORDERS]):
            @task
            def consume(dag_run=None):
                note(dag="consumer", at=str(dag_run.run_after)[:13], logical=dag_run.logical_date)
            consume()
        """
    )
    unpause("producer")
    unpause("consumer")
    turn = clock.advance(days=3)
    assert [run.state for run in turn.runs] == ["success"] * 6
    assert [note["at"][-2:] for note in seen(session, dag="consumer")] == ["06"] * 3
    assert {note["logical"] for note in seen(session, dag="consumer")} == {None}


def test_after_five_days_of_pause_only_catchup_makes_up_for_them(live: Live) -> None:
    begin("2026-03-01")
    live(chain("makes_up", '"0 6 * * *"', catchup=True, most=1), chain("skips", '"0 6 * * *"', catchup=False))
    both = ("makes_up", "skips")
    for dag_id in both:
        unpause(dag_id)
    assert len(clock.until("2026-03-03").runs) == 4
    for dag_id in both:
        pause(dag_id)
    assert clock.advance(days=5).runs == []
    for dag_id in both:
        unpause(dag_id)
    turn = clock.advance(hours=7)
    assert [f"{run.run_after:%d}" for run in turn.of("makes_up")] == ["03", "04", "05", "06", "07", "08"]
    # One for the last tick that was missed, as Airflow does, and today's.
    assert [f"{run.run_after:%d}" for run in turn.of("skips")] == ["07", "08"]
    assert {run.state for run in turn.runs} == {"success"}


def test_a_dag_first_unpaused_after_a_week_does_not_begin_in_the_past(live: Live) -> None:
    begin("2026-03-01")
    live(chain("sleeper", '"0 6 * * *"'))
    assert clock.advance(days=7).runs == []
    unpause("sleeper")
    turn = clock.advance(days=1)
    assert [f"{run.run_after:%d}" for run in turn.of("sleeper")] == ["07", "08"]


def test_a_backfill_runs_in_the_past_of_the_clock(live: Live, session: Session) -> None:
    begin("2026-03-20")
    live(chain("filled", '"0 6 * * *"'))
    found = backfill("filled", "2026-03-05", "2026-03-08", unpause=True)
    found.watch()
    assert list(found.states().values()) == ["success"] * 4
    notes = [note for note in seen(session, dag="filled") if note["run_id"].startswith("backfill")]
    assert sorted(note["ds"] for note in notes) == [f"2026-03-0{day}" for day in range(5, 9)]
    assert all(note["now"].startswith("2026-03-20") for note in notes)


# --- the clock itself ------------------------------------------------------------------------------


def test_to_next_turns_to_the_next_run_and_no_further(live: Live) -> None:
    begin("2026-03-01")
    live(chain("weekly", '"0 6 * * 1"'), chain("often", '"0 */6 * * *"'))
    unpause("weekly")
    turn = clock.to_next("weekly")
    assert shape(turn) == [("weekly", "03-02 06:00", "success")]
    assert f"{clock.now():%m-%d %H:%M}" == "03-02 06:00"
    with pytest.raises(WindtunnelError, match="paused"):
        clock.to_next("often")
    with pytest.raises(WindtunnelError, match="no DAG 'oftn'"):
        clock.to_next("oftn")
    unpause("often")  # whose run of 06:00 is due: the turn sees it through, whoever was quicker to make it
    turn = clock.to_next("often")
    assert turn.start <= turn.end <= datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert shape(turn)[0] == ("often", "03-02 06:00", "success")


def test_time_does_not_go_back_and_says_how_to_begin_again(session: Session) -> None:
    before = clock.now()
    with pytest.raises(WindtunnelError, match="already, and time does not go back") as caught:
        clock.set(before - timedelta(days=1))
    day = f"{before - timedelta(days=1):%Y-%m-%d}"
    assert f'clock.reset("{day}")' in caught.value.next_step
    assert f"windtunnel reset --clock {day}" in caught.value.next_step
    assert clock.now() >= before
    with pytest.raises(WindtunnelError, match="by how much"):
        clock.advance()
    with pytest.raises(WindtunnelError, match="at most"):
        clock.set("2099-01-01")


def test_airflow_its_database_and_its_tasks_agree_on_the_time(live: Live, session: Session) -> None:
    live(
        """
        with DAG("asks", schedule=None):
            @task
            def now():
                from airflow.providers.postgres.hooks.postgres import PostgresHook
                note(dag="asks", warehouse=str(PostgresHook("warehouse").get_first("select now()")[0]))
            now()
        """
    )
    run = trigger("asks", unpause=True)
    run.watch()
    shown = clock.now()
    (note,) = seen(session, dag="asks")
    moments = [
        datetime.fromisoformat(note["now"]),
        datetime.fromisoformat(note["warehouse"]),
        datetime.fromisoformat(metadata("select now()").rows[0][0]),
        warehouse("select now()").iloc[0, 0],
        session.airflow.run("asks", run.run_id).end_date,
        session.airflow.dag("asks").last_parsed_time,
    ]
    assert all(abs(moment - shown) < timedelta(minutes=5) for moment in moments), moments
    # A session that looks only in Postgres' own catalogue sees real time: the clock is on the search path.
    real = metadata("select pg_catalog.now()").rows[0][0]
    assert abs(datetime.fromisoformat(real) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_minute_of_the_outside_world_is_one_of_the_clock(session: Session) -> None:
    world.orders.down(for_="10min")
    day = {"start": "2026-03-01", "end": "2026-03-02"}
    clock.advance(minutes=8)
    with pytest.raises(WindtunnelError, match="answered 503"):
        world.orders.get(**day)
    clock.advance(minutes=3)
    assert world.orders.get(**day)["orders"]


def test_one_turns_at_a_time(live: Live, sandbox: Sandbox) -> None:
    from windtunnel.clockwork.turning import Controller

    with (
        Controller(sandbox.state, "scratch"),
        pytest.raises(WindtunnelError, match="being turned already"),
    ):
        clock.advance(days=1)
    clock.advance(minutes=1)


def test_ctrl_c_stops_the_turn_where_it_is_and_it_goes_on_later(live: Live) -> None:
    begin("2026-03-01")
    live(chain("daily", '"0 6 * * *"'))
    unpause("daily")
    threading.Timer(6, _thread.interrupt_main).start()
    with pytest.raises(WindtunnelError, match="Stopped turning"):
        clock.advance(days=300)
    stopped = clock.now()
    assert datetime(2026, 3, 1, tzinfo=UTC) < stopped < datetime(2026, 12, 1, tzinfo=UTC)
    pause("daily")


@pytest.mark.parametrize("component", ["scheduler", "clock", "triggerer"])
def test_a_component_that_is_killed_comes_back_and_the_turn_can_go_on(
    live: Live, sandbox: Sandbox, component: str
) -> None:
    begin("2026-03-01")
    live(chain("daily", '"0 6 * * *"'))
    unpause("daily")
    clock.advance(days=1)
    os.kill(sandbox.state.status()["components"][component]["pid"], signal.SIGKILL)
    wait_for("it to be noticed", lambda: sandbox.state.status()["components"][component]["restarts"])
    turn = clock.advance(days=2)
    assert [run.state for run in turn.of("daily")] == ["success", "success"]


def test_a_full_month_is_shown_as_squares_with_dates(live: Live) -> None:
    begin("2026-03-01")
    live(chain("daily", '"0 6 * * *"'))
    unpause("daily")
    turn = clock.advance(days=2)
    assert re.findall(r"<title>(.*?)</title>", turn._repr_html_()) == [
        "2026-03-01 06:00: success",
        "2026-03-02 06:00: success",
    ]


# --- with and without ------------------------------------------------------------------------------


def test_hands_show_the_same_to_everybody_and_only_go_forward(tmp_path: Any) -> None:
    Hands.begin(tmp_path / "hands", START)
    mine, theirs = Hands(tmp_path / "hands", writable=True), Hands(tmp_path / "hands")
    assert abs(theirs.now() - START) < timedelta(seconds=5)
    mine.turn(START + timedelta(days=2))
    assert abs(theirs.now() - START - timedelta(days=2)) < timedelta(seconds=5)
    mine.turn(START)
    assert theirs.now() > START + timedelta(days=1)
    time.sleep(0.05)
    assert theirs.now() < mine.now()


TRACES = """
import os, sys, time
from airflow.sdk import DAG, task
with DAG("traces", schedule=None):
    @task
    def look():
        from pathlib import Path
        modules = [name for name in sys.modules if "time_machine" in name or name.startswith("windtunnel.clockwork")]
        mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "hands" in line]
        return [modules, mapped, time.time(), [name for name in os.environ if "CLOCK" in name]]
    look()
"""


def test_without_a_clock_there_is_no_trace_of_it_and_real_runs_are_kept(monkeypatch: Any) -> None:
    with temporary() as real:
        monkeypatch.setenv("WINDTUNNEL_CLOCK", "off")
        session = connect()
        with pytest.raises(WindtunnelError, match="real time"):
            clock.advance(days=1)
        with pytest.raises(WindtunnelError, match="switched off"):
            clock.reset("2026-03-01")
        monkeypatch.delenv("WINDTUNNEL_CLOCK")
        dagcell.save(session, dagcell.Cell(TRACES), "traces")
        run = trigger("traces", unpause=True)
        run.watch()
        modules, mapped, now, names = run.xcom("look")
        assert (modules, mapped, names) == ([], [], [])
        assert abs(now - time.time()) < 300
        settings = {key: value for key, value in real.environ().items() if "JWT_EXPIRATION" in key}
        assert settings == {}
        assert not real.state.dated.exists()
        postgres = Postgres(real.state, real.state.ports().postgres)
        assert postgres.databases() & {"airflow_dated", "warehouse_dated"} == set()
        assert metadata("select count(*) from pg_namespace where nspname = 'vclock'").rows == [["0"]]
        # A dated chapter, and back: what was there before is there again, and the clock's things are gone.
        clock.reset("2026-03-01")
        with pytest.raises(WindtunnelError, match="There is no"):
            runs("no_such_dag")
        assert runs("traces") == []
        real.begin(None)
        with pytest.raises(WindtunnelError, match="went back to real time"):
            runs("traces")
        connect()
        assert [run.state for run in runs("traces")] == ["success"]
        assert not real.state.dated.exists()
        assert postgres.databases() & {"airflow_dated", "warehouse_dated"} == set()


@pytest.mark.parametrize(
    ("when", "problem"),
    [("1999-12-31", "cannot begin"), ("2050-01-01", "cannot begin")],
)
def test_a_sandbox_begins_in_a_century_that_browsers_believe_in(when: str, problem: str) -> None:
    from windtunnel import dated
    from windtunnel.moments import moment

    with pytest.raises(WindtunnelError, match=problem):
        dated.check(moment(when))


def test_another_version_of_airflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from windtunnel import dated

    monkeypatch.setattr("windtunnel.clockwork.shims.VERSION", "3.3.1")
    with pytest.raises(WindtunnelError, match=r"made for Airflow 3\.3\.1"):
        dated.check(START)
