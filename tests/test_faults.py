"""What a sandbox survives: the death of any of its processes, and of the one that looks after them."""

import subprocess
import sys

import psutil
import psycopg2
import pytest

from sandboxes import (
    STEPS,
    alive,
    belonging,
    environment,
    night,
    run_to_end,
    steps,
    wait_for,
    warehouse,
    windtunnel,
)
from windtunnel.sandbox import Sandbox

# --- one component is killed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "victim",
    ["api-server", "scheduler", "dag-processor", "triggerer", "postgres", "valkey", "world"],
)
def test_a_killed_component_comes_back_and_the_run_in_progress_succeeds(sandbox, victim):
    night(sandbox)
    run = sandbox.airflow().trigger("night", None, None)
    wait_for("the long task", lambda: "long begins" in steps(sandbox, run))
    before = sandbox.status().components[victim]
    psutil.Process(before["pid"]).kill()

    def back():
        now = sandbox.state.status()["components"][victim]
        return now["restarts"] > before["restarts"] and now["pid"] not in (0, before["pid"])

    wait_for(f"{victim} to come back", back)
    assert run_to_end(sandbox, "night", run) == "success"
    assert steps(sandbox, run) == STEPS
    wait_for("all to be healthy", sandbox.is_up)


def test_no_row_that_postgres_confirmed_is_lost_when_it_is_killed(sandbox):
    confirmed = 0
    with warehouse(sandbox) as connection, connection.cursor() as cursor:
        cursor.execute("create table counted (n int)")
        postmaster = psutil.Process(sandbox.status().components["postgres"]["pid"])
        with pytest.raises(psycopg2.OperationalError):
            while True:
                cursor.execute("insert into counted values (%s)", (confirmed + 1,))
                confirmed += 1
                if confirmed == 500:
                    postmaster.kill()

    wait_for("Postgres", sandbox.is_up)
    with warehouse(sandbox) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), max(n) from counted where n <= %s", (confirmed,))
        assert cursor.fetchone() == (confirmed, confirmed)


def test_a_killed_scheduler_leaves_no_worker_behind_once_their_tasks_are_done(sandbox):
    night(sandbox, seconds=2)
    run = sandbox.airflow().trigger("night", None, None)
    wait_for("the long task", lambda: "long begins" in steps(sandbox, run))
    scheduler = psutil.Process(sandbox.status().components["scheduler"]["pid"])
    workers = set(scheduler.children())
    assert len(workers) == 4
    scheduler.kill()
    wait_for("the workers to end", lambda: not alive(workers))
    assert run_to_end(sandbox, "night", run) == "success"


# --- the launcher is killed ------------------------------------------------------------------------


@pytest.fixture
def bystanders(sandbox, own):
    """Processes that must outlive whatever happens to the sandbox in `own`."""
    values = environment(own)
    innocent = subprocess.Popen(["sleep", "600"], cwd=own / "state", env=values)
    others = belonging(sandbox)
    yield {psutil.Process(innocent.pid), *(p for p in others if "LocalExecutor" not in p.name())}
    innocent.kill()
    innocent.wait()


def test_after_a_killed_launcher_the_next_up_removes_exactly_what_was_left(up, own, bystanders):
    left = belonging(up)
    launcher = psutil.Process(up.status().launcher)
    launcher.kill()
    wait_for("the launcher's end", lambda: not up.state.is_running())
    left = alive(left)
    assert len(left) >= 10, "nothing was left to remove"
    assert windtunnel(own, "status").returncode == 1
    assert windtunnel(own, "up").returncode == 0
    assert alive(left) == set()
    assert alive(bystanders) == bystanders
    assert up.is_up()


def test_after_a_killed_launcher_down_alone_removes_what_was_left(up, own, bystanders):
    left = belonging(up)
    psutil.Process(up.status().launcher).kill()
    wait_for("the launcher's end", lambda: not up.state.is_running())
    done = windtunnel(own, "down")
    assert done.stdout.startswith("The sandbox is down")
    assert alive(left) == set()
    assert alive(bystanders) == bystanders


def test_the_sandbox_goes_down_with_the_process_it_follows(own):
    script = "import os, sys, time; from windtunnel.sandbox import Sandbox\n"
    script += "Sandbox().up(follow=os.getpid()); print('up', flush=True); sys.stdin.read()"
    followed = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(own),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert followed.stdout.readline() == "up\n"
    started = Sandbox(own / "state")
    left = belonging(started)
    followed.kill()
    followed.communicate()
    wait_for("its end", lambda: not started.state.is_running() and not alive(left))
