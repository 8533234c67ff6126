"""The containers from outside: what `sandbox/containers.py` checks, writes, passes to Compose and says.

Docker is played by a script that notes its calls and answers as told: this is about our own logic. Real containers
are tested in tests/compose.
"""

import ast
import base64
import contextlib
import functools
import importlib.util
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from sandboxes import ROOT, PlainUser, wait_for
from windtunnel.ports import any_free

SCRIPT = ROOT / "sandbox/containers.py"
COMPOSE_FILE = ROOT / "docker-compose.yaml"
USER_ID = 50000 if os.getuid() == 0 else os.getuid()
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has files of two users to work with")
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere, Docker Desktop hides who owns a file"
)

DOCKER = """\
#!/bin/sh
here=${0%/*}
printf '%s\\n' "$*" >> "$here/calls"
case "$*" in
    info*) name=info ;;
    "compose version"*) name=version ;;
    *" config "*) name=config ;;
    *" ps "*) name=ps ;;
    *" up "*) name=up ;;
    *" down "*) name=down ;;
    *" logs "*) name=logs ;;
    "image inspect"*) name=image ;;
    "volume ls"*) name=volumes ;;
    *) echo "docker: this was not expected: $*" >&2; exit 99 ;;
esac
env > "$here/$name.environment"
[ ! -f "$here/$name" ] || . "$here/$name"
"""


class Clone:
    """A folder with what the script works on, and the Docker that it finds."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = folder / ".env"
        self.work = folder / "work"
        self.docker = folder.parent / "docker bin"
        self.script = folder / "sandbox/containers.py"
        self.script.parent.mkdir(parents=True)
        self.docker.mkdir()
        (self.docker / "docker").write_text(DOCKER)
        (self.docker / "docker").chmod(0o755)
        shutil.copy(COMPOSE_FILE, folder)
        # What this machine has on the usual ports is not the tests' business.
        text = SCRIPT.read_text()
        self.ports = dict(zip(usual_ports(), map(str, any_free(4)), strict=True))
        for name, port in usual_ports().items():
            assert f'"{name}": {port}' in text
            text = text.replace(f'"{name}": {port}', f'"{name}": {self.ports[name]}')
        self.script.write_text(text)
        self.info()
        self.answer("version", "2.40.3-desktop.1")
        self.answer("config", json.dumps(config()))
        self.answer("up", "what Compose says as it goes")

    def answer(self, name: str, out: str = "", err: str = "", code: int = 0) -> None:
        """What docker says to a question, and how it ends."""
        script = f"printf '%s\\n' {shlex.quote(out)}\nprintf '%s' {shlex.quote(err)} >&2\nexit {code}\n"
        (self.docker / name).write_text(script)

    def info(self, **changes: object) -> None:
        """What docker says of its engine."""
        usual = {
            "ServerVersion": "28.2.2",
            "OSType": "linux",
            "OperatingSystem": "Debian GNU/Linux 12",
            "MemTotal": 8 * 2**30,
            "DockerRootDir": str(self.folder),
            "SecurityOptions": ["name=seccomp,profile=builtin"],
        }
        self.answer("info", json.dumps(usual | changes))

    def there(self, **services: dict[str, object]) -> None:
        """Which containers Compose finds; ``services`` are what they differ in from a healthy one."""
        labels = f"com.docker.compose.service=x,com.docker.compose.project.working_dir={self.folder},a.b=c"
        usual = {"State": "running", "Health": "healthy", "ExitCode": 0, "Publishers": [], "Labels": labels}
        found = [{"Service": name.replace("_", "-")} | usual | given for name, given in services.items()]
        self.answer("ps", "\n".join(map(json.dumps, found)))

    def command(self, *arguments: str) -> list[str]:
        # -S: as where nothing is installed.
        return [sys.executable, "-S", str(self.script), *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        return {"PATH": f"{self.docker}:/usr/bin:/bin", "HOME": str(self.folder), "USER": "ada"} | extra

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run the script; ``extra`` are environment variables."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**extra),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self, word: str) -> list[str]:
        """The calls of docker with that word in them."""
        path = self.docker / "calls"
        every = path.read_text().splitlines() if path.exists() else []
        return [call for call in every if word in call.split()]

    def seen(self, name: str) -> dict[str, str]:
        """The environment that docker was last called with for a question."""
        lines = (self.docker / f"{name}.environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def values(self) -> dict[str, str]:
        """What is in `.env`."""
        lines = [line for line in self.env.read_text().splitlines() if line and not line.startswith("#")]
        return dict(line.split("=", 1) for line in lines)

    def written(self, **changes: str | None) -> None:
        """Have a whole `.env`, with changed values; None leaves one out."""
        values = module().lacking({}) | self.ports | changes
        self.env.write_text(
            "".join(f"{name}={value}\n" for name, value in values.items() if value is not None)
        )
        self.env.chmod(0o600)


def usual_ports() -> dict[str, int]:
    """The ports that are published unless `.env` says otherwise."""
    return module().PORTS


@functools.cache
def module():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("containers_script", SCRIPT)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def config() -> dict[str, object]:
    """What `docker compose config` prints, as far as the script reads it."""
    read = yaml.safe_load(COMPOSE_FILE.read_text())
    volumes = {name: {"name": f"windtunnel_{name}"} for name in read["volumes"]}
    return {"name": "windtunnel", "services": read["services"], "volumes": volumes}


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone ü")


def refusal(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """What was said in refusing: one message with a next step, and no traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said, said
    assert done.stderr.count("containers: ") == 1, said
    assert done.stderr.count("\nNext: ") == 1, said
    return " ".join(done.stderr.split())


def refused_at_once(clone: Clone, *arguments: str, **extra: str) -> str:
    """The refusal of a start that left everything as it was."""
    before = clone.env.read_bytes() if clone.env.exists() else None
    had_work = clone.work.exists()
    said = refusal(clone.run(*(arguments or ("up",)), **extra))
    assert not clone.calls("up"), "nothing may be started"
    assert (clone.env.read_bytes() if clone.env.exists() else None) == before
    assert clone.work.exists() == had_work
    return said


# --- .env ------------------------------------------------------------------------------------------


def test_env_writes_every_name_for_the_reader_only_and_says_where(clone):
    done = clone.run("env", PATH="/nowhere")  # without Docker
    assert done.returncode == 0, done.stderr
    values = clone.values()
    assert set(values) == set(module().NAMES)
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600
    assert str(clone.env) in done.stdout
    secrets = [value for name, value in values.items() if not name.endswith(("_UID", "_PORT"))]
    assert len(set(secrets)) == len(secrets) == 11
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24,}=?", value) for value in secrets)
    assert not any(value in done.stdout + done.stderr for value in secrets)
    assert len(base64.urlsafe_b64decode(values["AIRFLOW_FERNET_KEY"])) == 32
    assert len(values["AIRFLOW_JWT_SECRET"]) >= 64  # bytes, for HS512
    assert values["AIRFLOW_UID"] == str(USER_ID)
    assert {name: values[name] for name in clone.ports} == clone.ports
    assert not list(clone.folder.glob(".env?*"))


def test_two_clones_have_no_secret_in_common(clone, tmp_path):
    (tmp_path / "other").mkdir()
    other = Clone(tmp_path / "other/clone")
    for one in (clone, other):
        assert one.run("env").returncode == 0
    secret = [name for name in clone.values() if not name.endswith(("_UID", "_PORT"))]
    assert not [name for name in secret if clone.values()[name] == other.values()[name]]


def test_a_complete_env_is_not_touched(clone):
    clone.run("env")
    before = clone.env.read_bytes(), clone.env.stat()
    done = clone.run("env")
    assert done.returncode == 0
    assert "has all it needs" in done.stdout
    assert clone.env.read_bytes() == before[0]
    assert clone.env.stat().st_mtime_ns == before[1].st_mtime_ns
    assert clone.env.stat().st_ino == before[1].st_ino


@pytest.mark.parametrize(
    "text",
    [
        b"# mine\n\nLAB_PORT=29001\nMY_OWN='a b'\n",
        b"LAB_PORT=29001",
        b"LAB_PORT=29001\r\n# mine\r\n",
        b"\xef\xbb\xbfLAB_PORT=29001\n",
        b"",
    ],
    ids=["with others", "no line end", "from Windows", "with a byte order mark", "empty"],
)
def test_only_missing_names_are_added_below_what_is_there(clone, text):
    clone.env.write_bytes(text)
    clone.env.chmod(0o600)
    done = clone.run("env")
    assert done.returncode == 0, done.stderr
    written = clone.env.read_bytes()
    assert written.startswith(text)
    assert b"LAB_PORT" not in written[len(text) :] or not text
    assert "Added to" in done.stdout
    assert "READER_PASSWORD" in done.stdout
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600
    ends = re.findall(rb"\r?\n", written)
    assert set(ends) == {b"\r\n" if b"\r\n" in text else b"\n"}
    assert "has all it needs" in clone.run("env").stdout


def kill_at(clone: Clone, call: str) -> None:
    """Run `env`, killed as it comes to that call."""
    script = (
        f"import os, runpy, sys; os.{call} = lambda *a, **k: os.kill(os.getpid(), 9); "
        f"sys.argv = [{str(clone.script)!r}, 'env']; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], env=clone.environment(), timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_killed_while_it_writes_there_is_no_env_and_the_next_start_writes_it_whole(clone, call):
    kill_at(clone, call)
    assert not clone.env.exists()
    assert clone.run("env").returncode == 0
    assert set(clone.values()) == set(module().NAMES)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_killed_while_it_adds_the_old_env_is_still_there(clone, call):
    clone.written(REDIS_PASSWORD=None)
    before = clone.env.read_bytes()
    kill_at(clone, call)
    assert clone.env.read_bytes() == before
    assert clone.run("env").returncode == 0
    assert clone.env.read_bytes().startswith(before)
    assert set(clone.values()) == set(module().NAMES)


def test_of_several_starts_at_once_one_writes_and_none_overwrites(clone):
    started = [
        subprocess.Popen(clone.command("env"), env=clone.environment(), stdout=-1, stderr=-1, text=True)
        for _ in range(6)
    ]
    said = ["".join(process.communicate(timeout=60)) for process in started]
    assert sum("Wrote" in text for text in said) == 1, said
    assert all(re.search("Wrote|has all it needs|another start wrote", text) for text in said), said
    assert set(clone.values()) == set(module().NAMES)
    assert not list(clone.folder.glob(".env?*"))


@pytest.mark.parametrize("before", [None, "LAB_PORT=29001\n"])
def test_what_another_start_writes_between_a_look_and_a_write_stays(clone, before):
    if before:
        clone.env.write_text(before)
        clone.env.chmod(0o600)
    # The values are drawn after the look: at the first of them, the other start comes and is done.
    script = (
        "import runpy, secrets, subprocess, sys\n"
        "draw = secrets.token_hex\n"
        "def slow(*a):\n"
        "    secrets.token_hex = draw\n"
        f"    subprocess.run({clone.command('env')!r}, check=True)\n"
        "    return draw(*a)\n"
        f"secrets.token_hex = slow; sys.argv = [{str(clone.script)!r}, 'env']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=clone.environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done
    assert "another start wrote" in done.stderr
    assert set(clone.values()) == set(module().NAMES)
    lines = [line.split("=")[0] for line in clone.env.read_text().splitlines() if "=" in line]
    assert len(lines) == len(set(lines))


def test_a_file_system_without_links_gets_its_env_too(clone):
    script = (
        "import os, runpy, sys\n"
        "def link(*a): raise PermissionError(1, 'Operation not permitted')\n"
        f"os.link = link; sys.argv = [{str(clone.script)!r}, 'env']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", script], env=clone.environment(), check=True, timeout=60)
    assert set(clone.values()) == set(module().NAMES)
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600


def test_an_env_that_is_a_link_stays_one(clone, tmp_path):
    real = tmp_path / "kept elsewhere"
    real.write_text("LAB_PORT=29001\n")
    real.chmod(0o600)
    clone.env.symlink_to(real)
    assert clone.run("env").returncode == 0
    assert clone.env.is_symlink()
    assert "READER_PASSWORD=" in real.read_text()


def test_an_env_that_others_can_read_is_closed_with_a_note(clone):
    clone.written()
    clone.env.chmod(0o644)
    done = clone.run("env")
    assert done.returncode == 0
    assert "note: others could read" in done.stderr
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600
    assert "note" not in clone.run("env").stderr


@pytest.mark.parametrize(
    "line", ["LAB_PORT", "nonsense here", "LAB PORT=8888", "=8888", "A='open", "A='b' c", "8=9"]
)
def test_a_malformed_line_is_named_by_its_number_and_not_repeated(clone, capsys, line):
    clone.env.write_text(f"# mine\nLAB_PORT=29001\n{line}\n")
    said = complaint(clone, capsys)
    assert f"line 3 of {clone.env} is not NAME=value" in said
    assert f" {line} " not in said, "it may be a password"


def complaint(clone: Clone, capsys) -> str:
    """What is said of a value in `.env`; in this process, for there are many."""
    script = module()
    script.ENV = clone.env
    with pytest.raises(SystemExit) as ended:
        script.check_values(script.read_env())
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\nNext: ") == 1
    return " ".join(said.split())


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("LAB_PORT", "0", "is '0', not a port from 1 to 65535"),
        ("LAB_PORT", "65536", "is '65536', not a port"),
        ("LAB_PORT", "lab", "is 'lab', not a port"),
        ("LAB_PORT", "127.0.0.1:8888", "is '127.0.0.1:8888', not a port"),
        ("PROMETHEUS_PORT", "", "is '', not a port"),
        ("AIRFLOW_UID", "0", "is 0: these containers do not run as root"),
        ("AIRFLOW_UID", "-5", "is '-5', not a number"),
        ("AIRFLOW_UID", "ada", "is 'ada', not a number"),
        ("AIRFLOW_UID", "", "is '', not a number"),
        ("AIRFLOW_FERNET_KEY", "short", "is not 32 bytes in URL-safe base64"),
        ("AIRFLOW_FERNET_KEY", "$" + "A" * 43 + "=", "is not 32 bytes"),
        ("AIRFLOW_FERNET_KEY", base64.urlsafe_b64encode(b"0" * 31).decode(), "is not 32 bytes"),
        ("AIRFLOW_FERNET_KEY", "", "is empty"),
        *((name, "", "is empty") for name in module().PASSWORDS),
        ("AIRFLOW_JWT_SECRET", '""', "is empty"),
        ("READER_PASSWORD", "# none", "is empty"),
        ("POSTGRES_PASSWORD", "p@ss/word", "may hold letters, digits and - _ . ~ only"),
        ("AIRFLOW_PASSWORD", "pa$HOME", "may hold letters"),
    ],
)
def test_a_value_that_cannot_work_is_named_and_a_secret_not_shown(clone, capsys, name, value, what):
    clone.written(**{name: value})
    said = complaint(clone, capsys)
    assert f"{name} in {clone.env} {what}" in said
    assert len(value) < 8 or value not in said or name.endswith(("_PORT", "_UID"))


@pytest.mark.parametrize("command", ["up", "env", "down", "status"])
def test_every_command_looks_at_the_lines_and_the_values_first(clone, command):
    clone.written(LAB_PORT="lab")
    assert "LAB_PORT" in refused_at_once(clone, command)
    clone.env.write_text("nonsense\n")
    assert "line 1 of" in refused_at_once(clone, command)
    assert not clone.calls("down")


def test_two_names_for_one_port_are_named_both(clone, capsys):
    clone.written(GRAFANA_PORT="29001", LAB_PORT="29001")
    assert f"GRAFANA_PORT in {clone.env} is 29001, and so is LAB_PORT" in complaint(clone, capsys)


def test_a_name_that_stands_twice_is_named_with_both_lines(clone, capsys):
    clone.env.write_text("LAB_PORT=29001\nA=1\nA=2\nLAB_PORT=29002\n")
    assert f"LAB_PORT stands twice in {clone.env}, in lines 1 and 4" in complaint(clone, capsys)


def test_quotes_comments_and_export_are_read_as_compose_reads_them(clone):
    clone.written()
    port = clone.ports["LAB_PORT"]
    rest = [
        line
        for line in clone.env.read_text().splitlines()
        if not re.match("LAB_PORT|JUPYTER|AIRFLOW_PASS", line)
    ]
    mine = [
        f" export LAB_PORT = '{port}' # mine",
        'JUPYTER_TOKEN="to-ken"# mine',
        "AIRFLOW_PASSWORD=pass#word # mine",
    ]
    clone.env.write_text("\n".join([*rest, *mine]))
    assert "AIRFLOW_PASSWORD" in refusal(clone.run("up")), "a # within is part of the value"
    mine[2] = "AIRFLOW_PASSWORD=pass-word # mine"
    clone.env.write_text("\n".join([*rest, *mine]))
    done = clone.run("up")
    assert done.returncode == 0, done.stderr
    assert f"http://127.0.0.1:{port}/lab?token=to-ken\n" in done.stdout
    assert "admin, pass-word\n" in done.stdout


def test_what_is_no_readable_text_is_named(clone):
    clone.env.write_bytes("LAB_PORT=29001\n".encode("utf-16"))
    assert "is not text in UTF-8" in refused_at_once(clone)
    clone.env.unlink()
    clone.env.mkdir()
    assert "cannot be read: Is a directory" in refusal(clone.run("up"))
    assert not clone.calls("up")


def test_a_folder_that_cannot_be_written_is_named(plain_user, tmp_path):
    clone = hand_over(plain_user)
    clone.folder.chmod(0o555)
    try:
        said = refusal(plain_user.run(clone.command("env"), **clone.environment()))
    finally:
        clone.folder.chmod(0o755)
    assert f"{clone.env} cannot be written: Permission denied" in said
    assert not list(clone.folder.glob(".env*"))


def test_env_covers_every_variable_without_a_default_in_the_compose_file():
    used = re.findall(r"(?<!\$)\$\{([A-Za-z0-9_]+)(?:(:?[-+?])[^}]*)?\}", COMPOSE_FILE.read_text())
    assert len(used) > 10
    needed = {name for name, how in used if "-" not in how and "+" not in how}
    assert needed <= set(module().NAMES), needed - set(module().NAMES)


def test_the_compose_file_publishes_what_the_script_says_on_the_same_ports():
    text = COMPOSE_FILE.read_text()
    services = yaml.safe_load(text)["services"]
    for service, name in module().PORT_OF.items():
        published = f"127.0.0.1:${{{name}:-{module().PORTS[name]}}}:"
        assert [port for port in services[service]["ports"] if port.startswith(published)], service
    everything = [port for service in services.values() for port in service.get("ports", ())]
    assert len(everything) == len(module().PORT_OF), "one that is published is checked by nobody"
    assert {profile for service in services.values() for profile in service.get("profiles", ())} == set(
        module().PROFILES
    )


# --- what is checked before a start ----------------------------------------------------------------


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_without_docker_it_says_what_to_install(clone, command):
    said = refused_at_once(clone, command, PATH="/nowhere")
    assert "there is no `docker` on your PATH" in said
    assert "Next: install Docker Desktop" in said


NOT_RUNNING = [
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the "
    "daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory",
    'error during connect: Get "http://%2F%2F.%2Fpipe%2FdockerDesktopLinuxEngine/v1.46/info": open '
    "//./pipe/dockerDesktopLinuxEngine: The system cannot find the file specified.",
]


@pytest.mark.parametrize("said", NOT_RUNNING, ids=["28", "29", "Windows"])
def test_an_engine_that_is_not_running_is_told_from_one_that_is_closed_to_you(clone, said):
    clone.answer("info", "{}", said, code=1)
    found = refused_at_once(clone)
    assert "its engine is not running" in found
    assert said in found
    assert "sudo systemctl start docker" in found or "open Docker Desktop" in found


@pytest.mark.parametrize("what", ["Docker daemon socket", "docker API"])
def test_an_engine_that_is_closed_to_you_is_told_with_the_group_to_join(clone, what):
    clone.answer(
        "info", "{}", f"permission denied while trying to connect to the {what} at unix:///x", code=1
    )
    said = refused_at_once(clone)
    assert "Docker is running, but you may not use it" in said
    assert "Next: sudo usermod -aG docker ada, log out and in again" in said


def test_the_real_docker_says_both_as_the_script_expects(clone, plain_user):
    docker = shutil.which("docker")
    if not docker:
        pytest.skip("no docker on this machine")
    path = {"PATH": f"{Path(docker).parent}:/usr/bin:/bin", "DOCKER_HOST": "unix:///nowhere.sock"}
    said = refusal(clone.run("up", **path))
    assert "its engine is not running" in said
    assert "DOCKER_HOST is unix:///nowhere.sock: start the engine there, or unset it" in said
    handed = hand_over(plain_user)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        server.bind(f"{folder}/closed.sock")
        server.listen()
        Path(f"{folder}/closed.sock").chmod(0)
        path["DOCKER_HOST"] = f"unix://{folder}/closed.sock"
        done = plain_user.run(handed.command("up"), **handed.environment(**path))
    assert "you may not use it" in refusal(done)


def test_a_docker_that_does_not_answer_is_not_waited_for_for_ever(clone):
    clone.script.write_text(clone.script.read_text().replace("seconds=60", "seconds=0.3"))
    (clone.docker / "info").write_text("exec sleep 20")
    assert "`docker info --format` did not answer within 0.3 seconds" in refused_at_once(clone)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (("{}", "", 0), "does not answer as Docker does"),
        ((json.dumps({"host": {"memTotal": 2**34}}), "", 0), "does not answer as Docker does"),
        (("", "something else is wrong", 1), "`docker info` failed: something else is wrong"),
        (
            ("The command 'docker' could not be found in this WSL 2 distro.", "", 1),
            "could not be found in this WSL",
        ),
    ],
    ids=["nothing", "Podman", "unknown", "WSL"],
)
def test_what_answers_otherwise_is_shown(clone, answer, what):
    out, err, code = answer
    clone.answer("info", out, err, code)
    assert what in refused_at_once(clone)


def test_windows_containers_are_told_how_to_switch(clone):
    clone.info(OSType="windows")
    assert "switch to Linux containers" in refused_at_once(clone)


def test_a_rootless_engine_is_no_obstacle_and_said_to_be_untried(clone):
    clone.info(SecurityOptions=["name=seccomp,profile=builtin", "name=rootless"])
    done = clone.run("up")
    assert done.returncode == 0, done.stderr
    assert "note: this Docker runs without root, which was not tried" in done.stderr


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        ("", "docker: unknown command: docker compose\n\nRun 'docker --help'", 1),
        ("", "unknown flag: --short", 125),
    ],
)
def test_without_compose_it_says_what_to_install(clone, out, err, code):
    clone.answer("version", out, err, code)
    said = refused_at_once(clone)
    assert "Docker has no Compose plugin" in said
    assert "2.23 or newer" in said
    assert "Next: install it" in said


@pytest.mark.parametrize("version", ["2.22.0", "v2.9.1", "1.29.2"])
def test_a_compose_that_is_too_old_is_told_which_is_needed(clone, version):
    clone.answer("version", version)
    said = refused_at_once(clone)
    assert f"Docker Compose is {version}; 2.23 or newer is needed" in said
    assert "Next: update it" in said


@pytest.mark.parametrize("version", ["2.23.0", "v2.26.1-4", "2.40.3-desktop.1", "5.0.1"])
def test_newer_composes_will_do(clone, version):
    clone.answer("version", version)
    assert clone.run("up").returncode == 0


@pytest.mark.parametrize(
    ("megabytes", "arguments", "outcome"),
    [
        (2900, [], "refused"),
        (3500, [], "noted"),
        (3900, [], "silent"),
        (3900, ["--celery"], "refused"),
        (4500, ["--celery"], "noted"),
        (4500, ["--observability"], "noted"),
        (4900, ["--celery", "--observability"], "silent"),
    ],
)
def test_too_little_memory_is_refused_and_scant_memory_noted(clone, megabytes, arguments, outcome):
    clone.info(MemTotal=megabytes * 2**20)
    if outcome == "refused":
        said = refused_at_once(clone, "up", *arguments)
        assert f"Docker has {megabytes} MB of memory; it takes" in said
        assert all(f"or leave out {' '.join(arguments)}" in said for _ in arguments)
        return
    done = clone.run("up", *arguments)
    assert done.returncode == 0, done.stderr
    assert (f"note: Docker has {megabytes} MB" in done.stderr) == (outcome == "noted")


def test_docker_desktop_is_told_where_its_memory_is_set(clone):
    clone.info(MemTotal=2**31, OperatingSystem="Docker Desktop")
    assert "Docker Desktop's settings under Resources" in refused_at_once(clone)


@contextlib.contextmanager
def listening(port: str):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(port)))
        server.listen()
        yield


@pytest.mark.parametrize("name", ["AIRFLOW_PORT", "LAB_PORT"])
def test_a_taken_port_is_named_with_the_variable_and_a_free_one(clone, name):
    with listening(clone.ports[name]):
        said = refused_at_once(clone)
        assert f"port {clone.ports[name]} on 127.0.0.1 is taken by another program" in said
        offered = re.search(rf"make a file {re.escape(str(clone.env))} with the line ({name}=(\d+))", said)
        clone.env.write_text(offered.group(1))  # as it was told to
        done = clone.run("up")
    assert done.returncode == 0, done.stderr
    assert f":{offered.group(2)}" in done.stdout


def test_a_taken_port_of_an_env_that_is_there_is_to_be_changed_in_it(clone):
    clone.written()
    with listening(clone.ports["LAB_PORT"]):
        assert re.search(
            rf"set LAB_PORT=\d+ in {re.escape(str(clone.env))}, and type", refused_at_once(clone)
        )


def test_ports_that_nothing_will_use_are_not_checked(clone):
    with listening(clone.ports["GRAFANA_PORT"]):
        assert "GRAFANA_PORT" in refused_at_once(clone, "up", "--observability")
        assert clone.run("up").returncode == 0


def test_ports_that_these_containers_hold_are_free_to_them(clone):
    clone.written()
    port = int(clone.ports["LAB_PORT"])
    clone.there(lab={"Publishers": [{"URL": "127.0.0.1", "TargetPort": 8888, "PublishedPort": port}]})
    with listening(clone.ports["LAB_PORT"]):
        done = clone.run("up")
    assert done.returncode == 0, done.stderr


@as_root
def test_a_full_disk_is_named_with_what_is_needed_for_the_images_or_the_data(clone, tmp_path):
    small = tmp_path / "docker's disk"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr}")
    try:
        clone.info(DockerRootDir=str(small))
        said = refused_at_once(clone)
        assert re.search(rf"the disk of {small} has \d+ MB free; 1000 MB are needed\.", said)
        clone.answer("image", "", "No such image", code=1)
        assert "6000 MB are needed to build the images" in refused_at_once(clone)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_compose_file_that_compose_cannot_use_is_shown_with_its_words(clone):
    clone.answer("config", "", "yaml: line 7: mapping values are not allowed in this context", code=1)
    said = refused_at_once(clone)
    assert "Compose cannot use docker-compose.yaml: yaml: line 7: mapping values" in said
    (clone.folder / "docker-compose.yaml").unlink()
    assert "has no docker-compose.yaml" in refused_at_once(clone)


def test_containers_of_another_copy_are_left_alone(clone, tmp_path):
    other = tmp_path / "other, copy"
    other.mkdir()
    clone.there(lab={"Labels": f"a=b,com.docker.compose.project.working_dir={other},com.docker.compose.x=y"})
    for command in (["up"], ["down"], ["down", "--volumes", "--yes"], ["status"]):
        said = refused_at_once(clone, *command)
        assert f"the containers of another copy of this folder are here: of {other}." in said
        assert "there, type make down" in said
    assert not clone.calls("down")
    other.rmdir()
    assert 'Next: docker compose --profile "*" down' in refused_at_once(clone)


def test_data_whose_passwords_are_gone_are_not_started_with_new_ones(clone):
    clone.answer("volumes", "other_postgres\nwindtunnel_postgres")
    said = refused_at_once(clone)
    assert "the data of an earlier start are here" in said
    assert "POSTGRES_PASSWORD" in said
    assert "put the old file back; or delete those data, which asks first: make down ARGS=--volumes" in said
    clone.written(REDIS_PASSWORD=None)  # one that no data depend on
    assert clone.run("up").returncode == 0


# --- work/ -----------------------------------------------------------------------------------------


def test_work_is_made_with_its_dags_for_who_the_containers_are(clone):
    assert clone.run("up").returncode == 0
    for folder in (clone.work, clone.work / "dags"):
        assert folder.is_dir()
        assert folder.stat().st_uid == USER_ID


def test_what_stands_in_the_way_of_work_is_named(clone):
    clone.work.write_text("not a folder")
    said = refused_at_once(clone)
    assert f"{clone.work}/dags cannot be made: " in said
    assert clone.work.read_text() == "not a folder"


@as_root
@on_linux
def test_root_gives_away_empty_folders_only(clone):
    clone.work.mkdir()
    assert clone.run("up").returncode == 0
    assert clone.work.stat().st_uid == 50000
    (clone.work / "answers").mkdir()
    os.chown(clone.work, 0, 0)
    (clone.docker / "calls").unlink()
    said = refused_at_once(clone)
    assert f"{clone.work} belongs to user 0; the containers are user 50000 and could not write there" in said
    assert f"Next: chown -R 50000:0 {clone.work}, and" in said
    assert clone.work.stat().st_uid == 0


@as_root
@on_linux
def test_behind_sudo_everything_belongs_to_the_reader(clone):
    assert clone.run("up", SUDO_UID="1234", SUDO_GID="1235").returncode == 0
    assert clone.values()["AIRFLOW_UID"] == "1234"
    for path in (clone.env, clone.work, clone.work / "dags"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235), path
    clone.written(REDIS_PASSWORD=None)
    os.chown(clone.env, 1234, 1235)
    assert clone.run("env").returncode == 0
    assert clone.env.stat().st_uid == 1234, "it stays whose it was"


def hand_over(user: PlainUser) -> Clone:
    """A clone that belongs to somebody without privileges."""
    place = user.folder / f"clone {len(list(user.folder.iterdir()))}"
    place.mkdir()
    clone = Clone(place / "clone")
    if os.getuid() == 0:
        owner = user.folder.stat()
        for path in (place, *place.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
    return clone


@on_linux
def test_a_reader_without_privileges_owns_what_is_made(plain_user):
    clone = hand_over(plain_user)
    done = plain_user.run(clone.command("up"), **clone.environment())
    assert done.returncode == 0, done.stderr
    mine = plain_user.folder.stat().st_uid
    assert clone.values()["AIRFLOW_UID"] == str(mine)
    assert {path.stat().st_uid for path in (clone.env, clone.work, clone.work / "dags")} == {mine}


@on_linux
def test_a_work_folder_that_is_yours_but_not_the_containers_is_told_which_id_to_set(plain_user):
    clone = hand_over(plain_user)
    mine = plain_user.folder.stat().st_uid
    clone.env.write_text(f"AIRFLOW_UID={mine + 1}\n")
    os.chown(clone.env, mine, -1)
    said = refusal(plain_user.run(clone.command("up"), **clone.environment()))
    assert f"is yours, of user {mine}; AIRFLOW_UID in {clone.env} is {mine + 1}" in said
    assert f"Next: set AIRFLOW_UID={mine} in that file" in said
    assert not clone.calls("up")


@as_root
@on_linux
def test_a_work_folder_of_somebody_else_is_told_the_command_that_gives_it_back(plain_user):
    clone = hand_over(plain_user)
    (clone.work / "dags").mkdir(parents=True)  # root's
    said = refusal(plain_user.run(clone.command("up"), **clone.environment()))
    mine = plain_user.folder.stat()
    assert f"{clone.work} belongs to user 0; the containers are user {mine.st_uid}" in said
    assert f"Next: sudo chown -R {mine.st_uid}:{mine.st_gid} {clone.work}" in said
    assert not clone.calls("up")
    assert not clone.env.exists()


# --- up --------------------------------------------------------------------------------------------


def test_a_start_writes_env_starts_everything_and_prints_the_addresses(clone):
    done = clone.run("up")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert clone.calls("up") == ["compose up --detach --build --wait --wait-timeout 600"]
    assert "what Compose says as it goes" in done.stdout
    values = clone.values()
    assert f"http://127.0.0.1:{values['LAB_PORT']}/lab?token={values['JUPYTER_TOKEN']}\n" in done.stdout
    assert f"http://127.0.0.1:{values['AIRFLOW_PORT']}  admin, {values['AIRFLOW_PASSWORD']}\n" in done.stdout
    assert "Grafana" not in done.stdout
    assert "To stop it: make down" in done.stdout
    environment = clone.seen("up")
    assert environment["AIRFLOW_EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW_METRICS"] == "False"
    assert not set(environment) & set(module().NAMES), "Compose reads them from .env"
    assert not {"AIRFLOW_EXECUTOR", "COMPOSE_PROFILES"} & set(values)


def test_what_is_checked_first_is_asked_first(clone):
    assert clone.run("up").returncode == 0
    calls = (clone.docker / "calls").read_text().splitlines()
    wanted = [
        "info",
        "compose version",
        "compose --profile * config",
        "compose --profile * ps",
        "image",
        "volume",
    ]
    assert [call[: len(start)] for call, start in zip(calls, wanted, strict=False)] == wanted
    assert calls[-1].startswith("compose up")


@pytest.mark.parametrize(
    ("options", "profiles", "executor", "metrics"),
    [
        (["--celery"], "celery", "CeleryExecutor", "False"),
        (["--observability"], "observability", "LocalExecutor", "True"),
        (["--observability", "--celery"], "celery,observability", "CeleryExecutor", "True"),
    ],
)
def test_a_profile_comes_with_what_belongs_to_it(clone, options, profiles, executor, metrics):
    done = clone.run("up", *options)
    assert done.returncode == 0, done.stderr
    words = " ".join(f"--profile {name}" for name in profiles.split(","))
    assert clone.calls("up") == [f"compose {words} up --detach --build --wait --wait-timeout 600"]
    environment = clone.seen("up")
    assert environment["AIRFLOW_EXECUTOR"] == executor
    assert environment["AIRFLOW_METRICS"] == metrics
    assert environment["COMPOSE_PROFILES"] == profiles
    password = clone.values()["GRAFANA_PASSWORD"]
    assert (f"http://127.0.0.1:{clone.ports['GRAFANA_PORT']}  admin, {password}" in done.stdout) == (
        metrics == "True"
    )
    assert (f"http://127.0.0.1:{clone.ports['PROMETHEUS_PORT']}" in done.stdout) == (metrics == "True")


def test_a_profile_stays_with_later_starts_and_says_how_to_be_without_it(clone):
    clone.written()
    clone.there(lab={}, redis={"State": "exited"}, worker_default={})
    done = clone.run("up", "--observability")
    assert done.returncode == 0, done.stderr
    assert clone.seen("up")["COMPOSE_PROFILES"] == "celery,observability"
    assert clone.seen("up")["AIRFLOW_EXECUTOR"] == "CeleryExecutor"
    assert (
        "note: --celery stays from the last start. To be without it: make down, then make up" in done.stderr
    )


def test_a_second_start_changes_nothing_of_the_readers(clone):
    assert clone.run("up").returncode == 0
    (clone.work / "dags/mine.py").write_text("# mine\n")
    before = clone.env.read_bytes(), clone.env.stat().st_mtime_ns, sorted(clone.folder.rglob("*"))
    first = clone.calls("up")
    done = clone.run("up")
    assert done.returncode == 0, done.stderr
    assert (clone.env.read_bytes(), clone.env.stat().st_mtime_ns, sorted(clone.folder.rglob("*"))) == before
    assert clone.calls("up") == first * 2


def test_what_counts_is_env_and_not_a_variable_left_in_the_shell(clone):
    clone.written()
    left = {"POSTGRES_PASSWORD": "of-another-project", "AIRFLOW_EXECUTOR": "X", "COMPOSE_PROFILES": "celery"}
    done = clone.run("up", **left)
    assert done.returncode == 0, done.stderr
    assert "note: POSTGRES_PASSWORD is set in this shell too. What counts is" in done.stderr
    assert "of-another-project" not in done.stderr
    for name in ("config", "ps", "up"):
        assert "POSTGRES_PASSWORD" not in clone.seen(name)
    assert clone.seen("up")["AIRFLOW_EXECUTOR"] == "LocalExecutor"
    assert clone.seen("up")["COMPOSE_PROFILES"] == ""


def test_the_first_start_can_ask_compose_before_env_is_there(clone):
    assert clone.run("up").returncode == 0
    for name in ("config", "ps"):
        assert clone.seen(name)["POSTGRES_PASSWORD"] == clone.values()["POSTGRES_PASSWORD"]


def test_a_service_that_fails_is_named_with_the_end_of_its_log(clone):
    clone.written()
    clone.answer("up", "", "dependency failed to start", code=1)
    clone.there(
        init={"State": "exited", "Health": "", "ExitCode": 0},
        scheduler={"Health": "unhealthy"},
        lab={"State": "created", "Health": ""},
    )
    clone.answer("logs", "\n".join(f"line {number}" for number in range(40)))
    done = clone.run("up")
    said = refusal(done)
    assert "the service scheduler is unhealthy. Its log ends with: line 25" in said
    assert "    line 39\n" in done.stderr
    assert "line 24" not in said
    assert "docker compose logs scheduler shows all of it" in said
    assert "make down ends it" in said
    assert clone.calls("logs") == ["compose --profile * logs --no-color --no-log-prefix --tail 15 scheduler"]
    assert "Windtunnel is up" not in done.stdout


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"State": "exited", "Health": "", "ExitCode": 3}, "the service init ended with code 3"),
        (
            {"State": "restarting", "ExitCode": 1},
            "the service init ends again and again, the last time with code 1",
        ),
        ({"Health": "starting"}, "the service init is not healthy yet"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_words(clone, found, what):
    clone.written()
    clone.answer("up", code=1)
    clone.there(init=found)
    said = refusal(clone.run("up"))
    assert what in said
    assert "(nothing)" in said, "its log is empty"


def test_a_service_that_should_run_and_ended_well_is_to_blame_too(clone):
    clone.written()
    clone.answer("up", code=1)
    clone.there(init={"State": "exited", "Health": ""}, triggerer={"State": "exited", "Health": ""})
    said = refusal(clone.run("up"))
    assert "the service triggerer ended with code 0" in said
    assert "init" not in said


def test_a_wrong_password_and_a_lack_of_memory_have_next_steps_of_their_own(clone):
    clone.written()
    clone.answer("up", code=1)
    clone.there(init={"State": "exited", "ExitCode": 1})
    clone.answer("logs", "", 'FATAL:  password authentication failed for user "airflow"')
    said = refusal(clone.run("up"))
    assert "the data were made with other passwords" in said
    assert "make down ARGS=--volumes" in said
    clone.there(scheduler={"State": "exited", "ExitCode": 137})
    clone.answer("logs", "Killed")
    assert "code 137 mostly means that memory ran out" in refusal(clone.run("up"))


def test_of_many_that_fail_three_show_their_logs_and_all_are_named(clone):
    clone.written()
    clone.answer("up", code=1)
    names = ["world", "lab", "scheduler", "triggerer", "postgres"]
    clone.there(dag_processor={"Health": "starting"}, **{name: {"Health": "unhealthy"} for name in names})
    said = refusal(clone.run("up"))
    assert all(f"the service {name} is unhealthy" in said for name in names)
    assert [call.split()[-1] for call in clone.calls("logs")] == names[:3], "who failed, before who waits"


def test_a_start_that_fails_before_any_container_points_to_what_compose_said(clone):
    clone.answer("up", "", "failed to resolve source metadata: no such host", code=18)
    done = clone.run("up")
    said = refusal(done)
    assert "no such host" in done.stderr
    assert "`docker compose up` failed with code 18; what it said is above" in said
    assert "what was fetched is kept" in said


def test_ctrl_c_lets_compose_end_by_itself_and_says_what_goes_on(clone):
    clone.written()
    (clone.docker / "up").write_text(
        'trap \'sleep 0.6; touch "$here/ended"; exit 130\' INT\ntouch "$here/begun"\n'
        "while :; do sleep 0.05; done\n"
    )
    process = subprocess.Popen(
        clone.command("up"),
        env=clone.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C reaches the whole group
    )
    wait_for("Compose", (clone.docker / "begun").exists, patience=30)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert (clone.docker / "ended").exists(), "it was given the time to end"
    assert "containers: stopped. Containers that were started go on; make down ends them" in err


# --- down ------------------------------------------------------------------------------------------


def in_terminal(clone: Clone, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a terminal to ask on, and type the answer."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        return subprocess.run(
            clone.command(*arguments),
            env=clone.environment(),
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def test_down_stops_the_services_of_all_profiles_and_keeps_the_data(clone):
    clone.written()
    done = clone.run("down", COMPOSE_PROFILES="celery")
    assert done.returncode == 0, done.stderr
    assert clone.calls("down") == ["compose --profile * down --remove-orphans"]
    assert "COMPOSE_PROFILES" not in clone.seen("down")
    assert "Its data are kept" in done.stdout


def test_down_needs_no_env_and_leaves_none(clone):
    assert clone.run("down").returncode == 0
    assert clone.seen("down")["POSTGRES_PASSWORD"], "for Compose to read the file"
    assert not clone.env.exists()
    assert not clone.work.exists()


@pytest.mark.parametrize("answer", ["yes\n", " YES \n"])
def test_volumes_are_deleted_after_a_yes(clone, answer):
    clone.written()
    done = in_terminal(clone, answer, "down", "--volumes")
    assert done.returncode == 0, done.stderr
    assert clone.calls("down") == ["compose --profile * down --remove-orphans --volumes"]
    assert "This deletes the containers' data: windtunnel_postgres" in done.stdout
    assert "Type yes" in done.stdout
    assert "Its data are deleted" in done.stdout
    assert clone.env.exists()


@pytest.mark.parametrize("answer", ["no\n", "\n", "y\n", "\x04"], ids=["no", "nothing", "y", "end of file"])
def test_nothing_is_deleted_or_stopped_after_anything_else(clone, answer):
    clone.written()
    said = refusal(in_terminal(clone, answer, "down", "--volumes"))
    assert "nothing was stopped or deleted" in said
    assert not clone.calls("down")


def test_without_a_terminal_volumes_need_a_yes_on_the_command_line(clone):
    clone.written()
    said = refusal(clone.run("down", "--volumes"))
    assert "there is no terminal to ask on" in said
    assert "make down ARGS='--volumes --yes'" in said
    assert not clone.calls("down")
    done = clone.run("down", "--volumes", "--yes")
    assert done.returncode == 0, done.stderr
    assert clone.calls("down") == ["compose --profile * down --remove-orphans --volumes"]


def test_yes_alone_deletes_nothing(clone):
    assert clone.run("down", "--yes").returncode == 0
    assert clone.calls("down") == ["compose --profile * down --remove-orphans"]


def test_a_down_that_fails_is_no_success(clone):
    clone.answer("down", "", "network windtunnel_default has active endpoints", code=1)
    done = clone.run("down")
    assert "`docker compose down` failed with code 1" in refusal(done)
    assert "active endpoints" in done.stderr
    assert "is down" not in done.stdout


# --- status, help, and where it runs ---------------------------------------------------------------


def test_status_shows_state_health_and_address_of_each_service(clone):
    clone.written()
    clone.there(
        scheduler={"Health": "unhealthy"},
        init={"State": "exited", "Health": ""},
        lab={},
        api_server={"State": "exited", "Health": "", "ExitCode": 137},
        worker_default={"Health": "starting"},
    )
    done = clone.run("status")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [
        ["SERVICE", "STATE", "HEALTH", "ADDRESS"],
        ["api-server", "exited", "(137)", "-"],
        ["init", "exited", "(0)", "-"],
        ["lab", "running", "healthy", f"http://127.0.0.1:{clone.ports['LAB_PORT']}"],
        ["scheduler", "running", "unhealthy"],
        ["worker-default", "running", "starting"],
    ]


def test_status_of_nothing_says_how_to_start(clone):
    done = clone.run("status")
    assert done.returncode == 0
    assert "Nothing is up. To start it: make up" in done.stdout
    assert not clone.env.exists()


def test_help_explains_every_command_and_needs_nothing(clone):
    whole = clone.run("--help", PATH="/nowhere")
    assert whole.returncode == 0
    for command in ("up", "down", "env", "status"):
        assert re.search(rf"^ +{command} +\w+", whole.stdout, re.M), command
        assert clone.run(command, "--help", PATH="/nowhere").returncode == 0
    assert "--observability" in clone.run("up", "--help").stdout
    assert clone.run(PATH="/nowhere").returncode == 2
    assert not clone.env.exists()


def test_it_is_written_for_python_3_8_and_its_standard_library():
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def test_real_pythons_from_3_8_on_run_it_and_older_ones_say_that_they_are_too_old(clone):
    found = {}
    for minor in range(6, 16):
        name = f"python3.{minor}"
        for place in filter(None, [shutil.which(name), *Path.home().glob(f".pyenv/versions/*/bin/{name}")]):
            if subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:  # no empty shim
                found[minor] = str(place)
    if not set(found) - {sys.version_info[1]}:
        pytest.skip("no other Python on this machine")
    old, new = [minor for minor in found if minor < 8], [minor for minor in found if minor >= 8]
    for minor in {*old[-1:], *new[:1], *new[-1:]}:
        python = found[minor]
        clone.env.unlink(missing_ok=True)
        command = [python, "-S", str(clone.script)]
        run = functools.partial(
            subprocess.run, env=clone.environment(), capture_output=True, text=True, timeout=60
        )
        done = run([*command, "up"])
        if minor < 8:
            assert f"Python 3.{minor} is too old" in refusal(done)
            continue
        assert done.returncode == 0, (python, done.stderr)
        assert "Windtunnel is up" in done.stdout
        clone.there(lab={"Health": "unhealthy"})
        assert "unhealthy" in run([*command, "status"]).stdout, python
        assert run([*command, "down", "--volumes", "--yes"]).returncode == 0, python
        clone.there()


def test_an_older_python_is_told_so(clone):
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))  # far enough to say it
    run = f"runpy.run_path({str(clone.script)!r}, run_name='__main__')"
    script = f"import runpy, sys; sys.version_info = (3, 6, 8); {run}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "Python 3.6 is too old; 3.8 or newer is needed" in refusal(done)


def test_make_runs_it_without_setting_anything_up():
    for target in ("up", "down"):
        done = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", target, "ARGS=--celery", "PYTHON=python3"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"python3 sandbox/containers.py {target} --celery\n"
