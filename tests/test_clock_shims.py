"""Each shim of the clock by itself: what it is for works with it, and does not work without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxes import environment
from windtunnel.clockwork.hands import Hands
from windtunnel.moments import moment

# Run in a process of its own, with all shims but those named. Each experiment prints what it saw.
PROCESS = '''
import asyncio, json, os, signal, sys, threading, time
from datetime import datetime, timedelta, timezone
from pathlib import Path
folder, left_out, experiment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
import airflow.sdk
from windtunnel.clockwork.hands import Hands, LOOPS
from windtunnel.clockwork.shims import Shims
shims = Shims(folder)
for name in ("time_of_day", "sleep", "sensor_timeout", "execution_timeout", "dates_of_dag_files",
             "count_scheduler_loops", "know_the_trigger"):
    if name != left_out:
        getattr(shims, name)()
hands = Hands(folder / "hands", writable=True)
patience = 4.0  # real seconds

def later(**by):
    """Turn the clock forward in a moment, from elsewhere."""
    def turn():
        time.sleep(0.3)
        hands.turn(hands.now() + timedelta(**by))
    threading.Thread(target=turn, daemon=True).start()

class TooLong(BaseException): ...
def give_up(*_):
    raise TooLong
def within_patience(work):
    began = time.monotonic()
    if experiment != "execution_timeout":
        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, patience)
    try:
        return work()
    except TooLong:
        return "too long"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

def time_of_day():
    hands.turn(hands.now() + timedelta(days=2))
    import pendulum
    others = [time.strftime("%F", time.gmtime()), pendulum.now("UTC").date().isoformat()]
    return [f"{datetime.now(timezone.utc):%F}", *others]

def sleep():
    later(hours=1)
    time.sleep(1800)
    later(hours=1)
    asyncio.run(asyncio.sleep(1800))
    return "slept"

def on_record():
    threading.Thread(target=time.sleep, args=(1800,), daemon=True).start()
    time.sleep(0.3)
    wakes = int((folder / "sleepers" / str(os.getpid())).read_text())
    return 1790 < wakes / 1e9 - hands.now().timestamp() <= 1800

def sensor_timeout():
    from airflow.sdk import BaseSensorOperator
    class Never(BaseSensorOperator):
        def poke(self, context):
            return False
    later(hours=2)
    try:
        Never(task_id="never", poke_interval=600, timeout=3600, mode="poke").execute({})
    except Exception as error:
        return type(error).__name__

def execution_timeout():
    from airflow.sdk.execution_time.timeout import timeout
    later(minutes=15)
    until = time.monotonic() + patience
    try:
        with timeout(600):
            while time.monotonic() < until:
                pass
        return "too long"
    except BaseException as error:
        return type(error).__name__

def dates_of_dag_files():
    from airflow.dag_processing import manager
    (folder / "dag.py").write_text("1")
    first = manager.os.path.getmtime(folder / "dag.py")
    hands.turn(hands.now() + timedelta(days=1))
    again = manager.os.path.getmtime(folder / "dag.py")
    os.utime(folder / "dag.py", ns=(1, 1))
    return [abs(first - time.time() + 86400) < 60, again == first, manager.os.path.getmtime(folder / "dag.py") > again]

def count_scheduler_loops():
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    try:
        SchedulerJobRunner._do_scheduling(object(), object())
    except Exception:
        pass
    return hands.get(LOOPS)

def know_the_trigger():
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    import types
    seen = folder / "sleepers" / "trigger-7"
    noted = []
    def note():
        noted.append(seen.read_text().split()[0] if seen.exists() else None)
    class Waits:
        task_instance = None
        async def run(self):
            note()
            await asyncio.sleep(600)
            yield
    async def look():
        log = types.SimpleNamespace(info=print)
        runner = types.SimpleNamespace(log=log, triggers={7: {"name": "waits", "events": 0}})
        task = asyncio.create_task(TriggerRunner.run_trigger(runner, 7, Waits()))
        await asyncio.sleep(0.5)
        note()
        task.cancel()
    os.environ["AIRFLOW_DISABLE_GREENBACK_PORTAL"] = "true"
    try:
        asyncio.run(look())
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    return noted[0] == "began" and noted[1].isdigit()

print(json.dumps(within_patience(globals()[experiment])))
'''

EXPERIMENTS = [
    ("time_of_day", "time_of_day", ["2026-03-03"] * 3),
    ("sleep", "sleep", "slept"),
    ("sleep", "on_record", True),
    ("sensor_timeout", "sensor_timeout", "AirflowSensorTimeout"),
    ("execution_timeout", "execution_timeout", "AirflowTaskTimeout"),
    ("dates_of_dag_files", "dates_of_dag_files", [True, True, True]),
    ("count_scheduler_loops", "count_scheduler_loops", 1),
    ("know_the_trigger", "know_the_trigger", True),
]


def run(folder: Path, left_out: str, experiment: str) -> object:
    (folder / "sleepers").mkdir()
    Hands.begin(folder / "hands", moment("2026-03-01"))
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(folder), left_out, experiment],
        env=environment(folder, AIRFLOW_HOME=str(folder), AIRFLOW__CORE__UNIT_TEST_MODE="False"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        return done.stderr.splitlines()[-1:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("shim", "experiment", "expected"), EXPERIMENTS)
def test_the_shim_does_what_it_is_for_and_nothing_else_does(
    tmp_path: Path, shim: str, experiment: str, expected: object
) -> None:
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
    assert run(tmp_path / "with", "", experiment) == expected
    assert run(tmp_path / "without", shim, experiment) != expected


def test_every_shim_is_tried() -> None:
    from windtunnel.clockwork.shims import Shims

    public = {
        name
        for name, value in vars(Shims).items()
        if callable(value) and not name.startswith(("_", "install"))
    }
    assert public == {shim for shim, _, _ in EXPERIMENTS}
