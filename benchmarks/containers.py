"""Start time and memory of docker-compose.yaml with each executor: LocalExecutor, Celery, LocalExecutor, Celery, …

With Docker, a `.env`, the image built, and the containers of `make up` down: ``python benchmarks/containers.py``. It
has volumes of its own, which are empty at each first start, and deletes these only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "containers.json"
SETTLING = 20  # seconds between the last green light and the look at memory
UNITS = {"MiB": 1, "GiB": 1024, "KiB": 1 / 1024}


def compose(project: str, executor: str, *arguments: str) -> str:
    """Run it, and return what it prints."""
    profile = ["--profile", "celery"] if executor == "CeleryExecutor" else []
    done = subprocess.run(
        ["docker", "compose", "-p", project, "--progress", "quiet", *profile, *arguments],
        cwd=ROOT,
        env=os.environ | {"AIRFLOW_EXECUTOR": executor},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def memory(project: str, executor: str) -> dict[str, float]:
    """Megabytes (2**20) of each service, as `docker stats` has them."""
    ids = compose(project, executor, "ps", "-q").split()
    rows = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = {}
    for row in rows:
        name, used = row.split(" / ")[0].split()
        found[name.removeprefix(f"{project}-").rsplit("-", 1)[0]] = float(used[:-3]) * UNITS[used[-3:]]
    return found


def write(results: object, images: str) -> None:
    """Keep what has been measured so far."""
    where = {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg(), "images": images}
    RESULT.write_text(json.dumps({"machine": where, "results": results}, indent=1) + "\n")


def main() -> None:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", default="official", help="what the images are: a word for the result")
    options = parser.parse_args()
    results: dict[str, dict[str, list[object]]] = {}
    for _ in range(options.rounds):
        for executor in ("LocalExecutor", "CeleryExecutor"):
            mine = results.setdefault(executor, {"first": [], "again": [], "memory": []})
            project = "windtunnel-bench"
            for kind in ("first", "again"):  # with empty volumes, then with what the first has made
                start = time.monotonic()
                compose(project, executor, "up", "-d", "--wait", "--wait-timeout", "600", "--no-build")
                mine[kind].append(round(time.monotonic() - start, 1))
                if kind == "again":
                    time.sleep(SETTLING)
                    mine["memory"].append(memory(project, executor))
                compose(project, executor, "down", "-t", "20", *(["-v"] if kind == "again" else []))
            write(results, options.images)
            print(executor, {name: values[-1] for name, values in mine.items()}, flush=True)
    for executor, mine in results.items():
        total = [sum(each.values()) for each in mine["memory"]]  # type: ignore[attr-defined]
        first, again = statistics.median(mine["first"]), statistics.median(mine["again"])
        print(f"{executor}: first start {first} s, again {again} s, {statistics.median(total):.0f} MiB")


if __name__ == "__main__":
    main()
