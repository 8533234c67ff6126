"""The changes to Airflow's private API: on its exact version, and only when wanted."""

import asyncio
import json
import subprocess
import sys
import threading
import time

import pytest
from airflow.sdk.api.datamodels._generated import API_VERSION

from sandboxes import environment
from windtunnel import patches

PRINT = """
import json
from windtunnel import patches
applied = patches.apply(patches.VERSION)
from airflow.api_fastapi.execution_api.versions import bundle
from airflow.sdk.execution_time.supervisor import WatchedSubprocess
wrapped = hasattr(WatchedSubprocess._service_subprocess, "__wrapped__")
print(json.dumps([applied, wrapped, [version.value for version in bundle.versions]]))
"""


@pytest.mark.parametrize("version", ["3.3.1", "3.3.3", "3.4.0", ""])
def test_another_version_of_airflow_is_left_alone(version):
    assert not patches.apply(version)


@pytest.mark.parametrize(("wanted", "applied"), [("", True), ("off", False)])
def test_they_are_applied_unless_switched_off_and_tasks_keep_their_api_version(tmp_path, wanted, applied):
    values = environment(tmp_path, AIRFLOW_HOME=str(tmp_path), WINDTUNNEL_PATCHES=wanted)
    done = subprocess.run([sys.executable, "-c", PRINT], env=values, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    was_applied, wrapped, versions = json.loads(done.stdout.splitlines()[-1])
    assert (was_applied, wrapped, len(versions) == 1) == (applied, applied, applied)
    assert versions[0] == API_VERSION


SHARED = """
import gc, json
from windtunnel import patches
patches.apply(patches.VERSION)
from airflow.executors.local_executor import LocalExecutor
class Executor:
    spawned = 0
    def _spawn_worker(self):
        self.spawned += 1
gc.freeze()
before, executor = gc.get_freeze_count(), Executor()
LocalExecutor._spawn_workers_with_gc_freeze(executor, 3)
print(json.dumps([executor.spawned, before > 0, gc.get_freeze_count() >= before]))
"""


def test_what_was_shared_before_workers_are_forked_stays_shared(tmp_path):
    values = environment(tmp_path, AIRFLOW_HOME=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", SHARED], env=values, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [3, True, True]


# --- the bell that wakes the scheduler -------------------------------------------------------------


async def answers(_scope, _receive, _send):
    pass


def asked(bell, method, path, kind="http"):
    """Whether the bell rings when the API server is asked that. It is silent again afterwards."""
    rings = []
    bell.ring = lambda: rings.append(path)
    scope = {"type": kind, "method": method, "path": path}
    asyncio.run(bell.on_requests(answers)(scope, None, None))
    return bool(rings)


@pytest.mark.parametrize(
    ("method", "path", "rings"),
    [
        ("POST", "/api/v2/dags/orders/dagRuns", True),
        ("PATCH", "/api/v2/dags/orders", True),
        ("PATCH", "/execution/task-instances/0/state", True),
        ("PUT", "/execution/task-instances/0/heartbeat", False),
        ("GET", "/api/v2/dags", False),
        ("HEAD", "/api/v2/dags", False),
    ],
)
def test_what_may_give_the_scheduler_work_wakes_it(method, path, rings):
    assert asked(patches.Bell(), method, path) == rings


def test_other_than_requests_do_not_wake_it():
    assert not asked(patches.Bell(), "", "", kind="lifespan")


def test_a_sleep_ends_when_the_bell_rings_and_only_one_does():
    bell = patches.Bell()
    threading.Timer(0.1, bell.ring).start()
    before = time.monotonic()
    bell.sleep(60)
    assert time.monotonic() - before < 50
    again = time.monotonic()
    bell.sleep(0.2)
    assert time.monotonic() - again >= 0.2


def test_after_a_lot_of_work_it_rests_whoever_rings():
    bell = patches.Bell()
    began = time.thread_time()
    while time.thread_time() - began < patches.SPRINT + 0.05:
        pass
    bell.ring()
    before = time.monotonic()
    bell.sleep(60)
    assert time.monotonic() - before < 50
    assert time.monotonic() - before > 0.01  # less than 0.05: on a busy machine some of the work was waiting


def test_a_bell_that_nobody_hears_can_be_rung_for_ever():
    bell = patches.Bell()
    for _ in range(100_000):
        bell.ring()
    before = time.monotonic()
    bell.sleep(60)
    assert time.monotonic() - before < 50


def test_it_is_the_module_time_in_all_else():
    assert patches.Bell().monotonic is time.monotonic
