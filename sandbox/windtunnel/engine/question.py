"""One question about an answer, in processes of its own: an outside world, and a bench that nothing gets out of."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.engine import bench, jail, kernel, learner
from windtunnel.engine.outside import Outside
from windtunnel.engine.preload import Loaded

GRACE = 20.0  # seconds beyond the limits of what is asked, for the bench's own work
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
FOLDERS = ("data", "dags", "tmp", "home")


@dataclass(frozen=True)
class Ground:
    """What all questions of one check have in common."""

    loaded: Loaded
    namespaces: bool


def answer(ground: Ground, question: Mapping[str, Any], database: int, folder: Path) -> dict[str, Any]:
    """The reply to ``question``: ``{"found": …}``, ``{"lost": why}`` or ``{"broken": why}``.

    ``folder`` is empty and ours. ``database`` is a descriptor: the parsed answer's database is written to it by
    the question "parse", and read from it by the others. To be called in a fork made for it.
    """
    scratch = folder / "scratch"
    if ground.namespaces:
        jail.enclose(folder)
        scratch.mkdir()
        jail.disk(scratch)
    else:
        scratch.mkdir()
    for name in FOLDERS:
        (scratch / name).mkdir()
    scratch.chmod(0o711)
    user = jail.throwaway() if ground.namespaces and os.getuid() == 0 else None
    for name in FOLDERS:
        if user is not None and name != "dags":
            os.chown(scratch / name, user, user)
    file = scratch / "dags" / question["name"]
    file.write_bytes(bytes.fromhex(question["source"]))
    file.chmod(0o644)

    cases = question.get("cases") or []
    outside = Outside(cases)
    cell = jail.Jail(
        scratch=scratch,
        readable=jail.python_paths(),
        ports=tuple(outside.ports),
        root=folder / "root" if ground.namespaces else None,
        user=user,
        seconds=int(question["seconds"]) + 5,
    )
    place = bench.Place(file, scratch / "data", cell, environment(scratch), question["seconds"])
    try:
        with outside:
            reply = _in_its_own_world(
                lambda: _work(ground, question, database, folder, place, outside),
                question["seconds"] * max(1, len(cases)) + GRACE,
                ground.namespaces,
                what(question),
            )
            received = outside.received()
    finally:
        if not ground.namespaces:
            sweep()
    for run, requests in zip(reply.get("found", ()) if cases else (), received, strict=False):
        run["received"] = requests
    return reply


def what(question: Mapping[str, Any]) -> str:
    """What is being done, for messages."""
    if question["do"] == "run":
        return "the run for " + ", ".join(case["date"] for case in question["cases"])
    return "importing your file" if question["do"] == "parse" else f"{question['function']}(…)"


def _in_its_own_world(
    work: Callable[[], Any], seconds: float, namespaces: bool, doing: str
) -> dict[str, Any]:
    """What ``work`` returns, done in a fork that is the first process of its own world where there can be one."""
    ours, theirs = os.pipe()
    if namespaces:
        jail.apart()
    else:
        kernel_adopt()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _first_process(work, theirs)
    os.close(theirs)
    reply = _read(ours, seconds)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # with it goes all that it started
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if reply is None:
        return {"lost": f"Stopped: {doing} took more than {seconds:g} s."}
    if not reply:
        return {
            "lost": f"Whoever watched {doing} was ended ({code}): does the file kill processes, or fill memory?"
        }
    found: dict[str, Any] = json.loads(reply)
    return found


def kernel_adopt() -> None:
    """Where there are no namespaces, at least know every process that was started."""
    if sys.platform == "linux":
        kernel.adopt_orphans()


def sweep() -> None:
    """End every process that descends from this one."""
    import psutil

    for _ in range(10):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(left, timeout=1)


def _first_process(work: Callable[[], Any], pipe: int) -> None:
    """Never returns."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if sys.platform == "linux":
            kernel.hide_memory()
        try:
            found = {"found": work()}
        except learner.Stopped as stopped:
            found = {"lost": str(stopped)}
        except MemoryError:
            found = {"lost": "Stopped: it used more memory than there is for it."}
        except BaseException as error:
            found = {"broken": "".join(traceback.format_exception(error))[-4_000:]}
        with os.fdopen(pipe, "wb") as out:
            out.write(json.dumps(found, default=str).encode())
    finally:
        os._exit(0)


def _read(pipe: int, seconds: float) -> bytes | None:
    """All that comes through ``pipe``; None when it takes longer than ``seconds``."""
    import select

    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    with os.fdopen(pipe, "rb", buffering=0) as source:
        while True:
            if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            part = source.read(1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)


def _work(
    ground: Ground,
    question: Mapping[str, Any],
    database: int,
    folder: Path,
    place: bench.Place,
    outside: Outside,
) -> Any:
    """In the first process: answer the question."""
    private = folder / "private"
    private.mkdir(mode=0o700)
    if place.cell.root is not None:
        place.cell.root.mkdir()
        jail.build_root(place.cell.root, place.cell.scratch, place.cell.readable)
    if question["do"] == "call":
        return bench.call(place, question["function"], question["arguments"])
    base = private / "airflow.db"
    # pread: questions are answered side by side, and share the descriptor's position.
    known = os.pread(database, os.fstat(database).st_size, 0)
    base.write_bytes(known or Path(ground.loaded.database).read_bytes())
    ground.loaded.use(base, place.answer.parent)
    if question["do"] == "parse":
        found = bench.parse(place)
        ground.loaded.close()
        with os.fdopen(os.dup(database), "wb") as target, base.open("rb") as source:
            shutil.copyfileobj(source, target)
        return found
    api = ground.loaded.client()
    runs = []
    for case, url in zip(question["cases"], outside.urls, strict=True):
        # The connections are the sandbox's: see ``windtunnel.airflow_env``.
        address = json.dumps({"conn_type": "http", "host": url})
        variables = {
            "WINDTUNNEL_DATA": str(place.data),
            "AIRFLOW_CONN_SHOP_API": address,
            "AIRFLOW_CONN_WEATHER_API": address,
        }
        os.environ |= {key: value for key, value in variables.items() if key.startswith("AIRFLOW_CONN_")}
        runs.append(bench.run(place, api, question["dag_id"], case, variables))
    return runs


def environment(scratch: Path) -> dict[str, str]:
    """Little of the reader's environment, so that an answer behaves here as anywhere."""
    airflow = {key: value for key, value in os.environ.items() if key.startswith(("AIRFLOW_", "AIRFLOW__"))}
    secret = {"AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"}
    return {
        **{key: os.environ[key] for key in KEPT if key in os.environ},
        **{key: value for key, value in airflow.items() if key not in secret},
        "AIRFLOW__CORE__DAGS_FOLDER": str(scratch / "dags"),
        "HOME": str(scratch / "home"),
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TMPDIR": str(scratch / "tmp"),
        "WINDTUNNEL_DATA": str(scratch / "data"),
    }
