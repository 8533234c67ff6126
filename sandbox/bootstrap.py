"""Make the environment, from nothing but Python 3.11+ with venv: `make` runs this before everything else.

Second runs are free: the environment carries the digest of what it was made from. Runs on old Pythons far
enough to say that they are too old, so nothing modern stands in this file.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
LOCK = os.path.join(ROOT, "requirements.lock")
STAMP = os.path.join(VENV, ".made-from")
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_MB = 3000


def fail(message, next_step):
    """Say what is wrong and what to do, and end."""
    sys.stderr.write("\nmake: %s\nNext: %s\n" % (message, next_step))
    sys.exit(1)


def step(text):
    """One line of progress with the time since the start."""
    print("  %4.0f s  %s" % (time.time() - START, text))
    sys.stdout.flush()


def right_python():
    """This interpreter if its version will do, else re-run under one from PATH that does."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        other = getattr(shutil, "which", lambda name: None)("python3.%d" % minor)  # Python 2 has none
        # A shim on PATH may stand for a version that is not installed: ask it.
        if other and subprocess.call([other, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(other, [other] + sys.argv)
    fail(
        "Python %d.%d is not supported, and no other was found; Windtunnel needs 3.%d to 3.%d."
        % (sys.version_info[0], sys.version_info[1], OLDEST[1], NEWEST[1]),
        "install one of them, or name it: make lab PYTHON=/path/to/python3.12",
    )


def digest():
    """Of everything the environment is made from."""
    found = hashlib.sha256()
    for path in (LOCK, os.path.join(ROOT, "pyproject.toml"), os.path.abspath(__file__)):
        with open(path, "rb") as file:
            found.update(file.read())
    found.update(VENV.encode())  # scripts in it name its path: a moved clone needs a new one
    return found.hexdigest()


def is_ready(wanted):
    """Whether the environment is whole and made from today's files."""
    try:
        with open(STAMP) as file:
            return file.read() == wanted and os.path.exists(python())
    except OSError:
        return False


def is_usable():
    """Whether the environment has a working interpreter, and was made where it is now."""
    try:
        with open(os.path.join(VENV, "bin", "activate")) as file:
            # Its scripts name the interpreter by its full path: a moved clone's would run another's, or none.
            made_here = VENV in file.read()
        return made_here and subprocess.call([python(), "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def python():
    """The environment's interpreter."""
    return os.path.join(VENV, "bin", "python")


def run(command, what, hint):
    """Run a step quietly; on failure show the end of what it said."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    if done.returncode:
        lines = [line for line in done.stdout.strip().splitlines() if line.strip()]
        text = "\n".join(lines[-8:])
        if re.search(r"No space left|os error 28", text):
            hint = "make room on the disk of %s (%d MB are needed) and type the same again." % (
                ROOT,
                NEEDED_MB,
            )
        elif re.search(
            r"certificate|resolve|dns|Connection|connect|unreachable|timed out|No matching distribution",
            text,
            re.I,
        ):
            hint = (
                "the network did not answer: check it, or the proxy and index settings of pip and uv, "
                "and type the same again; what was fetched is kept."
            )
        fail("%s failed:\n%s" % (what, text), hint)


def uv_requirement(folder):
    """uv's own entry of the lock, with its hashes, as a requirements file for pip."""
    with open(LOCK) as file:
        entry = re.search(r"^uv==.*?(?=^\S|\Z)", file.read(), re.M | re.S)
    path = os.path.join(folder, "uv.txt")
    with open(path, "w") as file:
        file.write(entry.group(0))
    return path


def main():
    """Make the environment unless it is there."""
    right_python()
    wanted = digest()
    if is_ready(wanted):
        return
    if shutil.disk_usage(ROOT).free < NEEDED_MB * 2**20:
        fail(
            "the disk of %s has %d MB free; %d MB are needed."
            % (ROOT, shutil.disk_usage(ROOT).free // 2**20, NEEDED_MB),
            "make room and type the same again.",
        )
    print("Setting up Windtunnel's environment in .venv (once; about 1.3 GB).")
    again = "type the same again; if it happens again, remove .venv first."
    if not is_usable():
        step("making .venv with Python %d.%d" % sys.version_info[:2])
        shutil.rmtree(VENV, ignore_errors=True)
        run(
            [sys.executable, "-m", "venv", VENV],
            "python -m venv",
            "on Debian and Ubuntu: sudo apt install python3-venv; then type the same again.",
        )
    step("fetching uv, the installer")
    with tempfile.TemporaryDirectory() as folder:
        run(
            [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            + ["-r", uv_requirement(folder)],
            "pip install uv",
            again,
        )
    # The system's certificates, as pip uses them: a network with an inspecting proxy has its own.
    uv = [os.path.join(VENV, "bin", "uv"), "--system-certs", "pip"]
    with open(LOCK) as file:
        count = len(re.findall(r"^\S+==", file.read(), re.M))
    step("installing about %d packages, every one checked by its hash" % count)
    # Bytecode is left to Python, which keeps what it compiles as it imports: a third of the 15,000 files is
    # ever imported, and compiling all took as long as everything else up to the first page.
    run(
        uv + ["sync", "--python", python(), "--require-hashes", LOCK],
        "uv pip sync",
        again,
    )
    step("installing Windtunnel itself")
    run(
        uv + ["install", "--python", python(), "--no-deps", "--no-build-isolation", "--editable", ROOT],
        "uv pip install",
        again,
    )
    with open(STAMP, "w") as file:
        file.write(wanted)
    step("done")


if __name__ == "__main__":
    START = time.time()
    try:
        main()
    except KeyboardInterrupt:
        sys.stderr.write("\nmake: stopped. Type the same again to go on; what was fetched is kept.\n")
        sys.exit(130)
