"""A course in a folder of its own, with the same engine: no reader's answers, progress or warm process are touched."""

from __future__ import annotations

import compileall
import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers import plain_environment
from windtunnel import processes
from windtunnel.paths import repo_root

SERVER = "windtunnel.engine.server"  # the module that the warm process runs

# What `windtunnel watch` does after a save and %%exercise after its cell is saved.
RESIDENT = """
import json, sys
from windtunnel import answers, exercises

for slug in sys.stdin:
    verdict = answers.attempt(exercises.find(slug.strip())).verdict
    missed = [f"{each.name}: {each.message}" for each in verdict.criteria if not each.passed]
    print(json.dumps({"earned": verdict.earned, "total": verdict.total, "missed": missed}), flush=True)
"""


@dataclass(frozen=True)
class Course:
    """A copy of what checks answers, with exercises. ``folder`` is its clone, ``state`` its state folder."""

    folder: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes a Python of this environment run the copy."""
        return plain_environment(
            PYTHONPATH=str(self.folder / "sandbox"),
            WINDTUNNEL_STATE=str(self.state),
            WINDTUNNEL_WORK=str(self.folder / "work"),
        )

    def answer(self, slug: str) -> Path:
        """Where the reader's answer is."""
        file = self.folder / "work" / "answers" / f"{slug}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def add(self, slug: str, criteria: str, solution: str) -> None:
        """One exercise more."""
        folder = self.folder / "exercises" / slug
        folder.mkdir()
        (folder / "exercise.md").write_text(f"# {slug}\n")
        (folder / "starter.py").write_text("# TODO\n")
        (folder / f"test_{slug.partition('-')[2]}.py").write_text(criteria)
        (self.folder / "solutions" / slug).mkdir()
        (self.folder / "solutions" / slug / "solution.py").write_text(solution)

    def windtunnel(self, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """A whole command, as from a shell."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def command(self, *arguments: str | Path) -> list[str]:
        """The words of a command."""
        return [str(Path(sys.executable).parent / "windtunnel"), *map(str, arguments)]

    def end_engine(self) -> None:
        """End the warm process of this course, if there is one, and with it what it has forked."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if SERVER in words and any(word.startswith(f"{self.state}/") for word in words):
                found.append(process)
        processes.end(found, grace=20.0)


@contextmanager
def course(folder: Path, state: Path) -> Iterator[Course]:
    """The course below ``folder``, with all exercises of this clone. Its engine is ended at the end."""
    root, made = repo_root(), Course(folder, state)
    without = shutil.ignore_patterns("__pycache__")
    for name in ("sandbox/windtunnel", "sandbox/world", "sandbox/pipelines", "exercises", "solutions"):
        shutil.copytree(root / name, folder / name, ignore=without)
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(root / name, folder / name)
    with contextlib.redirect_stdout(io.StringIO()):
        compileall.compile_dir(folder / "sandbox", quiet=2)
    state.mkdir(parents=True, exist_ok=True)
    made.end_engine()  # of a run that was killed
    try:
        yield made
    finally:
        made.end_engine()


@contextmanager
def resident(course: Course) -> Iterator[Resident]:
    """A process that stays, as a notebook's kernel and `windtunnel watch` do, and checks when told."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", RESIDENT],
        env=course.environment,
        cwd=course.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Resident(process)
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Resident:
    """See `resident`."""

    process: subprocess.Popen[str]

    def check(self, slug: str) -> Mapping[str, Any]:
        """``{"earned", "total", "missed"}`` of the reader's answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{slug}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the process that checks has ended"
        found: dict[str, Any] = json.loads(line)
        return found
