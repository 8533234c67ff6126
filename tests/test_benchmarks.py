"""``windtunnel bench``: measured in turn, nothing hidden, nothing lost; and the pages say what the results say."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import command, figures, plots, report
from benchmarks.harness import Bench, Comparison, Curve, Subject, Target, compare, grow, steps
from sandboxes import COMMAND, ROOT, environment
from windtunnel import cli
from windtunnel.errors import WindtunnelError

RESULTS = ROOT / "benchmarks/results"


def silent(_what: str) -> None:
    pass


def sides(told: list[str], **figures: Sequence[float]) -> dict[str, Callable[[], float]]:
    """Sides that give these figures, one after the other, and tell when they are asked."""

    def side(name: str, left: Iterator[float]) -> Callable[[], float]:
        def measure() -> float:
            told.append(name)
            found = next(left, None)
            if found is None:
                raise RuntimeError(f"{name} broke\nand this is the second line")
            return found

        return measure

    return {name: side(name, iter(values)) for name, values in figures.items()}


# --- measuring -------------------------------------------------------------------------------------


def test_sides_take_turns_and_what_warms_up_does_not_count() -> None:
    told: list[str] = []
    two = sides(told, a=[9, 1, 3, 2], b=[90, 10, 30, 20])
    found = compare(Comparison("c", "C", "s", two, rounds=3, warm=True), quick=False, step=silent)
    assert told == ["a", "b"] * 4
    assert found["sides"]["a"] == {"median": 2, "min": 1, "max": 3, "n": 3, "samples": [1, 3, 2]}
    assert found["sides"]["b"]["median"] == 20
    assert set(found["load"]) == {"before", "after"}


def test_a_side_that_fails_is_named_and_the_others_go_on() -> None:
    told: list[str] = []
    two = sides(told, a=[1], b=[1, 2, 3])
    found = compare(Comparison("c", "C", "s", two, rounds=3), quick=False, step=silent)
    assert told == ["a", "b", "a", "b", "b"]
    assert found["sides"]["a"]["failed"] == "RuntimeError: a broke"
    assert found["sides"]["a"]["samples"] == [1]
    assert found["sides"]["b"]["n"] == 3


def test_quick_is_once_and_without_what_takes_too_long() -> None:
    told: list[str] = []
    two = sides(told, a=[1, 1], b=[1, 1])
    comparison = Comparison("c", "C", "s", two, rounds=5, only_full=frozenset({"b"}))
    assert list(compare(comparison, quick=True, step=silent)["sides"]) == ["a"]
    assert (told, steps(comparison, True), steps(comparison, False)) == (["a"], 1, 10)
    assert steps(Comparison("c", "C", "s", two, quick=0, warm=True), True) == 0


def test_a_curve_measures_each_side_at_each_number() -> None:
    told: list[tuple[str, int]] = []

    def side(name: str) -> Callable[[int], float]:
        def measure(number: int) -> float:
            told.append((name, number))
            return number / 10

        return measure

    curve = Curve(
        "c", "C", "s", "files", [1, 10], {"a": side("a"), "b": side("b")}, rounds=2, quick_points=[1]
    )
    found = grow(curve, quick=False, step=silent)
    assert told == [("a", 1), ("b", 1), ("a", 10), ("b", 10)] * 2
    assert found["sides"]["b"]["10"]["samples"] == [1.0, 1.0]
    assert steps(curve, False) == 8
    assert list(grow(curve, quick=True, step=silent)["sides"]["a"]) == ["1"]


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (Target(most=2), True),
        (Target(most=1.9), False),
        (Target(worst=3), True),
        (Target(worst=2.9), False),
        (Target(least=2), True),
        (Target(least=2.1), False),
        (Target(beats="peer", times=5), True),
        (Target(beats="peer", times=5.1), False),
    ],
)
def test_whether_a_figure_is_as_wished(target: Target, kept: bool) -> None:
    two = sides([], Windtunnel=[1, 2, 3], peer=[10, 9, 11])
    result = compare(Comparison("c", "C", "s", two, rounds=3, target=target), quick=False, step=silent)
    assert [each for _, each in report.met(result)] == [kept]


def test_a_target_can_be_for_all_sides() -> None:
    two = sides([], a=[1], b=[3])
    comparison = Comparison("c", "C", "s", two, rounds=1, all_ours=True, target=Target(most=2, worst=3))
    assert [each for _, each in report.met(compare(comparison, quick=False, step=silent))] == [False, True]


def test_where_more_is_better_the_ratio_is_the_other_one() -> None:
    two = sides([], Windtunnel=[30], peer=[10])
    target = Target(beats="peer", times=3)
    result = compare(
        Comparison("c", "C", "/min", two, rounds=1, more=True, target=target), quick=False, step=silent
    )
    assert [each for _, each in report.met(result)] == [True]
    assert report.beside(result, "peer") == "0.33 ×"


# --- the command -----------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on one subject, whose sides are given; in a clone of its own."""

    def bench(*arguments: str, opened: Callable[[], list[Any]], why: str = "") -> Any:
        closed: list[Path] = []

        @contextmanager
        def opens(given: Bench) -> Iterator[list[Any]]:
            try:
                yield opened()
            finally:
                closed.append(given.folder)

        subject = Subject("mine", "what is measured here", opens, lambda: why)
        monkeypatch.setattr(command, "subjects", lambda _names=(): [subject])
        monkeypatch.setattr(figures, "ALL", {"mine": "Mine"})
        monkeypatch.setattr(command, "repo_root", lambda: tmp_path)
        monkeypatch.setattr(sys, "argv", ["windtunnel", "bench", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=left.value.code, out=said.out, err=said.err, closed=closed)

    return bench


def test_results_are_a_table_json_and_a_plot(bench: Any, tmp_path: Path) -> None:
    two = sides([], Windtunnel=[1.5], peer=[15])
    done = bench("--quick", opened=lambda: [Comparison("c", "Seconds to nowhere", "s", two)])
    assert done.code == 0, done.err
    assert re.search(r"peer +│ 15\.0 +│ 15\.0 +│ 15\.0 +│ 1 +│ 10 ×", done.out), done.out
    kept = tmp_path / "_build/benchmarks"
    result = json.loads((kept / "c.json").read_text())
    assert (result["quick"], result["machine"]["cores"]) == (True, os.cpu_count())
    assert "| Windtunnel | 1.50 |" in (kept / "page.md").read_text()
    assert "Seconds to nowhere" in (kept / "mine.svg").read_text()
    assert not done.closed[0].exists()


def test_a_failure_is_told_and_everything_else_is_kept(bench: Any, tmp_path: Path) -> None:
    two = sides([], Windtunnel=[1], peer=[])
    done = bench("--out", str(tmp_path / "out"), opened=lambda: [Comparison("c", "C", "s", two, rounds=1)])
    assert done.code == 1
    assert "failed: RuntimeError: peer broke" in done.out
    assert "A side failed in: c." in done.err
    assert "| peer | failed |  |  | RuntimeError: peer broke |" in (tmp_path / "out/page.md").read_text()


def test_ctrl_c_keeps_what_was_measured_and_clears_up(bench: Any, tmp_path: Path) -> None:
    def pressed() -> float:
        raise KeyboardInterrupt

    first = Comparison("first", "First", "s", sides([], Windtunnel=[1]), rounds=1)
    second = Comparison("second", "Second", "s", {"Windtunnel": pressed}, rounds=1)
    done = bench("--out", str(tmp_path / "out"), opened=lambda: [first, second])
    assert (done.code, len(done.closed)) == (130, 1)
    assert "what had been measured is kept" in done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first.json", "mine.svg", "page.md"]


def test_what_cannot_be_measured_here_says_why(bench: Any, tmp_path: Path) -> None:
    done = bench("--out", str(tmp_path / "out"), opened=list, why="there is no Docker")
    assert (done.code, "mine: not measured, there is no Docker." in done.out) == (0, True)


def test_two_at_a_time_would_measure_each_other(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "_build/peers").mkdir(parents=True)
    with command._alone(tmp_path / "_build/peers"):
        done = bench("--quick", opened=list)
    assert (done.code, "Another `windtunnel bench` is running" in done.err) == (2, True)


def test_an_unknown_subject_is_one_message_with_all_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(WindtunnelError) as caught:
        command.subjects(["memori"])
    assert "memory" in caught.value.next_step


def test_every_subject_is_listed_and_no_other_module_lies_about() -> None:
    assert [subject.name for subject in command.subjects()] == list(figures.ALL)
    assert all(subject.about for subject in command.subjects())
    modules = {path.stem for path in (ROOT / "benchmarks/figures").glob("[a-z]*.py")}
    assert modules == set(figures.ALL)


# --- for real --------------------------------------------------------------------------------------


def test_a_subject_is_measured_for_real(tmp_path: Path) -> None:
    """The one whose peers need nothing to be installed. What it takes is nobody's business here."""
    done = subprocess.run(
        [COMMAND, "bench", "visible", "--quick", "--out", str(tmp_path / "out")],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = report.written(tmp_path / "out")
    assert results
    for result in results.values():
        assert all(row["n"] == 1 and row["median"] > 0 for row in result["sides"].values()), result


# --- what the pages say ----------------------------------------------------------------------------


def test_the_committed_tables_and_plots_are_those_of_the_committed_results(tmp_path: Path) -> None:
    for path in RESULTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    command.publish(tmp_path, None)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in RESULTS.iterdir()}
    assert (tmp_path / "page.md").read_text() == (RESULTS / "page.md").read_text()
    assert all(not result["quick"] for result in report.written(RESULTS).values())


def test_the_readme_gives_these_figures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = report.written(RESULTS)
    assert set(figures.HEADLINES) & set(results)
    assert report.put_between_marks(readme, report.markdown(results, figures.HEADLINES)) == readme


def test_a_file_without_a_place_for_them_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        report.put_between_marks("# Nothing", "| table |")


def test_a_plot_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    two = sides([], Windtunnel=[1, 2], peer=[3, 4])
    result = compare(Comparison("c", "C", "s", two, rounds=2), quick=False, step=silent)
    curve = grow(Curve("g", "G", "s", "n", [1, 10], {"a": float}, rounds=1), quick=False, step=silent)
    for name in ("one.svg", "two.svg"):
        plots.draw(tmp_path / name, [result, curve])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_where_there_is_no_clone_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authors = importlib.import_module("windtunnel.cli_authors")
    monkeypatch.setattr("windtunnel.paths.repo_root", lambda: tmp_path)
    with pytest.raises(WindtunnelError, match="not here"):
        authors.bench()
