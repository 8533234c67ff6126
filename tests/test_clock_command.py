"""The clock from a terminal: a date to begin at, what it shows, and the way back to real time."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxes import windtunnel
from windtunnel.sandbox import Sandbox


@pytest.mark.parametrize(
    ("date", "problem"),
    [
        ("tomorrow", "'tomorrow' is not a date"),
        ("1970-01-01", "cannot begin"),
        ("2026-02-30", "is not a date"),
    ],
)
def test_a_date_that_is_none_is_refused_before_anything_starts(own: Path, date: str, problem: str) -> None:
    for command in (["up"], ["reset", "--yes"]):
        done = windtunnel(own, *command, "--clock", date)
        assert (done.returncode, problem in done.stderr) == (2, True), done.stderr
        assert "Next:" in done.stderr
        assert "Traceback" not in done.stderr
        assert not Sandbox(own / "state").state.is_running()


def test_it_begins_at_a_date_says_so_and_goes_back_to_real_time(own: Path) -> None:
    assert windtunnel(own, "up", "--clock", "2026-03-01").returncode == 0
    status = windtunnel(own, "status").stdout
    assert "Clock    2026-03-01 00:0" in status
    assert windtunnel(own, "up").returncode == 0  # found running
    again = windtunnel(own, "up", "--clock", "2026-04-01")
    assert again.returncode == 2
    assert "began at 2026-03-01 00:00 UTC" in again.stderr
    assert "windtunnel reset --clock 2026-04-01" in again.stderr
    assert windtunnel(own, "reset", "--yes", "--clock", "2026-04-01").returncode == 0
    assert "Clock    2026-04-01 00:0" in windtunnel(own, "status").stdout
    assert windtunnel(own, "reset", "--clock", "2026-04-01", "03").returncode == 2
    assert windtunnel(own, "down").returncode == 0
    assert windtunnel(own, "up").returncode == 0
    assert "Clock" not in windtunnel(own, "status").stdout
    refused = windtunnel(own, "up", "--clock", "2026-04-01")
    assert refused.returncode == 2
    assert "already up, in real time" in refused.stderr
