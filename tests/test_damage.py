"""A sandbox whose files are damaged, old, or have no room."""

import contextlib
import json
import shutil
import subprocess

import psutil
import pytest

from sandboxes import alive, belonging, open_folder, refusal, wait_for, windtunnel
from windtunnel.sandbox import Sandbox


def test_a_damaged_cluster_is_one_message_and_reset_hard_repairs_it(up, own):
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


def test_credentials_that_do_not_fit_the_cluster_are_one_message(own):
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


@pytest.fixture
def small_disk():
    """A folder whose state folder is a disk of 600 MB."""
    with open_folder() as folder:
        state = folder / "state"
        state.mkdir()
        options = ["-o", "size=600m,mode=711", "windtunnel-test", str(state)]
        mounted = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
        yield folder
        windtunnel(folder, "down")
        subprocess.run(["umount", str(state)], check=True)


def test_a_disk_that_fills_up_does_not_keep_the_sandbox_from_going_down(small_disk):
    assert windtunnel(small_disk, "up").returncode == 0
    started = Sandbox(small_disk / "state")
    left = belonging(started)
    with (started.state.path / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 2**20)
    world = {process for process in left if "world.service" in process.cmdline()}
    psutil.Process(started.status().components["world"]["pid"]).kill()  # a reason to write status.json
    wait_for("the end of the world", lambda: not alive(world))
    assert windtunnel(small_disk, "down").returncode == 0
    assert alive(left) == set()
