"""A real sandbox for each test file that asks for one, and a person without privileges."""

from collections.abc import Iterator

import pytest
from sandboxes import PlainUser, plain_user_or_reason

from windtunnel.sandbox import Sandbox, temporary


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A fresh sandbox, shared by the tests of one file; it goes down with the process that runs them."""
    with temporary() as started:
        yield started


@pytest.fixture(scope="session")
def plain_user(tmp_path_factory: pytest.TempPathFactory) -> PlainUser:
    """Runs commands as somebody without privileges: ``nobody`` for root, oneself for everybody else."""
    found = plain_user_or_reason(tmp_path_factory.mktemp("plain-user"))
    if isinstance(found, str):
        pytest.skip(found)
    return found
