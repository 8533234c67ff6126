"""A crontab played at speed: real scripts, real processes, a minute in a fraction of a second.

Cron knows when a script starts. It does not know what the script needs, nor what became of it: that is what
the first chapter shows, and why nothing here is cleverer than cron.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import IO

from windtunnel.errors import WindtunnelError
from windtunnel.views.states import colour
from windtunnel.views.table import Table

LINE = re.compile(r"(\d\d):(\d\d) (\S+)")
SECONDS_A_MINUTE = 0.4


@dataclass
class Job:
    """One script of the night. ``start`` and ``end`` in minutes since midnight."""

    start: float
    script: str
    end: float | None = None
    code: int | None = None
    printed: str = ""

    @property
    def outcome(self) -> str:
        """The exit code, as cron would mail it, or that it never ended."""
        return "still running" if self.code is None else f"exit {self.code}"

    @property
    def last_line(self) -> str:
        """The last line it printed; empty if none."""
        return (self.printed.strip().splitlines() or [""])[-1]


@dataclass
class Night:
    """What became of every job."""

    jobs: Sequence[Job]
    until: float

    def table(self) -> Table:
        """When each job was started, how it ended, and its last line."""
        rows = [[_clock(job.start), job.script, job.outcome, job.last_line] for job in self.jobs]
        return Table("The night", ["start", "script", "outcome", "last line printed"], rows)

    def printed(self, script: str) -> str:
        """The last line that ``script`` printed. Raises WindtunnelError if it was not in the crontab."""
        for job in self.jobs:
            if job.script == script:
                return job.last_line
        raise WindtunnelError(
            f"{script!r} did not run that night.", f"these did: {', '.join(job.script for job in self.jobs)}"
        )

    def failed(self) -> list[str]:
        """Scripts that ended with another exit code than 0."""
        return [job.script for job in self.jobs if job.code]

    def timeline(self) -> Timeline:
        """The night as a picture. Ends differ by a little from run to run: a live view."""
        return Timeline(self.jobs, self.until)


@dataclass
class Timeline:
    """Jobs as bars over the hours of the night."""

    jobs: Sequence[Job]
    until: float

    def __repr__(self) -> str:
        return "\n".join(
            f"{_clock(job.start)} to {_clock(job.end) if job.end else '…    '}  {job.script}: {job.outcome}"
            for job in self.jobs
        )

    def _repr_html_(self) -> str:
        row, left, width = 30, 150, 480
        first = min(job.start for job in self.jobs)
        scale = width / max(self.until - first, 1)
        parts = []
        step = 5 if self.until - first <= 40 else 30
        for minute in range(int(first), int(self.until) + 1, step):
            x = left + (minute - first) * scale
            parts.append(
                f'<line x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{row * len(self.jobs)}" stroke="currentColor" '
                f'stroke-opacity=".15"/><text x="{x:.0f}" y="{row * len(self.jobs) + 16}" '
                f'text-anchor="middle" fill="currentColor" fill-opacity=".7">{_clock(minute)}</text>'
            )
        for index, job in enumerate(self.jobs):
            y, end = index * row + 6, job.end or self.until
            state = {0: "success", None: "running"}.get(job.code, "failed")
            parts.append(
                f'<text x="{left - 10}" y="{y + 13}" text-anchor="end" fill="currentColor">'
                f"{escape(job.script)}</text>"
                f'<rect x="{left + (job.start - first) * scale:.1f}" y="{y}" height="18" rx="3" '
                f'width="{max((end - job.start) * scale, 3):.1f}" fill="{colour(state)}">'
                f"<title>{escape(job.script)}: {escape(job.outcome)}</title></rect>"
            )
        height = row * len(self.jobs) + 24
        return (
            f'<div style="overflow-x:auto"><svg role="img" aria-label="{escape(repr(self))}" '
            f'width="{left + width + 30}" height="{height}" font-family="system-ui, sans-serif" '
            f'font-size="12">{"".join(parts)}</svg></div>'
        )


def run_crontab(
    *lines: str,
    until: str,
    folder: str | Path = ".",
    environment: Mapping[str, str] | None = None,
    minute: float = SECONDS_A_MINUTE,
) -> Night:
    """Play ``"02:00 load_orders"`` lines: start ``folder/load_orders.py`` at its time, whatever else goes on.

    A minute of the night lasts ``minute`` seconds. What still runs at ``until`` is recorded as such and
    stopped. Raises WindtunnelError for a line that is not ``HH:MM script``, or a script that is not there.
    """
    folder = Path(folder)
    jobs = sorted((_parse(line, folder) for line in lines), key=lambda job: job.start)
    last, first = _minutes(until), jobs[0].start
    running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    waiting = list(enumerate(jobs))
    zero = time.monotonic()
    try:
        while waiting or running:
            now = first + (time.monotonic() - zero) / minute
            while waiting and waiting[0][1].start <= now:
                index, job = waiting.pop(0)
                running[index] = _start(job, folder, environment or {})
            for index, (process, output) in list(running.items()):
                if process.poll() is not None:
                    jobs[index].end, jobs[index].code = now, process.returncode
                    jobs[index].printed = _read(output)
                    del running[index]
            if now >= last:
                break
            time.sleep(0.01)
    finally:
        for index, (process, output) in running.items():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            jobs[index].printed = _read(output)
    return Night(jobs, last)


def _start(
    job: Job, folder: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    output = tempfile.TemporaryFile()  # noqa: SIM115 read and closed by _read
    process = subprocess.Popen(
        [sys.executable, f"{job.script}.py"],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return process, output


def _read(output: IO[bytes]) -> str:
    with output:
        output.seek(0)
        return output.read().decode(errors="replace")


def _parse(line: str, folder: Path) -> Job:
    match = LINE.fullmatch(line.strip())
    if not match:
        raise WindtunnelError(f"{line!r} is not a line of this crontab.", 'write "02:10 daily_report".')
    script = match[3]
    if not (folder / f"{script}.py").exists():
        raise WindtunnelError(
            f"There is no script {folder / script}.py.", "write it first, with %%writefile."
        )
    return Job(_minutes(f"{match[1]}:{match[2]}"), script)


def _minutes(clock: str) -> float:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: float) -> str:
    return f"{int(minutes) // 60:02}:{int(minutes) % 60:02}"
