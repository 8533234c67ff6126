"""The state folder: what is refused, what is kept, what is mended. No Airflow is started here."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandboxes import COMMAND, refusal, wait_for, windtunnel
from windtunnel import locks, state
from windtunnel.engine.template import template
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox
from windtunnel.state import Ports, State


@pytest.fixture
def folder(tmp_path):
    """Where `windtunnel` would keep its state (``folder/state``)."""
    return tmp_path


@pytest.fixture
def made(folder):
    """A folder with the state of a sandbox that was never started."""
    Sandbox(folder / "state").prepare()
    return State(folder / "state")


def mount_small(path: Path, megabytes: int) -> None:
    """A small disk of one's own at ``path``; skips where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    options = ["-o", f"size={megabytes}m,mode=700", "windtunnel-test", str(path)]
    done = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(folder):
    """A function that mounts a disk of that many megabytes where the state folder goes."""
    mounted = []

    def mount(megabytes: int) -> Path:
        mount_small(folder / "state", megabytes)
        mounted.append(folder / "state")
        return folder / "state"

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


# --- what is made ----------------------------------------------------------------------------------


def test_a_new_folder_holds_an_id_different_ports_and_generated_credentials(made):
    config, secrets = made.config(), made.secrets()
    assert len(config["id"]) == 32
    assert len(set(config["ports"].values())) == 6
    assert made.ports() == Ports(**config["ports"])
    assert len(set(secrets.values())) == len(state.SECRETS)
    assert min(map(len, secrets.values())) >= 32


def test_two_folders_share_no_credential(made, tmp_path):
    other = Sandbox(tmp_path / "other")
    other.prepare()
    assert not set(made.secrets().values()) & set(other.state.secrets().values())


def test_files_with_credentials_are_private(made):
    assert (made.path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert not made.path.stat().st_mode & 0o066


def test_preparing_again_keeps_id_credentials_and_free_ports(made):
    before = made.config(), made.secrets()
    Sandbox(made.path).prepare()
    assert (made.config(), made.secrets()) == before


def test_a_sandbox_from_before_a_credential_existed_gets_it_and_keeps_the_others(made):
    before = made.secrets()
    old = {name: secret for name, secret in before.items() if name not in state.YOUNGER_SECRETS}
    (made.path / "secrets.json").write_text(json.dumps(old))
    Sandbox(made.path).prepare()
    after = made.secrets()
    assert {name: after[name] for name in old} == old
    assert all(len(after[name]) >= 32 for name in state.YOUNGER_SECRETS)
    assert (made.path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_exchanged_for_a_free_one(made):
    taken = made.ports().postgres
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        server.listen()
        Sandbox(made.path).prepare()
    assert made.ports().postgres != taken
    assert made.ports().api == made.config()["ports"]["api"]


def test_a_log_that_outgrew_its_limit_keeps_its_end_and_goes_on_in_the_same_file(made):
    log = made.logs / "scheduler.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * state.MAX_LOG_BYTES + b"latest\n")
        writer.flush()
        made.trim_logs()
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    kept = made.logs / "scheduler.log.1"
    assert kept.stat().st_size == state.MAX_LOG_BYTES
    assert kept.read_text().endswith("latest\n")


def test_a_short_log_is_left_alone(made):
    (made.logs / "world.log").write_text("short\n")
    made.trim_logs()
    assert (made.logs / "world.log").read_text() == "short\n"
    assert not (made.logs / "world.log.1").exists()


# --- what is refused -------------------------------------------------------------------------------


def test_a_file_in_the_folders_place_is_named_and_kept(folder):
    (folder / "state").write_text("mine")
    said = refusal(windtunnel(folder, "up"))
    assert f"{folder / 'state'}, but a file is there" in said
    assert (folder / "state").read_text() == "mine"


def test_somebody_elses_folder_is_neither_used_nor_changed_nor_set_aside(folder):
    theirs = folder / "state"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("mine")
    theirs.chmod(0o755)
    for command in (["up"], ["reset", "--hard"]):
        said = refusal(windtunnel(folder, *command))
        assert "thesis.tex" in said
        assert "WINDTUNNEL_STATE" in said
        assert "reset --hard" not in said
    assert [entry.name for entry in theirs.iterdir()] == ["thesis.tex"]
    assert theirs.stat().st_mode & 0o777 == 0o755
    assert [entry.name for entry in folder.iterdir() if entry.name != "work"] == ["state"]


def test_the_leftovers_of_a_start_that_was_cut_short_are_not_somebody_elses(folder):
    path = folder / "state"
    path.mkdir()
    (path / locks.TURN).touch()
    (path / ".sandbox.json.abcdef").write_text("{")
    Sandbox(path).prepare()
    assert State(path).config()["id"]


def test_a_check_before_the_first_sandbox_leaves_a_folder_that_is_ours(folder, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_STATE", str(folder / "state"))
    kept = template()  # what the first check makes
    Sandbox(folder / "state").prepare()
    assert State(folder / "state").config()["id"]
    assert kept.exists()


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"ports": {}}', '{"id": 7}'])
def test_an_unreadable_sandbox_json_is_named_with_the_way_out(made, content):
    (made.path / "sandbox.json").write_text(content)
    sandbox = Sandbox(made.path)
    for action in (sandbox.up, sandbox.status, sandbox.down, sandbox.reset):
        with pytest.raises(WindtunnelError) as refused:
            action()
        assert "sandbox.json cannot be read" in refused.value.message
        assert "reset --hard" in refused.value.next_step


def test_every_command_refuses_an_unreadable_state_without_a_traceback(made, folder):
    (made.path / "sandbox.json").write_text("{")
    for command in ("up", "status", "down", "reset", "ui"):
        assert "sandbox.json cannot be read" in refusal(windtunnel(folder, command))
    doctor = windtunnel(folder, "doctor")
    assert doctor.returncode == 1
    assert "sandbox.json cannot be read" in doctor.stdout
    assert "Traceback" not in doctor.stdout + doctor.stderr


@pytest.mark.parametrize(
    "ports", [None, {}, {"api": 1}, {"api": "a", "postgres": 2, "valkey": 3, "world": 4, "smtp": 5, "s3": 6}]
)
def test_ports_that_make_no_sense_are_chosen_anew(made, ports):
    config = made.config() | {"ports": ports}
    (made.path / "sandbox.json").write_text(json.dumps(config))
    with pytest.raises(WindtunnelError, match="does not name the ports"):
        made.ports()
    Sandbox(made.path).prepare()
    assert made.config()["id"] == config["id"]
    assert min(made.config()["ports"].values()) > 1024


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"admin": "admin"}'])
def test_damaged_credentials_are_named_with_the_way_out(made, content):
    (made.path / "secrets.json").write_text(content)
    with pytest.raises(WindtunnelError) as refused:
        Sandbox(made.path).up()
    assert "secrets.json cannot be read" in refused.value.message
    assert "reset --hard" in refused.value.next_step


def test_lost_credentials_of_an_existing_database_are_not_quietly_replaced(made):
    (made.path / "postgres").mkdir()
    (made.path / "secrets.json").unlink()
    with pytest.raises(WindtunnelError, match=r"secrets\.json is gone"):
        Sandbox(made.path).up()
    assert not (made.path / "secrets.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_status_json_counts_as_none(made, content):
    (made.path / "status.json").write_text(content)
    assert made.status() == {}


# --- what is set aside -----------------------------------------------------------------------------


def test_reset_hard_keeps_everything_under_another_name(made, folder):
    (made.path / "sandbox.json").write_text("{")
    (made.data / "report.csv").write_text("a,b\n")
    done = windtunnel(folder, "reset", "--hard")
    assert done.returncode == 0, done.stderr
    assert not made.path.exists()
    (aside,) = folder.glob("state.aside-*")
    assert str(aside) in "".join(done.stdout.split())
    assert (aside / "data/report.csv").read_text() == "a,b\n"
    Sandbox(made.path).prepare()
    assert made.config()["id"]


def test_reset_hard_moves_a_file_out_of_the_way(folder):
    (folder / "state").write_text("mine")
    assert windtunnel(folder, "reset", "--hard").returncode == 0
    (aside,) = folder.glob("state.aside-*")
    assert aside.read_text() == "mine"


def test_a_folder_of_an_older_version_is_kept_aside_and_its_processes_end(made, folder):
    config = made.config() | {"airflow": "3.0.6"}
    (made.path / "sandbox.json").write_text(json.dumps(config))
    (made.data / "report.csv").write_text("a,b\n")
    left = subprocess.Popen(["sleep", "600"], env={"WINDTUNNEL_SANDBOX": config["id"]})
    said = []
    Sandbox(made.path).prepare(said.append)
    left.wait(10)
    (aside,) = folder.glob("state.3.0.6-*")
    assert str(aside) in "".join(said)
    assert (aside / "data/report.csv").read_text() == "a,b\n"
    assert made.config()["id"] != config["id"]
    assert not list(made.data.iterdir())


# --- disks and permissions -------------------------------------------------------------------------


def test_a_disk_with_too_little_room_is_said_to_be_nearly_full(folder, small_disk):
    small_disk(50)
    said = refusal(windtunnel(folder, "up"))
    assert "nearly full" in said
    assert "400 MB needed" in said


def test_a_full_disk_is_said_to_be_full(folder, small_disk):
    path = small_disk(1)
    with (path / locks.TURN).open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    assert "No space left on device" in refusal(windtunnel(folder, "up"))


def test_a_read_only_disk_is_said_to_be_read_only(folder, small_disk):
    path = small_disk(500)
    Sandbox(path).prepare()
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
    assert "Read-only file system" in refusal(windtunnel(folder, "up"))
    status = windtunnel(folder, "status")
    assert status.returncode == 1
    assert "down" in status.stdout
    assert windtunnel(folder, "down").returncode == 0


def test_a_mounted_folder_that_cannot_be_renamed_says_so(folder, small_disk):
    Sandbox(small_disk(500)).prepare()
    assert "cannot be renamed" in refusal(windtunnel(folder, "reset", "--hard"))


def test_a_folder_closed_to_the_reader_is_named(plain_user, tmp_path):
    closed = plain_user.folder / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid() == 0:
        shutil.chown(closed, "nobody")
    names = {"WINDTUNNEL_STATE": str(closed / "state"), "WINDTUNNEL_WORK": str(plain_user.folder / "work")}
    done = plain_user.run([COMMAND, "up"], PATH=os.environ["PATH"], HOME=str(plain_user.folder), **names)
    assert f"{closed / 'state'} cannot be written: Permission denied" in refusal(done)
    closed.chmod(0o700)


# --- taking turns ----------------------------------------------------------------------------------


def test_a_second_start_waits_for_its_turn_and_notices_that_the_folder_was_set_aside(made):
    script = (
        "import sys; from pathlib import Path; from windtunnel.state import State\n"
        "with State(Path(sys.argv[1])).turn(): print(Path(sys.argv[1], 'sandbox.json').exists())"
    )
    with made.turn():
        second = subprocess.Popen(
            [sys.executable, "-c", script, str(made.path)], stdout=subprocess.PIPE, text=True
        )
        lock = str(made.path / locks.TURN)
        wait_for("it to wait", lambda: lock in [f.path for f in psutil.Process(second.pid).open_files()])
        made.set_aside("test")
        assert second.poll() is None
    out, _ = second.communicate(timeout=30)
    assert out == "False\n"
    assert (made.path / locks.TURN).exists()


def test_the_launchers_lock_outlasts_a_look_and_ends_with_its_process(made):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from windtunnel import locks\n"
            "held = locks.acquire(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()",
            str(made.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    assert made.is_running()
    assert locks.acquire(made.path, patience=0.1) is None
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert not made.is_running()
