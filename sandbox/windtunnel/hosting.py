"""A sandbox held by a process of its own, so that it is torn down however its user ends.

``python -m windtunnel.hosting windtunnel.sandbox:temporary`` enters that context manager, writes one line of
JSON, and leaves when its standard input closes. The operating system closes a dead process's pipes, so this
also holds for ``kill -9`` of a pytest worker, which no ``finally`` survives. It also gives the context
manager a main thread, whoever the caller is.

The holder owns the run's temporary folder for the same reason.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from windtunnel.errors import WindtunnelError

#: What chapters run on: ``module:name`` of a function that gives a context manager over a `Sandbox`.
DEFAULT_SANDBOX = "windtunnel.sandbox:temporary"

# Seconds a sandbox has to stop before its holder is told to, and then made to.
_PATIENCE = 60.0


class Sandbox(Protocol):
    """What `DEFAULT_SANDBOX` yields."""

    def environ(self) -> dict[str, str]:
        """The variables that make a process talk to this sandbox."""


class Host:
    """A holder: started at once, `ready` when its sandbox is; `close` it, once, from any thread.

    ``clock``: the moment at which the sandbox begins, if it is to have a clock.
    """

    def __init__(self, sandbox: str = DEFAULT_SANDBOX, clock: datetime | None = None) -> None:
        self._sandbox = sandbox
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            # -P: the folder it starts in must not hide installed modules.
            [
                sys.executable,
                "-P",
                "-m",
                "windtunnel.hosting",
                sandbox,
                *([clock.isoformat()] if clock else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the caller
        )
        self.environ: dict[str, str] = {}
        self.folder = Path()

    def ready(self) -> None:
        """Wait for the sandbox, then set ``environ`` and ``folder`` (temporary, empty).

        Raises WindtunnelError when it does not start.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            raise WindtunnelError(
                f"The sandbox ({self._sandbox}) did not start: {answer['error']}",
                answer.get("next") or "see `windtunnel doctor`.",
            )
        self.environ, self.folder = answer["environ"], Path(answer["folder"])

    def close(self) -> None:
        """Have the sandbox torn down and the folder removed, and wait for both."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        for insist in (self._process.terminate, self._process.kill, None):
            try:
                self._process.wait(_PATIENCE)
                break
            except subprocess.TimeoutExpired:
                if insist:
                    insist()
        self._process.stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        self._process.wait(_PATIENCE)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process ended with {self._process.returncode}"


@contextlib.contextmanager
def hosted(sandbox: str = DEFAULT_SANDBOX) -> Iterator[Host]:
    """A `Host` that is ready, closed on the way out."""
    host = Host(sandbox)
    try:
        host.ready()
        yield host
    finally:
        host.close()


def load(name: str) -> Callable[..., AbstractContextManager[Sandbox]]:
    """The context manager factory called ``module:name``. Raises WindtunnelError when there is none."""
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise WindtunnelError(
            f"{name!r} cannot be loaded ({error}).", "name it as `module:function`."
        ) from error
    assert callable(factory)
    return factory  # type: ignore[no-any-return]


def _hold(name: str, clock: str | None = None) -> None:
    # Sandboxes may print; the answer is the only thing that belongs in the pipe.
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def answer(**content: object) -> None:
            # Whoever asked may be gone already; then the end of standard input says the rest.
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(content), file=pipe, flush=True)

        try:
            with (
                tempfile.TemporaryDirectory(prefix="windtunnel-", ignore_cleanup_errors=True) as folder,
                load(name)(**({"clock": datetime.fromisoformat(clock)} if clock else {})) as sandbox,
            ):
                answer(environ=sandbox.environ(), folder=folder)
                sys.stdin.buffer.read()
        except WindtunnelError as error:
            answer(error=error.message, next=error.next_step)
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
            raise


def _stop(*_: object) -> None:
    sys.exit(1)  # an exception, so that the context managers are left in order


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    _hold(*sys.argv[1:])
