"""Making the environment: what it says when it cannot, and that it does nothing when all is there."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxes import ROOT

CLOSED = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def clone(tmp_path):
    """A copy of what the environment is made from."""
    return copy_to(tmp_path / "clone")


def copy_to(folder: Path) -> Path:
    (folder / "sandbox").mkdir(parents=True, exist_ok=True)
    for name in ("sandbox/bootstrap.py", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def bootstrap(clone: Path, python: str = sys.executable, script: str = "", **extra: str):
    """Run it in ``clone`` without a network and with empty caches; ``script`` runs before it."""
    values = {
        "PATH": os.environ["PATH"],
        "HOME": str(clone.parent / "home"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": CLOSED,
        "PIP_RETRIES": "0",
        "PIP_CACHE_DIR": str(clone.parent / "pip-cache"),
        "UV_DEFAULT_INDEX": CLOSED,
        "UV_CACHE_DIR": str(clone.parent / "uv-cache"),
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
    }
    command = [python, str(clone / "sandbox/bootstrap.py")]
    if script:
        run = (
            f"sys.argv = [{command[1]!r}]; import runpy; runpy.run_path({command[1]!r}, run_name='__main__')"
        )
        command = [python, "-c", f"import sys; {script}; {run}"]
    return subprocess.run(command, env=values | extra, capture_output=True, text=True, timeout=180)


def make_environment(clone: Path) -> None:
    """An environment that looks finished, without packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    (clone / ".venv/.made-from").write_text(module(clone).digest())


def module(clone: Path):
    """The bootstrap of that clone as a module."""
    spec = importlib.util.spec_from_file_location("bootstrap_of_clone", clone / "sandbox/bootstrap.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    loaded.START = 0.0
    return loaded


def listing(folder: Path) -> dict[str, int]:
    """Every file below ``folder`` with its date."""
    return {
        str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in str(path)
    }


# --- which Python ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(2, 7), (3, 10), (3, 14)])
def test_a_python_of_the_wrong_version_is_told_so_with_the_next_step(clone, version):
    done = bootstrap(clone, script=f"sys.version_info = {(*version, 1)}", PATH="/nowhere")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"Python {version[0]}.{version[1]} is not supported" in done.stderr
    assert "needs 3.11 to 3.13" in done.stderr
    assert "Next: install one of them, or name it: make lab PYTHON=" in done.stderr
    assert not (clone / ".venv").exists()


def old_pythons() -> list[str]:
    """Real interpreters that are too old, as far as this machine has any."""
    found = []
    for name in ("python2.7", "python3.6", "python3.7", "python3.8", "python3.9", "python3.10"):
        places = [shutil.which(name), *Path.home().glob(f".pyenv/versions/*/bin/{name}")]
        for place in filter(None, places):
            asked = subprocess.run(
                [place, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
            )
            if asked.returncode == 0:
                found.append(asked.stdout.strip())
                break
    return found


def test_a_real_old_python_can_still_read_the_file_and_say_that_it_is_too_old(clone):
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.11 on this machine")
    for python in pythons:
        done = bootstrap(clone, python=python, PATH="/nowhere")
        assert done.returncode == 1, (python, done.stderr)
        assert "is not supported" in done.stderr, (python, done.stderr)
        assert "Traceback" not in done.stderr, (python, done.stderr)


def test_a_right_python_on_the_path_takes_over_and_a_shim_without_one_is_passed_by(clone, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "python3.13": "#!/bin/sh\nexit 127\n",
        "python3.12": '#!/bin/sh\n[ "$1" = -c ] || echo "took over: $1"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    done = bootstrap(clone, script="sys.version_info = (3, 9, 1)", PATH=str(programs))
    assert done.returncode == 0
    assert done.stdout.startswith("took over: ")
    assert done.stdout.strip().endswith("bootstrap.py")


# --- nothing to do ---------------------------------------------------------------------------------


def test_when_all_is_there_it_says_nothing_and_changes_nothing(clone):
    make_environment(clone)
    before = listing(clone)
    done = bootstrap(clone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert listing(clone) == before


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "sandbox/bootstrap.py"])
def test_a_change_in_what_it_is_made_from_makes_it_anew(clone, name):
    make_environment(clone)
    (clone / name).write_text((clone / name).read_text() + "\n# changed\n")
    assert not module(clone).is_ready(module(clone).digest())


def test_a_moved_clone_gets_a_new_environment_instead_of_running_the_old_ones_scripts(clone, tmp_path):
    make_environment(clone)
    assert module(clone).is_usable()
    moved = tmp_path / "moved"
    clone.rename(moved)
    done = bootstrap(moved)
    assert "making .venv" in done.stdout
    assert str(moved / ".venv") in (moved / ".venv/bin/activate").read_text()
    assert done.returncode == 1  # there is no network to go on with


# --- no network, no room ---------------------------------------------------------------------------


def test_without_a_network_it_says_what_failed_and_that_the_same_command_goes_on(clone):
    done = bootstrap(clone)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pip install uv failed" in done.stderr
    assert "Next: the network did not answer" in done.stderr
    assert "type the same again" in done.stderr
    assert re.search(r"\d s  making \.venv", done.stdout)
    again = bootstrap(clone)
    assert again.returncode == 1
    assert "making .venv" not in again.stdout, "what was done is kept"


def test_without_a_network_uv_too_is_explained(clone, capsys, monkeypatch, tmp_path):
    uv = Path(sys.prefix, "bin/uv")
    if not uv.exists():
        pytest.skip("uv is not installed in this environment")
    monkeypatch.setenv("UV_DEFAULT_INDEX", CLOSED)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    made = module(clone)
    install = [str(uv), "pip", "sync", "--python", made.python(), "--require-hashes", made.LOCK]
    with pytest.raises(SystemExit) as ended:
        made.run(install, "uv pip sync", "hint")
    assert ended.value.code == 1
    assert "Next: the network did not answer" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    options = ["-o", "size=20m", "windtunnel-test", str(small)]
    mounted = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        done = bootstrap(copy_to(small))
        assert done.returncode == 1
        assert re.search(rf"the disk of {small} has \d+ MB free; 3000 MB are needed", done.stderr)
        assert "Next: make room and type the same again" in done.stderr
        assert not (small / ".venv").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_disk_that_fills_up_on_the_way_is_named(clone, capsys):
    say = "import sys; sys.exit('OSError: [Errno 28] No space left on device')"
    with pytest.raises(SystemExit):
        module(clone).run([sys.executable, "-c", say], "uv pip sync", "hint")
    assert "Next: make room on the disk of" in capsys.readouterr().err
