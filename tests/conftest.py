"""A real sandbox for each test file that asks for one, and a person without privileges."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import PlainUser, open_folder, plain_user_or_reason, windtunnel
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox, temporary

# What Airflow, IPython, matplotlib and the browser keep in the home of whoever runs the tests goes here instead.
_home = tempfile.TemporaryDirectory(prefix="windtunnel-home-")
for _name in ("AIRFLOW_HOME", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CONFIG_HOME"):
    os.environ[_name] = str(Path(_home.name) / _name.lower())

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C: not here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A fresh sandbox, shared by the tests of one file; it goes down with the process that runs them."""
    with temporary() as started:
        yield started


@pytest.fixture(scope="module")
def own() -> Iterator[Path]:
    """A folder for a sandbox that the tests of one file run by the command; it is down at the end."""
    with open_folder() as folder:
        yield folder
        with contextlib.suppress(WindtunnelError):  # some tests damage it
            Sandbox(folder / "state").down()


@pytest.fixture
def up(own: Path) -> Sandbox:
    """The sandbox in `own`, running."""
    done = windtunnel(own, "up")
    assert done.returncode == 0, done.stderr
    return Sandbox(own / "state")


@pytest.fixture(scope="session")
def plain_user() -> Iterator[PlainUser]:
    """Runs commands as somebody without privileges: ``nobody`` for root, oneself for everybody else."""
    with open_folder() as folder:
        found = plain_user_or_reason(folder)
        if isinstance(found, str):
            pytest.skip(found)
        yield found
