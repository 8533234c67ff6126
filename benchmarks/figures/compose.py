"""The containers of docker-compose.yaml with LocalExecutor, with Celery: their start, their memory, a core's time.

They have volumes of their own, empty at each first start; these only are deleted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.figures.memory import Shared, pss
from benchmarks.harness import Bench, Comparison, Subject, stopwatch
from windtunnel.airflow_env import ADMIN
from windtunnel.api import Airflow
from windtunnel.paths import repo_root
from windtunnel.ports import HOST

PROJECT = "windtunnel-bench"
EXECUTORS = {"Compose, LocalExecutor": "LocalExecutor", "Compose, Celery": "CeleryExecutor"}
PATIENCE = 600  # seconds for a start
SETTLED, WINDOW = 30.0, 30.0  # seconds, as for the others' memory and use of a core
UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
# Every process of the container. One that has just ended has no command line left.
LOOK = (
    "for p in /proc/[0-9]*; do cat $p/smaps_rollup 2>/dev/null "
    '|| { grep -aq . $p/cmdline 2>/dev/null && echo "unread $p"; }; done; true'
)
LOOKS = 5  # a health check of root's, which only root may look at, has ended by one of them
# Nanoseconds since the container's start, health checks included: in microseconds by cgroup 2.
USED = (
    "sed -n 's/usage_usec \\(.*\\)/\\1000/p' /sys/fs/cgroup/cpu.stat 2>/dev/null | grep . "
    "|| cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
)


def docker(*arguments: str, executor: str = "LocalExecutor", timeout: float | None = None) -> str:
    """What it prints. Raises RuntimeError with its last words."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=repo_root(),
        # Profiles are chosen here, call by call.
        env={name: value for name, value in os.environ.items() if name != "COMPOSE_PROFILES"}
        | {"AIRFLOW_EXECUTOR": executor},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"docker {' '.join(arguments[:8])}: {' '.join(said)}")
    return done.stdout


def compose(executor: str, *arguments: str) -> str:
    """What ``docker compose`` prints, for containers and volumes that are this benchmark's."""
    profile = ["--profile", "celery"] if executor == "CeleryExecutor" else []
    return docker("compose", "-p", PROJECT, "--progress", "quiet", *profile, *arguments, executor=executor)


def up(executor: str) -> float:
    """Seconds until all containers are healthy. A login must work then."""
    took = stopwatch()
    compose(executor, "up", "-d", "--wait", "--wait-timeout", str(PATIENCE), "--no-build", "--pull", "never")
    seconds = took()
    said = settings()
    airflow = Airflow(
        f"http://{HOST}:{said['AIRFLOW_PORT']}", username=ADMIN, password=said["AIRFLOW_PASSWORD"]
    )
    assert airflow.can_log_in()
    return seconds


def down(executor: str, *arguments: str) -> None:
    """Stop and remove the containers."""
    compose(executor, "down", "-t", "20", *arguments)


def sample(executor: str) -> dict[str, float]:
    """Everything about one executor: a start with empty volumes, one with what the first has made, then idle."""
    down(executor, "-v")  # what somebody has interrupted
    try:
        first = up(executor)
        down(executor)
        again = up(executor)
        time.sleep(SETTLED)
        services = compose(executor, "ps", "--services", "--status", "running").split()
        beside_lab = [service for service in services if service != "lab"]
        assert len(beside_lab) == len(services) - 1, services
        held = sum(memory(executor, service) for service in beside_lab)
        charged = sum(charges(compose(executor, "ps", "-q").split()))
        before = {service: used(executor, service) for service in beside_lab}
        time.sleep(WINDOW)
        share = sum(percent(before[service], used(executor, service)) for service in beside_lab)
        return {"first": first, "again": again, "memory": held / 1e6, "charged": charged / 1e6, "idle": share}
    finally:
        down(executor, "-v")


def inside(executor: str, service: str, script: str, *options: str) -> str:
    """What a shell in the container prints."""
    return compose(executor, "exec", "-T", *options, service, "sh", "-c", script)


def memory(executor: str, service: str) -> int:
    """Bytes of a container's processes: proportional set size.

    The kernel shows it to the processes' own user, and to root only with a capability that containers lack.
    """
    owner = inside(executor, service, "stat -c %u:%g /proc/1").strip()
    for _ in range(LOOKS):
        lines = inside(executor, service, LOOK, "--user", owner).splitlines()
        unread = [line for line in lines if line.startswith("unread")]
        if not unread:
            return pss(lines)["Pss"]
        time.sleep(1)
    raise RuntimeError(f"{service}: {', '.join(unread)}")


def used(executor: str, service: str) -> tuple[float, float]:
    """Now, and a core's time that a container has used so far; in seconds."""
    amount = int(inside(executor, service, USED)) / 1e9
    return time.monotonic(), amount


def percent(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Of a core, between two looks at the time `used`."""
    return 100 * (after[1] - before[1]) / (after[0] - before[0])


def charges(containers: Sequence[str]) -> Iterator[float]:
    """Bytes for each container, as ``docker stats`` has them."""
    for row in docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *containers).splitlines():
        amount = re.fullmatch(r"([\d.]+)([A-Za-z]+)", row.split(" / ")[0].strip())
        assert amount, row
        yield float(amount[1]) * UNITS[amount[2]]


def settings() -> dict[str, str]:
    """What ``.env`` says."""
    lines = (repo_root() / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def images() -> set[str]:
    """The images of both executors' containers."""
    return set(docker("compose", "--profile", "celery", "config", "--images", timeout=20).split())


def needs() -> str:
    """Docker with Compose, the settings, the images, and the ports of `make up`."""
    if shutil.which("docker") is None:
        return "there is no Docker"
    if not (repo_root() / ".env").is_file():
        return "there is no .env: `python3 sandbox/containers.py env` writes it"
    try:
        docker("compose", "version", timeout=20)
    except (RuntimeError, subprocess.TimeoutExpired):
        return "Docker has no Compose"
    try:
        for image in sorted(images()):
            try:
                docker("image", "inspect", image, timeout=20)
            except RuntimeError:
                docker("version", timeout=20)  # nobody answers: that is said instead
                return f"the image {image} is not here: `docker compose build` or `docker compose pull`"
        running = docker("compose", "ps", "-q", timeout=20).split()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "the containers of `make up` have the ports: `make down` first" if running else ""


def made_here() -> list[str]:
    """Official images, by name, that come from no registry: somebody has built them here."""
    base = re.findall(r"^FROM (\S+)", (repo_root() / "sandbox/Dockerfile").read_text(), re.MULTILINE)
    services = json.loads(docker("compose", "config", "--format", "json", timeout=20))["services"]
    ours = {service["image"] for service in services.values() if "build" in service}
    found = []
    for image in sorted((images() - ours) | set(base)):
        try:
            [record] = json.loads(docker("image", "inspect", image, timeout=20))
        except RuntimeError:
            continue  # a build may keep its base to itself
        if not record["RepoDigests"]:
            found.append(image)
    return found


def note() -> str:
    """What was measured, and on which images."""
    said = (
        "`docker compose up --wait` with the images built: first with empty volumes, then with what that has made. "
        "Health is looked at every ten seconds, so a start is as long as that makes it. Then idle, with the DAG files "
        f"of `work/`, paused: memory after {SETTLED:.0f} s, a core's time in the {WINDOW:.0f} s after that, health "
        "checks included. Proportional set size and a core's time are of all containers but JupyterLab's, which "
        "standalone and the sandbox do not have; what Docker charges is of all."
    )
    if others := made_here():
        said += f" Stand-ins, made on this machine, not the official images: {', '.join(others)}."
    return said


@contextmanager
def containers(_bench: Bench) -> Iterator[list[Comparison]]:
    """Each sample of an executor is both its starts."""
    samples = {side: Shared(partial(sample, executor)) for side, executor in EXECUTORS.items()}
    said = note()

    def comparison(figure: str, title: str, unit: str) -> Comparison:
        sides = {side: shared.figure(figure) for side, shared in samples.items()}
        return Comparison(f"compose-{figure}", title, unit, sides, rounds=3, quick=0, note=said)

    yield [
        comparison("first", "First start of the containers", "s"),
        comparison("again", "Later start of the containers", "s"),
        comparison("memory", "Memory of idle containers", "MB"),
        comparison("charged", "Memory of idle containers and JupyterLab, as Docker counts it", "MB"),
        comparison("idle", "Time of a core that idle containers use", "% of a core"),
    ]


SUBJECT = Subject(
    "compose",
    "the containers, with LocalExecutor and with Celery: start, memory, a core's time",
    containers,
    needs,
)
