"""A sandbox that is told to stop at a bad moment, or loses a port while it starts."""

import contextlib
import signal
import socket
import subprocess

import pytest

from sandboxes import (
    COMMAND,
    alive,
    belonging,
    environment,
    night,
    open_folder,
    run_state,
    run_to_end,
    steps,
    task_states,
    wait_for,
    windtunnel,
)
from windtunnel import processes
from windtunnel.sandbox import Sandbox


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


@pytest.fixture
def elsewhere():
    """A folder for a sandbox that was never started."""
    with open_folder() as folder:
        yield folder


@pytest.mark.parametrize(
    "moment", ["", "making the database", "loading Airflow", "making Airflow's tables", "starting Airflow's"]
)
def test_ctrl_c_during_up_leaves_nothing_running_and_no_secret_lying_about(elsewhere, moment):
    start = subprocess.Popen([COMMAND, "up"], env=environment(elsewhere), stderr=subprocess.PIPE, text=True)
    state = Sandbox(elsewhere / "state").state
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
        assert windtunnel(elsewhere, "up").returncode == 0
        assert Sandbox(elsewhere / "state").is_up()
        assert windtunnel(elsewhere, "down").returncode == 0


def test_a_port_lost_while_starting_is_exchanged_for_another(own):
    windtunnel(own, "down")
    started = Sandbox(own / "state")
    start = subprocess.Popen([COMMAND, "up"], env=environment(own), stderr=subprocess.PIPE, text=True)
    with socket.socket() as somebody:
        read_until(start, "")  # the first step: ports are chosen, and Airflow is seconds away from using them
        lost = started.state.ports().api
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(
            OSError
        ):  # another test's sandbox may have been quicker: it is lost all the same
            somebody.bind(("127.0.0.1", lost))
            somebody.listen()
        said = start.communicate(timeout=180)[1]
        assert start.returncode == 0, said
        assert started.state.ports().api != lost
        assert started.is_up()
