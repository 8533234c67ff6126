"""``windtunnel bench``: measure, print, keep."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import figures, plots, report
from benchmarks.harness import Bench, Comparison, Curve, Subject, compare, grow, steps
from benchmarks.machine import in_words, machine
from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root
from windtunnel.whole import put

BUSY = 0.5  # load, by core, from which on figures are those of a busy machine


def subjects(names: Sequence[str] = ()) -> list[Subject]:
    """Those named, or all, in the book's order. Raises WindtunnelError for a name that is not one."""
    unknown = [name for name in names if name not in figures.ALL]
    if unknown:
        raise WindtunnelError(
            f"No subject is called {unknown[0]!r}.", f"the subjects: {', '.join(figures.ALL)}."
        )
    return [
        import_module(f"benchmarks.figures.{name}").SUBJECT
        for name in figures.ALL
        if not names or name in names
    ]


def listed(console: Console) -> None:
    """Name the subjects."""
    for subject in subjects():
        why = subject.needs()
        console.print(
            f"  {subject.name:16} {escape(subject.about)}" + (f" [yellow](not here: {why})[/]" if why else "")
        )


def run(names: Sequence[str], *, quick: bool, folder: Path | None, out: Console, err: Console) -> int:
    """Measure the subjects and write results as they come. Exit code: 1 when a side failed, 130 for Ctrl-C."""
    chosen = subjects(names)
    root = repo_root()
    results = folder or (root / "_build/benchmarks" if quick else root / "benchmarks/results")
    results.mkdir(parents=True, exist_ok=True)
    kept = root / "_build" / "peers"
    kept.mkdir(parents=True, exist_ok=True)
    with _alone(kept):
        here = machine()
        out.print(in_words(here), style="dim")
        if (load := os.getloadavg()[0]) > BUSY * (os.cpu_count() or 1):
            err.print(f"[yellow]Something else is at work (load {load:.1f}): all figures will be larger.[/]")
        began, failed, code = time.monotonic(), [], 0
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is running is ended, as by Ctrl-C
        try:
            for subject in chosen:
                if why := subject.needs():
                    out.print(f"[yellow]{subject.name}: not measured, {escape(why)}.[/]")
                    continue
                for place, (name, result) in enumerate(_measured(subject, kept, quick, err)):
                    result |= {"subject": subject.name, "place": place, "quick": quick, "machine": here}
                    put(results / f"{name}.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
                    out.print(report.table(result))
                    out.print()
                    failed += [name] if _failed(result) else []
        except KeyboardInterrupt:
            err.print("Stopped; what had been measured is kept.")
            code = 130
        publish(results, root if folder is None and not quick else None)
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        out.print(f"{minutes} min {seconds:02} s. Tables, JSON and plots are in {_short(results, root)}.")
    if failed:
        err.print(
            f"[red]A side failed in: {', '.join(failed)}.[/] Its first line is in the table; the rest stands."
        )
    return code or (1 if failed else 0)


def publish(results: Path, root: Path | None) -> None:
    """Draw page and plots anew from the results; the README's table too, if its ``root`` is given."""
    found = report.written(results)
    sections = []
    for name, title in figures.ALL.items():
        mine = {key: result for key, result in found.items() if result["subject"] == name}
        if mine:
            plots.draw(results / f"{name}.svg", list(mine.values()))
            sections.append(report.section(title, f"{name}.svg", mine))
    put(results / "page.md", "\n".join(sections))
    if root is not None:
        readme = root / "README.md"
        block = report.markdown(found, figures.HEADLINES)
        put(readme, report.put_between_marks(readme.read_text(encoding="utf-8"), block))


def _measured(subject: Subject, kept: Path, quick: bool, err: Console) -> Iterator[tuple[str, report.Result]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="windtunnel-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # root's Postgres runs under another account and must pass through
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            bar = progress.add_task(f"{subject.name}: preparing", total=None)

            def say(what: str) -> None:
                progress.update(bar, description=f"{subject.name}: {what}")
                if not err.is_terminal:
                    err.print(f"{subject.name}: {what}")

            def step(what: str) -> None:
                say(what)
                progress.advance(bar)

            with subject.open(Bench(Path(name), kept, quick, say)) as measured:
                todo = [each for each in measured if steps(each, quick)]
                progress.update(bar, total=sum(steps(each, quick) for each in todo))
                for each in todo:
                    yield each.name, _one(each, quick, step)
                say("clearing up")


def _one(each: Comparison | Curve, quick: bool, step: Callable[[str], None]) -> report.Result:
    return compare(each, quick, step) if isinstance(each, Comparison) else grow(each, quick, step)


def _failed(result: report.Result) -> bool:
    rows = [
        row
        for side in result["sides"].values()
        for row in (side.values() if report.is_curve(result) else [side])
    ]
    return any(row.get("failed") for row in rows)


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """Two at a time would measure each other."""
    with (kept / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WindtunnelError(
                "Another `windtunnel bench` is running in this clone.",
                "wait for it: two would measure each other.",
            ) from None
        yield


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
