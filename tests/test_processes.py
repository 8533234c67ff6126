"""Which process is which, whatever happens to clocks and process ids."""

import os
import subprocess
import sys

import psutil

from windtunnel import processes
from windtunnel.sandbox import Sandbox, temporary


def test_a_corrected_clock_does_not_make_a_live_process_look_like_another(monkeypatch):
    before = processes.started(os.getpid())
    system = psutil._psplatform
    right = system.boot_time
    monkeypatch.setattr(system, "boot_time", lambda: right() + 3600)
    assert processes.is_alive(os.getpid(), before)


def test_a_process_that_ended_or_was_never_there_is_not_alive():
    child = subprocess.Popen(["sleep", "600"])
    created = processes.started(child.pid)
    assert processes.is_alive(child.pid, created)
    assert not processes.is_alive(child.pid, created - 10), "another process with its id"
    child.kill()
    child.wait()
    assert not processes.is_alive(child.pid, created)
    assert processes.started(child.pid) == 0


def test_a_sweep_ends_what_is_marked_or_recorded_and_nothing_else():
    marked = subprocess.Popen(["sleep", "600"], env={processes.MARK: "this-one", "PATH": os.environ["PATH"]})
    other = subprocess.Popen(["sleep", "600"], env={processes.MARK: "other", "PATH": os.environ["PATH"]})
    recorded = subprocess.Popen(["sleep", "600"])
    reused = subprocess.Popen(["sleep", "600"])
    components = {
        "recorded": {"pid": recorded.pid, "created": processes.started(recorded.pid)},
        "id used again": {"pid": reused.pid, "created": processes.started(reused.pid) - 100},
        "not running": {"pid": 0, "created": 0.0},
    }
    try:
        ended = processes.sweep("this-one", {"components": components})
        assert set(ended) == {marked.pid, recorded.pid}
        assert other.poll() is None
        assert reused.poll() is None
    finally:
        for child in (marked, other, recorded, reused):
            child.kill()
            child.wait()


def test_what_was_started_for_a_folder_is_found_by_a_path_below_it(tmp_path):
    ours = subprocess.Popen(
        [sys.executable, "-c", "input()", str(tmp_path / "a" / "x")], stdin=subprocess.PIPE
    )
    beside = subprocess.Popen(
        [sys.executable, "-c", "input()", f"{tmp_path / 'a'}-b/x"], stdin=subprocess.PIPE
    )
    try:
        assert [process.pid for process in processes.started_for(tmp_path / "a")] == [ours.pid]
        assert processes.end(processes.started_for(tmp_path / "a"), grace=5) == [ours.pid]
        assert beside.poll() is None
    finally:
        for child in (ours, beside):
            child.kill()
            child.communicate()


def test_a_temporary_sandbox_takes_along_what_was_started_for_it(monkeypatch):
    # A check made in it leaves a warm process, whose command names the sandbox's folder.
    monkeypatch.setattr(Sandbox, "up", lambda *_, **__: True)
    monkeypatch.setattr(Sandbox, "down", lambda *_, **__: True)
    with temporary() as sandbox:
        arguments = [sys.executable, "-c", "input()", str(sandbox.state.path / "cache")]
        left = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    try:
        assert not psutil.pid_exists(left.pid)
    finally:
        left.kill()
        left.communicate()
