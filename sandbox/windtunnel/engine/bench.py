"""A bench: what answers questions about one answer, closed off from everything else.

Three processes. The outermost encloses itself and waits. The outside world is forked from it, where the answer
cannot see it. The last is the first process of its own world: it owns the database, schedules, and answers the
judge; when it ends, the kernel ends all that it started.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.engine import cell as cells
from windtunnel.engine import jail, kernel, learner, scheduler
from windtunnel.engine.outside import Outside
from windtunnel.engine.preload import Loaded

KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
LENGTH = struct.Struct("!Q")


@dataclass(frozen=True)
class Ground:
    """What all benches of a process have in common."""

    loaded: Loaded
    namespaces: bool
    checks: Path  # where each check has its folder, named by its judge's process


def send(pipe: socket.socket, message: Any) -> None:
    """Send something as JSON."""
    text = json.dumps(message, default=str).encode()
    pipe.sendall(LENGTH.pack(len(text)) + text)


def receive(pipe: socket.socket) -> Any:
    """What was sent next. Raises EOFError when there is no more, TimeoutError as the socket says."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return json.loads(_exactly(pipe, length))


def _exactly(pipe: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        try:
            part = pipe.recv(min(size, 1 << 20))
        except ConnectionResetError:
            part = b""
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve(ground: Ground, judge: socket.socket, database: int, folder: Path) -> None:
    """Answer the judge's questions until it has no more. To be called in a fork made for it.

    ``folder`` is empty and ours. ``database`` is a descriptor: the parsed answer's database is written to it by
    the question "parse", and read from it by the others. The first message is the answer; the first reply is
    the id of this process, which may be ended to end all.
    """
    answer = receive(judge)
    scratch = folder / "scratch"
    if ground.namespaces:
        jail.enclose(folder)
        scratch.mkdir()
        jail.disk(scratch)
    else:
        scratch.mkdir()
    scratch.chmod(0o711)
    user = jail.throwaway() if ground.namespaces and os.getuid() == 0 else None
    for name in ("dags", "tmp", "home"):
        _own(scratch / name, user if name != "dags" else None)
    file = scratch / "dags" / answer["name"]
    file.write_bytes(bytes.fromhex(answer["source"]))
    file.chmod(0o644)
    send(judge, os.getpid())
    with Outside() as outside:
        cell = jail.Jail(
            scratch=scratch,
            readable=jail.python_paths(),
            ports=tuple(outside.ports),
            root=folder / "root" if ground.namespaces else None,
            user=user,
        )
        if ground.namespaces:
            jail.apart()
        elif sys.platform == "linux":
            kernel.adopt_orphans()  # at least know every process that was started
        child = os.fork()
        if child == 0:
            _first_process(ground, judge, database, folder, file, cell, outside)
        judge.close()
        os.waitpid(child, 0)
    if not ground.namespaces:
        sweep(set())


def _own(folder: Path, user: int | None) -> Path:
    folder.mkdir()
    if user is not None:
        os.chown(folder, user, user)
    return folder


def sweep(spared: set[int]) -> None:
    """End every process that descends from this one, but for those ``spared``."""
    import psutil

    for _ in range(10):
        left = [each for each in psutil.Process().children(recursive=True) if each.pid not in spared]
        if not left:
            return
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)


def _first_process(
    ground: Ground,
    judge: socket.socket,
    database: int,
    folder: Path,
    file: Path,
    cell: jail.Jail,
    outside: Outside,
) -> None:
    """Never returns."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if sys.platform == "linux":
            kernel.hide_memory()
            if not ground.namespaces:
                kernel.adopt_orphans()  # for ``sweep``, after each question
        (folder / "private").mkdir(mode=0o700)
        if cell.root is not None:
            cell.root.mkdir()
            jail.build_root(cell.root, cell.scratch, cell.readable)
        desk = _Desk(ground, database, folder / "private", file, cell, outside)
        while True:
            question = receive(judge)
            send(judge, _replied(desk, question))
    except EOFError:
        pass
    finally:
        os._exit(0)


def _replied(desk: _Desk, question: Mapping[str, Any]) -> dict[str, Any]:
    """``{"found": …}``, ``{"lost": why}`` or ``{"broken": why}``."""
    try:
        return {"found": desk.answer(question)}
    except learner.Stopped as stopped:
        return {"lost": str(stopped)}
    except MemoryError:
        return {"lost": "Stopped: it used more memory than there is for it."}
    except RecursionError:  # nothing but an answer's own structure is that deep
        return {"lost": "Stopped: the file nests something too deeply for Airflow to follow."}
    except BaseException as error:
        return {"broken": "".join(traceback.format_exception(error))[-4_000:]}


class _Desk:
    """Where questions are answered, one after the other."""

    def __init__(
        self, ground: Ground, database: int, private: Path, file: Path, cell: jail.Jail, outside: Outside
    ) -> None:
        self._loaded = ground.loaded
        self._template = Path(ground.loaded.database)
        self._database = database
        self._private = private
        self._file = file
        self._cell = cell
        self._outside = outside
        self._workers = scheduler.Workers(cell)
        self._count = 0
        self._api: Any = None

    def answer(self, question: Mapping[str, Any]) -> Any:
        self._count += 1
        data = _own(self._cell.scratch / f"data{self._count}", self._cell.user)
        base = self._private / f"{self._count}.db"
        variables = environment(self._cell.scratch) | {"WINDTUNNEL_DATA": str(data)}
        place = scheduler.Place(self._file, data, self._cell, variables, question["seconds"])
        try:
            if question["do"] == "call":
                return scheduler.call(place, question["function"], question["arguments"])
            if question["do"] == "show":
                return cells.show(place)
            # pread: questions are answered side by side, and share the descriptor's position.
            known = os.pread(self._database, os.fstat(self._database).st_size, 0)
            base.write_bytes(known or self._template.read_bytes())
            self._loaded.use(base, self._file.parent)
            if question["do"] == "parse":
                return self._parse(place, base)
            if question["do"] == "planned":
                return scheduler.plan(place, question["dag_id"], question["first"], question["last"])
            if question["do"] == "ready":
                return scheduler.ready(question["dag_id"], question["assets"])
            return self._runs(place, question)
        finally:
            sweep(self._workers.idle())
            jail.remove(data)
            base.unlink(missing_ok=True)

    def _parse(self, place: scheduler.Place, base: Path) -> dict[str, Any]:
        found = scheduler.parse(place)
        self._loaded.close()
        os.ftruncate(self._database, 0)
        os.pwrite(self._database, base.read_bytes(), 0)
        return found

    def _runs(self, place: scheduler.Place, question: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._api = self._api or self._loaded.client()
        runs = []
        for case, url in zip(question["cases"], self._outside.begin(question["cases"]), strict=True):
            # The connections are the sandbox's: see ``windtunnel.airflow_env``.
            address = json.dumps({"conn_type": "http", "host": url})
            variables = {"AIRFLOW_CONN_SHOP_API": address, "AIRFLOW_CONN_WEATHER_API": address}
            os.environ |= variables  # the API, too, is asked for connections
            at = scheduler.Place(
                place.answer, place.data, place.cell, {**place.environment, **variables}, place.seconds
            )
            dag_id = case.get("dag") or question["dag_id"]
            runs.append(scheduler.run(at, self._api, dag_id, case, self._workers))
        for run, requests in zip(runs, self._outside.received(), strict=True):
            run["received"] = requests
        return runs


def environment(scratch: Path) -> dict[str, str]:
    """Little of the reader's environment, so that an answer behaves here as anywhere."""
    airflow = {key: value for key, value in os.environ.items() if key.startswith("AIRFLOW_")}
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
    }
