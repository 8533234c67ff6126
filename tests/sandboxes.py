"""What the tests of a real sandbox share: patience, DAGs, the command, and being somebody else."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from windtunnel import processes
from windtunnel.errors import WindtunnelError
from windtunnel.paths import dags_dir
from windtunnel.postgres import Postgres
from windtunnel.sandbox import Sandbox

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
COMMAND = str(Path(sys.executable).parent / "windtunnel")
PATIENCE = 180.0  # seconds; how fast things are is measured elsewhere


def wait_for(what: str, look: Callable[[], T], patience: float = PATIENCE) -> T:
    """What ``look`` returns once it is true; fails, naming ``what``, when it never is."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {patience:.0f} s for {what}; last seen: {found!r}"
        time.sleep(0.05)
    return found


# --- DAGs ------------------------------------------------------------------------------------------


def save_dag(sandbox: Sandbox, dag_id: str, source: str, dags: Path | None = None) -> None:
    """Put a DAG file where the sandbox looks, wait until it is known, and unpause it.

    ``dags``: that folder, for a sandbox that is not this process's own.
    """
    ((dags or dags_dir()) / f"{dag_id}.py").write_text(textwrap.dedent(source))
    airflow = sandbox.airflow()
    wait_for(f"the DAG {dag_id}", lambda: knows(sandbox, dag_id))
    airflow.pause(dag_id, False)


def knows(sandbox: Sandbox, dag_id: str) -> bool:
    """Whether the sandbox's Airflow knows the DAG."""
    try:
        sandbox.airflow().dag(dag_id)
    except WindtunnelError:
        return False
    return True


def run_state(sandbox: Sandbox, dag_id: str, run_id: str) -> str:
    """The run's state; empty while Airflow does not answer, which some tests bring about."""
    try:
        return str(sandbox.airflow().run(dag_id, run_id).state.value)
    except WindtunnelError:
        return ""


def task_states(sandbox: Sandbox, dag_id: str, run_id: str) -> dict[str, str]:
    """State of each task of the run."""
    found = sandbox.airflow().task_instances(dag_id, run_id)
    return {instance.task_id: instance.state.value if instance.state else "" for instance in found}


def run_to_end(sandbox: Sandbox, dag_id: str, run_id: str | None = None) -> str:
    """Wait for the run, or for a new one, to end; returns its final state."""
    run_id = run_id or sandbox.airflow().trigger(dag_id, None, None)

    def ended() -> str:
        state = run_state(sandbox, dag_id, run_id)
        return state if state in ("success", "failed") else ""

    return wait_for(f"the end of {run_id} of {dag_id}", ended)


# Each step commits a row of its own; the long one is what a fault falls into.
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


# --- the command -----------------------------------------------------------------------------------


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """Variables for a command whose state and work folders are below ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WINDTUNNEL_")}
    own = {"WINDTUNNEL_STATE": str(folder / "state"), "WINDTUNNEL_WORK": str(folder / "work")}
    return kept | own | {"COLUMNS": "200"} | extra


def windtunnel(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the sandbox below ``folder``; ``extra`` are environment variables."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(folder, **extra),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What the command said when it refused: one message with a next step and no traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said, said
    assert done.stderr.count("✗") == 1, said
    assert "Next:" in done.stderr, said
    return " ".join(done.stderr.split())


# --- processes -------------------------------------------------------------------------------------


def belonging(sandbox: Sandbox) -> set[psutil.Process]:
    """Every process of the sandbox: those with its mark, and all below its launcher and its Postgres."""
    found = set(processes.marked(sandbox.state.config()["id"]))
    for process in list(found):
        try:
            found |= set(process.children(recursive=True))
        except psutil.Error:
            continue
    return found


def alive(found: set[psutil.Process]) -> set[psutil.Process]:
    """Those that still run. An id that was given to a new process does not count."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return {process for process in found if runs(process)}


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that others may pass through, for root's Postgres runs under another account.

    Not one of pytest's: each of its runs closes them all to others when it begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="windtunnel tests ü "))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- somebody else ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlainUser:
    """Somebody without privileges: a folder of theirs, and what puts a command into their hands."""

    folder: Path
    prefix: list[str]

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        """Start a command as them."""
        return subprocess.Popen(
            [*self.prefix, *command],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as them, to its end."""
        process = self.start(command, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


# In a mount namespace of its own, closed folders on the way to the interpreter are laid over by open ones:
# nothing changes for anybody else.
_OPEN_UP = """
set -e
scratch=$1; shift
mount -t tmpfs windtunnel "$scratch"
while [ "$1" != -- ]; do
    layer=$(mktemp -d "$scratch/XXXXXX")
    mkdir "$layer/up" "$layer/work"
    mount -t overlay windtunnel -o "lowerdir=$1,upperdir=$layer/up,workdir=$layer/work" "$1"
    chmod a+rx "$1"
    shift
done
shift
exec setpriv --reuid="$NOBODY_UID" --regid="$NOBODY_GID" --clear-groups "$@"
"""


def plain_user_or_reason(folder: Path) -> PlainUser | str:
    """A plain user with a folder, or the reason why there cannot be one here."""
    if os.geteuid() != 0:
        return PlainUser(folder, [])
    nobody = pwd.getpwnam("nobody")
    home, scratch = folder / "plain user", folder / "scratch"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    scratch.mkdir()
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        return "root cannot become a plain user here: setpriv or unshare is missing"
    places = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT}
    closed = {parent for place in places for parent in place.parents if not parent.stat().st_mode & 0o001}
    variables = [f"NOBODY_UID={nobody.pw_uid}", f"NOBODY_GID={nobody.pw_gid}"]
    prefix = ["env", *variables, "unshare", "--mount", "sh", "-c", _OPEN_UP, "sh", str(scratch)]
    user = PlainUser(home, [*prefix, *map(str, sorted(closed)), "--"])
    tried = user.run([sys.executable, "-c", "import windtunnel"], PATH=os.environ["PATH"])
    if tried.returncode:
        return f"a plain user cannot run {sys.executable} here: {tried.stderr.strip()}"
    return user
