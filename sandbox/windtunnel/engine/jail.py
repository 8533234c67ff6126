"""What keeps an answer away from everything but its own run: namespaces, a root of its own, limits.

Three layers, each used where the system allows it: namespaces (``enclose``; own processes, own network, own
files), Landlock (files, TCP and signals, for when namespaces are forbidden, as in most containers), and
resource limits (everywhere). ``enforced`` says which there are, ``missing`` what is therefore not enforced.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from windtunnel.engine import kernel

ISOLATION = "WINDTUNNEL_ISOLATION"  # "landlock" or "none": do with less than there is, to see how that does
MEMORY = 3 << 30  # bytes a process may allocate beyond what it starts with
FILE = 256 << 20  # bytes of the largest file
DISK = 512 << 20  # bytes of all files together; only with namespaces
FILES = 50_000  # on that disk, folders counted
PROCESSES = 128  # of one answer at a time, threads counted
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc")
HIDDEN = ("exercises", "solutions", "tests", "work")  # of the clone, should it be in one of these
DEVICES = ("null", "zero", "full", "random", "urandom")
_THROWAWAY = 61_184  # first of the user ids that systemd, too, hands out for processes nobody owns


@dataclass(frozen=True)
class Jail:
    """Where an answer runs. ``scratch`` is the only folder it may write; ``ports`` the only ones it reaches."""

    scratch: Path
    readable: tuple[Path, ...]
    ports: tuple[int, ...] = ()
    root: Path | None = None  # the prepared root; None where namespaces are not allowed
    user: int | None = None  # whom to become; None: stay who we are
    seconds: int = 60  # of CPU, for each process


def python_paths() -> tuple[Path, ...]:
    """What any Python of this environment must be able to read."""
    package = Path(__file__).resolve().parents[2]
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], package}
    outer = [path for path in found if not any(other in path.parents for other in found)]
    return tuple(sorted(path for path in outer if not str(path).startswith("/usr/")))


def enclose(folder: Path) -> None:
    """Take this process out of the machine's network and mounts, and put a disk of its own at ``folder``.

    Raises OSError where that is not allowed; nothing has changed then. The processes it forks after
    ``apart`` see none outside.
    """
    user, group = os.getuid(), os.getgid()
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    if user:
        kernel.unshare(flags | kernel.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    else:
        kernel.unshare(flags)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    disk(folder)
    kernel.loopback_up()


def disk(folder: Path) -> None:
    """Put a small disk at ``folder``: what fills it fills nothing else."""
    kernel.mount(
        "tmpfs",
        folder,
        "tmpfs",
        kernel.MS_NOSUID | kernel.MS_NODEV,
        f"size={DISK},nr_inodes={FILES},mode=0711",
    )


def apart() -> None:
    """Have the next fork be the first of its own world of processes: when it ends, all of them end."""
    kernel.unshare(kernel.CLONE_NEWPID)


def build_root(root: Path, scratch: Path, readable: tuple[Path, ...]) -> None:
    """Make ``root``, an empty folder, look like this machine with nothing on it but what is listed.

    To be called by the first process after ``apart``; its own /proc shows its own world from then on, too.
    """
    _processes(Path("/proc"))
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    (root / "tmp").mkdir()
    kernel.bind(scratch / "tmp", root / "tmp", writable=True)  # first: what follows may be somewhere in /tmp
    for name in (*SYSTEM, *map(str, readable)):
        source = Path(name)
        target = root / name.lstrip("/")
        if source.is_symlink() and name in SYSTEM:
            target.symlink_to(source.readlink())  # /bin -> usr/bin
        elif source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            kernel.bind(source, target)
    clone = root / str(Path(__file__).resolve().parents[3]).lstrip("/")
    for name in HIDDEN:
        if (clone / name).is_dir():
            kernel.mount(
                "tmpfs", clone / name, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k,mode=0755"
            )
    (root / "dev").mkdir()
    for name in DEVICES:
        (root / "dev" / name).touch()
        kernel.bind(Path("/dev", name), root / "dev" / name, writable=True)
    inside = root / str(scratch).lstrip("/")
    inside.mkdir(parents=True, exist_ok=True)
    kernel.bind(scratch, inside, writable=True)
    kernel.bind(scratch / "dags", inside / "dags")
    (root / "proc").mkdir()
    _processes(root / "proc")
    shut = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("", root, flags=shut)


def _processes(target: Path) -> None:
    """Show the processes of this world at ``target``. A container that hides parts of /proc forbids it."""
    kernel.mount("proc", target, "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def confine(jail: Jail) -> None:
    """Lock this process in for good. What it may still do afterwards is all that an answer can do."""
    if jail.root is not None:
        os.chroot(jail.root)
        os.chdir(jail.scratch / "tmp")
    else:
        os.chdir(jail.scratch / "tmp")
        if landlock_version():
            devices = [Path("/dev", name) for name in DEVICES]
            readable = [*map(Path, SYSTEM), *jail.readable, Path("/proc")]
            kernel.landlock(readable, [jail.scratch, *devices], list(jail.ports))
    _limit(jail)
    if jail.user is not None:
        os.setgroups([])
        os.setresgid(jail.user, jail.user, jail.user)
        os.setresuid(jail.user, jail.user, jail.user)
        kernel.no_new_privileges()
    elif sys.platform == "linux":
        kernel.give_up_capabilities()
        kernel.hide_memory(
            hidden=False
        )  # inherited from the bench, which must see how much there is (``memory``)
    if kernel.can_refuse_calls():
        kernel.refuse_calls(datagrams=jail.root is not None)


def remove(folder: Path) -> None:
    """Remove a folder that an answer could write: it may be closed, and deeper than Python's own way goes."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["rm", "-rf", folder], check=False, **quiet)  # type: ignore[call-overload]


def throwaway() -> int:
    """The user id under which root runs an answer: it owns nothing, and shares with no other check."""
    return _THROWAWAY + os.getpid() % 4_000


def _limit(jail: Jail) -> None:
    sizes = {
        resource.RLIMIT_AS: _address_space() + MEMORY,
        resource.RLIMIT_FSIZE: FILE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 512,
        resource.RLIMIT_NPROC: PROCESSES + (0 if jail.root else _processes_of_this_user()),
        resource.RLIMIT_CPU: jail.seconds,
    }
    for which, size in sizes.items():
        hard = resource.getrlimit(which)[1]
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit on addresses
            resource.setrlimit(which, (most, most))


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2 << 30


def _processes_of_this_user() -> int:
    import psutil

    me = os.getuid()
    return sum(
        each.info["uids"] is not None and each.info["uids"].real == me
        for each in psutil.process_iter(["uids"])
    )


@functools.cache
def namespaces() -> bool:
    """Whether this user may have namespaces here, found out by trying in a process of its own."""
    if sys.platform != "linux" or os.environ.get(ISOLATION) in ("landlock", "none"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            try:
                enclose(Path(folder))
                apart()
                first = os.fork()
                if first == 0:
                    _processes(Path("/proc"))
                    os._exit(0)
                os._exit(int(os.waitpid(first, 0)[1] != 0))
            finally:  # whatever went wrong, the answer is no
                os._exit(1)
        return os.waitpid(child, 0)[1] == 0


def landlock_version() -> int:
    """The version of Landlock that there is to be used; 0 for none."""
    return 0 if os.environ.get(ISOLATION) == "none" else kernel.landlock_version()


def missing() -> list[str]:
    """What is not enforced on this machine, in words for a person; empty where everything is."""
    filtered = kernel.can_refuse_calls()
    if namespaces():
        return [] if filtered else ["an answer can hide memory from what limits it"]
    version = landlock_version()
    gaps = [
        "an answer's files together may be larger than one file's limit",
        "processes may outlive a check that is killed",
    ]
    if sys.platform == "linux" and os.getuid() == 0:
        gaps.append("an answer can start processes without number: run checks as an ordinary user")
    if version < 6:
        gaps.append("an answer can send signals to your other processes")
    if version < 4:
        gaps.append("an answer can reach the network")
    elif not filtered:
        gaps.append("an answer can send UDP packets")
    if not filtered:
        gaps.append("an answer can connect to local services of yours, this engine among them")
    if not version:
        gaps.append("an answer can read what you can read, and write it")
    elif any(Path(name) in Path(__file__).resolve().parents for name in SYSTEM):
        gaps.append("an answer can read the course's solutions: the clone is in a folder of the system's")
    return gaps
