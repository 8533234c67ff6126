"""The processes that an answer's code runs in. Everything here happens locked in (``jail.confine``)."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from windtunnel.engine import jail, kernel, limits, memory
from windtunnel.engine.logs import one_line


class Stopped(Exception):
    """A learner process ended without a report. The message says why, for the learner."""


def lock_in(cell: jail.Jail, environment: Mapping[str, str]) -> None:
    """What every learner process does before anything else."""
    if sys.platform == "linux":
        kernel.die_with_parent(signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environment)
    jail.confine(cell)


def open_files() -> set[int]:
    """The descriptors that are open now: what a learner process must not keep."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return {int(entry.name) for entry in Path(folder).iterdir()}


def close(descriptors: set[int]) -> None:
    """Close all of them but standard input, output and error."""
    for number in descriptors:
        if number > 2:
            try:
                os.close(number)
            except OSError:
                continue


def ask(
    work: Callable[[], Any], cell: jail.Jail, environment: Mapping[str, str], doing: str, seconds: float
) -> Any:
    """What ``work`` returns in a locked-in fork, as JSON. Raises Stopped when it ends otherwise."""
    ours, theirs = socket.socketpair()
    before = open_files() - {theirs.fileno()}
    child = os.fork()
    if child == 0:
        _child(work, cell, environment, theirs, before)
    theirs.close()
    try:
        reply = _read(ours, seconds, doing)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        ours.close()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not reply:
        raise Stopped(
            f"The process ended ({how(ended)}) while {doing} was under way: does the file end Python itself?"
        )
    try:
        found = json.loads(reply)
    except (ValueError, RecursionError):
        found = None
    # The process may have been made to report anything.
    if isinstance(found, dict) and "raised" in found:
        line = found.get("line")
        return {"raised": one_line(str(found["raised"])), "line": line if isinstance(line, int) else None}
    if isinstance(found, dict) and "returned" in found:
        return found
    raise Stopped(f"The process ended in the middle of {doing}.")


def _child(
    work: Callable[[], Any],
    cell: jail.Jail,
    environment: Mapping[str, str],
    report: socket.socket,
    before: set[int],
) -> None:
    """Never returns."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        os.setpgid(0, 0)
        close(before)
        lock_in(cell, environment)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        try:
            found = {"returned": work()}
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            found = {"raised": f"{type(error).__name__}: {error}"[: limits.LINE], "line": _line(error)}
        report.sendall(json.dumps(found, default=str).encode())
    except MemoryError:
        report.sendall(b'{"raised": "MemoryError"}')
    except Exception as error:  # what it returned is no JSON: a circle, say
        report.sendall(json.dumps({"raised": f"{type(error).__name__}: {error}"[: limits.LINE]}).encode())
    finally:
        os._exit(0)


def _read(pipe: socket.socket, seconds: float, doing: str) -> bytes:
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    size = 0
    watch = memory.Watch()
    while True:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([pipe], [], [], max(0.0, min(left, memory.EVERY)))
        try:
            watch.look()
        except memory.TooMuch as much:
            raise Stopped(str(much)) from None
        if not ready and left > 0:
            continue
        if left <= 0:
            raise Stopped(f"Stopped: {doing} took more than {seconds:g} s.")
        try:
            part = pipe.recv(1 << 20)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > limits.MESSAGE:
            raise Stopped(f"Stopped: {doing} gave more than {limits.MESSAGE >> 20} MB.")


def how(code: int) -> str:
    """In words, how a process ended that Python gives this exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def _line(error: BaseException) -> int | None:
    """The last line of the DAG folder's files that the exception went through."""
    folder = os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", "?")
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(folder)]
    return lines[-1] if lines else None


def parsed(answer: Path) -> dict[str, Any]:
    """The answer's DAGs as Airflow serializes them for its scheduler, and what went wrong on import."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = BundleDagBag(
        dag_folder=str(answer), bundle_path=answer.parent, bundle_name="dags-folder", load_op_links=False
    )
    errors = [error.strip().splitlines() for error in bag.import_errors.values()]
    dags = []
    for dag in bag.dags.values():
        try:
            dags.append(DagSerialization.to_dict(dag))
        except Exception as error:
            errors.append([str(error.__cause__ or error)])
    return {"dags": dags, "error": "; ".join(import_error(lines, answer) for lines in errors)}


def import_error(lines: list[str], answer: Path) -> str:
    """The last line of a traceback, with the line of the answer it came from."""
    places = [
        line.split(", ")[1] for line in lines if line.strip().startswith("File ") and answer.name in line
    ]
    return f"{answer.name}, {places[-1]}: {lines[-1]}" if places else lines[-1]


def called(answer: Path, function: str, arguments: list[Any]) -> Any:
    """What the answer's ``function`` returns."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(answer.stem, answer)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise LookupError(f"{answer.name} has no function {function}; it has {', '.join(names) or 'none'}")
    return found(*arguments)


class _Enough(BaseException):
    """A trigger has waited long enough. Not an Exception, which triggers catch."""


def event_of(classpath: str, encrypted: str, patience: float | None) -> dict[str, Any]:
    """What a triggerer would bring from a trigger: ``{"came", "payload", "waits", "timed_out"}``.

    ``payload`` is of its first event, if one ``came``. Nobody waits when it sleeps for long; ``waits`` says how
    long, in seconds each, and when ``patience`` (seconds) is used up, it has timed out. ``encrypted`` are its
    arguments as the database keeps them. Decoded here: they may name classes to be made.
    """
    import asyncio

    from airflow._shared.module_loading import import_string
    from airflow.models.trigger import Trigger

    arguments = Trigger._decrypt_kwargs(encrypted)
    sleep = asyncio.sleep
    waits: list[float] = []

    async def asleep(delay: float, result: Any = None) -> Any:
        if delay < limits.NAP:
            return await sleep(delay, result)
        waits.append(delay)
        if len(waits) >= limits.LOOKS or (patience is not None and sum(waits) > patience):
            raise _Enough
        return await sleep(0, result)

    async def first() -> Any:
        return await anext(import_string(classpath)(**arguments).run())

    asyncio.sleep = asleep
    try:
        return {"came": True, "payload": asyncio.run(first()).payload, "waits": waits, "timed_out": False}
    except _Enough:
        timed_out = patience is not None and sum(waits) > patience
        return {"came": False, "payload": None, "waits": waits, "timed_out": timed_out}
