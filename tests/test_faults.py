"""What a sandbox survives: the death of any of its processes, of the launcher, of its user, of its files."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys

import psutil
import psycopg2
import pytest
from sandboxes import (
    COMMAND,
    alive,
    belonging,
    environment,
    refusal,
    run_state,
    run_to_end,
    save_dag,
    task_states,
    wait_for,
    windtunnel,
)

from windtunnel import processes
from windtunnel.errors import WindtunnelError
from windtunnel.postgres import Postgres
from windtunnel.sandbox import Sandbox

# Each step commits a row of its own; the long one is what the fault falls into.
NIGHT = """
    import time
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk import dag, get_current_context, task

    def note(step):
        run_id = get_current_context()["run_id"]
        PostgresHook("warehouse").run("insert into night values (%s, %s)", parameters=(run_id, step))

    @dag(schedule=None)
    def night():
        @task
        def before():
            note("before")

        @task
        def long(seconds):
            note("long begins")
            time.sleep(seconds)
            note("long ends")

        @task
        def after():
            note("after")

        @task
        def report():
            note("report")

        before() >> long(SECONDS) >> after() >> report()

    night()
"""
STEPS = {"before", "long begins", "long ends", "after", "report"}


def night(sandbox, seconds=4, dags=None):
    """Save the DAG `night`, whose long task takes that many seconds, and make its table."""
    with warehouse(sandbox) as connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists night (run text, step text)")
    save_dag(sandbox, "night", NIGHT.replace("SECONDS", str(seconds)), dags)


@contextlib.contextmanager
def warehouse(sandbox):
    """A connection to the warehouse of ``sandbox`` with autocommit."""
    connection = Postgres(sandbox.state, sandbox.state.ports().postgres).connect("warehouse", "warehouse")
    try:
        yield connection
    finally:
        connection.close()


def steps(sandbox, run):
    """The steps of the run that have been committed."""
    with warehouse(sandbox) as connection, connection.cursor() as cursor:
        cursor.execute("select step from night where run = %s", (run,))
        return {row[0] for row in cursor.fetchall()}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder for a sandbox run by the command; whatever is left of it goes down at the end."""
    folder = tmp_path_factory.mktemp("own")
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o011)  # root's Postgres runs under another account
    yield folder
    with contextlib.suppress(WindtunnelError):
        Sandbox(folder / "state").down()


@pytest.fixture
def up(own):
    """The sandbox in `own`, running."""
    done = windtunnel(own, "up")
    assert done.returncode == 0, done.stderr
    return Sandbox(own / "state")


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


# --- it is taken down at a bad moment --------------------------------------------------------------


def test_down_during_runs_leaves_no_process_and_no_task_that_runs_for_ever(up, own):
    night(up, seconds=600, dags=own / "work/dags")
    airflow = up.airflow()
    runs = [airflow.trigger("night", None, None) for _ in range(6)]  # more than there are workers
    wait_for("the long tasks", lambda: sum("long begins" in steps(up, run) for run in runs) == 4)
    left = belonging(up)
    assert windtunnel(own, "down").returncode == 0
    assert alive(left) == set()
    night_file = own / "work/dags/night.py"
    night_file.write_text(night_file.read_text().replace("long(600)", "long(0)"))
    assert windtunnel(own, "up").returncode == 0

    def ended():
        return all(run_state(up, "night", run) in ("success", "failed") for run in runs)

    wait_for("every run to end", ended)
    active = {"running", "queued", "scheduled", "restarting"}
    assert not [run for run in runs if active & set(task_states(up, "night", run).values())]
    assert run_to_end(up, "night") == "success"


def test_down_during_a_start_stops_it_and_the_start_says_so(own):
    windtunnel(own, "down")
    start = subprocess.Popen([COMMAND, "up"], env=environment(own), stderr=subprocess.PIPE, text=True)
    read_until(start, "loading Airflow")
    assert windtunnel(own, "down").returncode == 0
    rest = start.communicate(timeout=60)[1]
    assert start.returncode == 2
    assert "taken down while it was starting" in rest
    assert processes.marked(Sandbox(own / "state").state.config()["id"]) == []


def read_until(process, phase):
    """Read what a starting command says up to and including the line with ``phase``."""
    for line in process.stderr:
        if phase in line:
            return
    raise AssertionError(f"it ended without saying {phase!r}")


@pytest.mark.parametrize(
    "moment", ["", "making the database", "loading Airflow", "making Airflow's tables", "starting Airflow's"]
)
def test_ctrl_c_during_up_leaves_nothing_running_and_no_secret_lying_about(tmp_path_factory, moment):
    folder = tmp_path_factory.mktemp("interrupted")
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    start = subprocess.Popen([COMMAND, "up"], env=environment(folder), stderr=subprocess.PIPE, text=True)
    state = Sandbox(folder / "state").state
    if moment:
        read_until(start, moment)
    else:
        wait_for("a first file", lambda: state.path.exists())
    start.send_signal(signal.SIGINT)
    said = start.communicate(timeout=120)[1]
    assert start.returncode == 130, said
    assert "Traceback" not in said
    assert not state.is_running()
    if state.is_made():
        assert processes.marked(state.config()["id"]) == []
    assert not (state.path / "postgres.unfinished").exists()
    assert not (state.path / "postgres/postmaster.pid").exists()
    if moment == "making Airflow's tables":  # the most is half done here
        assert windtunnel(folder, "up").returncode == 0
        assert Sandbox(folder / "state").is_up()
        assert windtunnel(folder, "down").returncode == 0


def test_a_port_lost_while_starting_is_exchanged_for_another(own):
    windtunnel(own, "down")
    started = Sandbox(own / "state")
    lost = started.state.ports().api
    start = subprocess.Popen([COMMAND, "up"], env=environment(own), stderr=subprocess.PIPE, text=True)
    with socket.socket() as somebody:
        read_until(start, "loading Airflow")
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", lost))
        somebody.listen()
        said = start.communicate(timeout=180)[1]
        assert start.returncode == 0, said
        assert started.state.ports().api != lost
        assert started.is_up()


# --- its files are damaged -------------------------------------------------------------------------


def test_a_damaged_cluster_is_one_message_and_reset_hard_repairs_it(own):
    windtunnel(own, "down")
    (own / "state/postgres/global/pg_control").unlink()
    said = refusal(windtunnel(own, "up"))
    assert "Postgres did not start" in said
    assert "pg_control" in said
    assert "reset --hard" in said
    assert not Sandbox(own / "state").state.is_running()
    assert windtunnel(own, "reset", "--hard").returncode == 0
    assert windtunnel(own, "up").returncode == 0
    assert Sandbox(own / "state").is_up()


def test_credentials_that_do_not_fit_the_cluster_are_one_message(own, tmp_path):
    windtunnel(own, "down")
    secrets = own / "state/secrets.json"
    kept = secrets.read_text()
    secrets.write_text(json.dumps(json.loads(kept) | {"postgres": "another"}))
    said = refusal(windtunnel(own, "up"))
    assert "authentication failed" in said
    assert "reset --hard" in said
    secrets.write_text(kept)


def test_a_state_folder_of_an_older_version_is_kept_aside_and_a_fresh_one_works(own):
    windtunnel(own, "down")
    config = own / "state/sandbox.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"airflow": "3.1.0"}))
    done = windtunnel(own, "up")
    assert done.returncode == 0, done.stderr
    (aside,) = own.glob("state.3.1.0-*")
    assert "kept as" in done.stderr
    assert (aside / "postgres/PG_VERSION").exists()
    assert Sandbox(own / "state").is_up()
    windtunnel(own, "down")
    shutil.rmtree(aside)


def test_a_disk_that_fills_up_does_not_keep_the_sandbox_from_going_down(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filling")
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    state = folder / "state"
    state.mkdir()
    options = ["-o", "size=600m,mode=711", "windtunnel-test", str(state)]
    mounted = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        assert windtunnel(folder, "up").returncode == 0
        started = Sandbox(state)
        left = belonging(started)
        with (state / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 2**20)
        psutil.Process(started.status().components["world"]["pid"]).kill()  # a reason to write status.json
        world = {p for p in left if "world.service" in p.cmdline()}
        wait_for("the end of the world", lambda: not alive(world))
        assert windtunnel(folder, "down").returncode == 0
        assert alive(left) == set()
        (state / "filler").unlink()
        assert windtunnel(folder, "up").returncode == 0
    finally:
        windtunnel(folder, "down")
        subprocess.run(["umount", str(state)], check=True)
