"""A class's answers to one task, graded by us, by nbgrader, by otter-grader and by plain pytest."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from benchmarks.figures._answers import Course, course
from benchmarks.harness import Bench, Comparison, Measure, Subject, Target, stopwatch
from benchmarks.peers import environment, plain_environment

LIMIT = 20  # seconds for a submission, everywhere
SLUG = "90-totals"

RIGHT = '''\
def totals(orders):
    """How many orders, how many of each status, and what the completed ones brought, in euros."""
    by_status = {"completed": 0, "cancelled": 0, "refunded": 0}
    revenue = 0.0
    for order in orders:
        by_status[order["status"]] += 1
        if order["status"] == "completed":
            revenue += order["amount"]
    return {"orders": len(orders), "revenue": round(revenue, 2), "by_status": by_status}
'''


def _edited(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


# What an answer is, and which criteria it meets: the numbers (2 points), cents (1), a day without orders (1).
RIGHT_ONE = (RIGHT, 4)
WRONG = [
    (_edited("        if order", "        if True or order"), 2),  # whatever was ordered is revenue
    (_edited("round(revenue, 2)", "revenue"), 3),
    (_edited("    revenue = 0.0", "    revenue = orders[0]['amount'] * 0"), 3),  # nobody had bought anything
    (_edited('"revenue": ', '"income": '), 0),
]
NO_PYTHON = (RIGHT.replace("def totals(orders):", "def totals(orders)"), 0)
ENDLESS = (f"while True:\n    pass\n\n\n{RIGHT}", 0)

CASES = """\
COMPLETED = [{"status": "completed", "amount": 12.5}, {"status": "completed", "amount": 30.0}]
OTHERS = [{"status": "cancelled", "amount": 500.0}, {"status": "refunded", "amount": 45.0}]
CENTS = [{"status": "completed", "amount": amount} for amount in (16.01, 33.2, 64.29)]
NONE = {"completed": 0, "cancelled": 0, "refunded": 0}
"""
# Name, points, what is given, what must come back.
CRITERIA = [
    (
        "numbers",
        2,
        "COMPLETED + OTHERS",
        '{"orders": 4, "revenue": 42.5, "by_status": {"completed": 2, "cancelled": 1, "refunded": 1}}',
    ),
    ("cents", 1, "CENTS", '{"orders": 3, "revenue": 113.5, "by_status": NONE | {"completed": 3}}'),
    ("nobody", 1, "[]", '{"orders": 0, "revenue": 0, "by_status": NONE}'),
]

DAG = """\
from airflow.sdk import DAG, task


{answer}

with DAG("totals", schedule=None):

    @task
    def fetch(dag_run=None):
        return dag_run.conf["orders"]

    @task
    def add_up(orders):
        return totals(orders)

    add_up(fetch())
"""
NOTE = (
    "The same task, answers, criteria and points everywhere: a function that adds up orders, three criteria, four "
    "points. Of each 30, 18 are right, 10 wrong in four ways, one is no Python, and one loops until a limit of 20 s. "
    "Each measurement compares every submission's points with those it deserves. For the others the function is all "
    "there is, without Airflow, which is kindest to them; here it is called by a task of a DAG, and each criterion "
    "is a run of that DAG on Airflow's own scheduling, locked in. nbgrader: one `nbgrader autograde` for all; it "
    "grades one after the other, ends with exit code 0 whatever the answers, and points are in its gradebook. "
    "otter-grader: its API `grade_submission`, in one process for all, without Docker; with Docker it starts a "
    "container for each. pytest: a process for each submission."
)
NOTE_DAGS = (
    "The same work on both sides: the very files that Windtunnel grades in the comparison above, without those that "
    "loop for ever. pytest loads each by DagBag in a process of its own, two at a time, and each criterion is a "
    "`dag.test()` over a migrated SQLite database of its own."
)
NOTE_COURSE = (
    "The course's own exercise 01, ten points for what several runs leave behind: its solution ten times, each with "
    "another comment. Nothing else can grade it, so there is nothing beside it."
)


@dataclass(frozen=True)
class Handed:
    """What a student handed in, and the points it deserves."""

    student: str
    answer: str
    points: int


def handed_in(count: int, *, endless: bool = True) -> list[Handed]:
    """A class. Of each 30, one answer loops for ever (unless it must not) and one is no Python; a third is wrong.

    No two texts are the same: nothing can be graded from memory.
    """
    found = []
    for number in range(count):
        place = number % 30
        if place == 7 and endless:
            text, points = ENDLESS
        elif place == 3:
            text, points = NO_PYTHON
        elif place % 3 == 1:
            text, points = WRONG[place // 3 % len(WRONG)]
        else:
            text, points = RIGHT_ONE
        found.append(Handed(f"student{number:03}", f"{text}# handed in by student{number:03}\n", points))
    return found


def per_minute(handed: Sequence[Handed], seconds: float) -> float:
    """Submissions."""
    return len(handed) / seconds * 60


def as_deserved(handed: Sequence[Handed], points: Mapping[str, float]) -> None:
    """Raise AssertionError, naming the first few, if anybody has other points."""
    other = {
        h.student: (points.get(h.student), h.points) for h in handed if points.get(h.student) != h.points
    }
    assert not other, f"other points than deserved: {dict(list(other.items())[:4])}"


# --- ours


def criteria() -> str:
    """The exercise's check."""
    tests = [
        f'@points({worth})\ndef test_{name}(submission):\n    """{name}"""\n'
        f'    [run] = submission.runs(Case("2026-03-02", conf={{"orders": {given}}}))\n'
        "    found = [each.value for each in run.succeeded().xcoms if each.task_id == 'add_up']\n"
        f"    assert found == [{expected}], found\n"
        for name, worth, given, expected in CRITERIA
    ]
    head = "from windtunnel.check import points\nfrom windtunnel.evidence import Case\n"
    return "\n\n".join([f"{head}\n{CASES}", *tests])


class Windtunnel:
    """``windtunnel grade``. ``handed`` are answers to ``slug``, as they are or (``wrapped``) as part of a DAG."""

    def __init__(self, own: Course, folder: Path, handed: Sequence[Handed], slug: str = SLUG) -> None:
        self._own, self._folder, self._handed, self._slug = own, folder, handed, slug
        folder.mkdir()
        for each in handed:
            text = DAG.format(answer=each.answer) if slug == SLUG else each.answer
            (folder / f"{each.student}.py").write_text(text)

    def grade(self, jobs: int) -> float:
        """Submissions a minute."""
        grades = self._folder.with_name(f"{self._folder.name}-grades")
        shutil.rmtree(grades, ignore_errors=True)
        limit = ["--timeout", str(LIMIT)] if self._slug == SLUG else []
        watch = stopwatch()
        done = self._own.windtunnel(
            "grade", self._folder, "-e", self._slug, "-j", str(jobs), "-f", "json", "-o", grades, *limit
        )
        took = watch()
        assert done.returncode == 0, (done.stdout + done.stderr)[-1000:]
        found = json.loads((grades / "grades.json").read_text())["grades"]
        as_deserved(self._handed, {each["student"]: each["points"] for each in found})
        return per_minute(self._handed, took)


# --- others


def notebook(cells: Sequence[Mapping[str, Any]], **metadata: Any) -> str:
    """A notebook of these cells."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    whole = {"cells": list(cells), "metadata": kernel | metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1)


def code(name: str, source: str, **metadata: Any) -> dict[str, Any]:
    """A cell."""
    return {
        "cell_type": "code",
        "id": name,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


class Nbgrader:
    """A course folder with the assignment generated and everything handed in; see nbgrader's user guide."""

    def __init__(self, python: Path, folder: Path, handed: Sequence[Handed]) -> None:
        self._program, self._folder, self._handed = python.with_name("nbgrader"), folder, handed
        folder.mkdir()
        (folder / "nbgrader_config.py").write_text(
            f"c = get_config()\nc.CourseDirectory.course_id = 'course'\nc.Execute.timeout = {LIMIT}\n"
        )
        source = folder / "source" / "totals" / "totals.ipynb"
        source.parent.mkdir(parents=True)
        solution = f"### BEGIN SOLUTION\n{RIGHT}### END SOLUTION\n"
        source.write_text(self._notebook(solution))
        self._run("generate_assignment", "totals")
        release = json.loads((folder / "release" / "totals" / "totals.ipynb").read_text())
        for each in handed:
            [answer] = [cell for cell in release["cells"] if _grade_id(cell) == "answer"]
            answer["source"] = each.answer
            mine = folder / "submitted" / each.student / "totals" / "totals.ipynb"
            mine.parent.mkdir(parents=True)
            mine.write_text(json.dumps(release))
        shutil.copy(folder / "gradebook.db", folder / "gradebook.empty")

    def grade(self) -> float:
        """Submissions a minute."""
        shutil.rmtree(self._folder / "autograded", ignore_errors=True)
        shutil.copy(self._folder / "gradebook.empty", self._folder / "gradebook.db")
        watch = stopwatch()
        self._run("autograde", "totals")
        took = watch()
        self._run("export")
        with (self._folder / "grades.csv").open(newline="") as file:
            points = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
        as_deserved(self._handed, points)
        return per_minute(self._handed, took)

    @staticmethod
    def _notebook(answer: str) -> str:
        def mark(name: str, **what: Any) -> dict[str, Any]:
            plain = {
                "schema_version": 3,
                "grade_id": name,
                "grade": False,
                "solution": False,
                "locked": False,
            }
            return {"nbgrader": plain | {"task": False} | what}

        tests = [
            code(
                f"test-{name}",
                f"{CASES}assert totals({given}) == {expected}",
                **mark(f"test-{name}", grade=True, locked=True, points=worth),
            )
            for name, worth, given, expected in CRITERIA
        ]
        return notebook([code("answer", answer, **mark("answer", solution=True)), *tests])

    def _run(self, *arguments: str) -> None:
        done = _in_group([str(self._program), *arguments], self._folder)
        assert done.returncode == 0, done.stdout[-1000:]


def _grade_id(cell: Mapping[str, Any]) -> str:
    found: str = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
    return found


class Otter:
    """An autograder.zip as `otter generate` makes it, and notebooks that call its checks."""

    # One import for all, as its documentation has it; a limit is what an instructor has to add.
    GRADE = dedent(f"""
        import json, signal, sys
        from otter.api import grade_submission

        def late(*_):
            raise TimeoutError

        signal.signal(signal.SIGALRM, late)
        points = {{}}
        for student in sys.argv[1:]:
            signal.alarm({LIMIT})
            try:
                graded = grade_submission(f"submissions/{{student}}.ipynb", "autograder.zip", quiet=True)
                points[student] = graded.total
            except TimeoutError:
                points[student] = 0
            finally:
                signal.alarm(0)
            json.dump(points, open("points.json", "w"))
        """)

    def __init__(self, python: Path, folder: Path, handed: Sequence[Handed]) -> None:
        self._python, self._folder, self._handed = python, folder, handed
        (folder / "tests").mkdir(parents=True)
        (folder / "submissions").mkdir()
        for name, worth, given, expected in CRITERIA:
            (folder / "tests" / f"{name}.py").write_text(
                "from otter.test_files import test_case\n\nOK_FORMAT = False\n\n"
                f'name = "{name}"\npoints = {worth}\n\n@test_case(points={worth})\n'
                f"def test_{name}(totals):\n{indent(CASES, '    ')}    assert totals({given}) == {expected}\n"
            )
        (folder / "grade.py").write_text(self.GRADE)
        done = _in_group(
            [str(python.with_name("otter")), "generate", "-t", "tests", "-o", "autograder.zip"], folder
        )
        assert done.returncode == 0, done.stdout[-1000:]
        first = code("start", "import otter\ngrader = otter.Notebook()")
        checks = [code(f"check-{name}", f'grader.check("{name}")') for name, *_ in CRITERIA]
        for each in handed:
            text = notebook([first, code("answer", each.answer), *checks])
            (folder / "submissions" / f"{each.student}.ipynb").write_text(text)

    def grade(self) -> float:
        """Submissions a minute."""
        (self._folder / "points.json").unlink(missing_ok=True)
        watch = stopwatch()
        done = _in_group(
            [str(self._python), "grade.py", *(each.student for each in self._handed)], self._folder
        )
        took = watch()
        assert done.returncode == 0, done.stdout[-1000:]
        as_deserved(self._handed, json.loads((self._folder / "points.json").read_text()))
        return per_minute(self._handed, took)


class Pytest:
    """A folder for each answer, and one test file that imports it."""

    HEAD = "from answer import totals\n"
    SECONDS = float(LIMIT)

    def __init__(self, python: Path, folder: Path, handed: Sequence[Handed]) -> None:
        self._python, self._folder, self._handed = python, folder, handed
        folder.mkdir()
        tests = [
            f"def test_{name}():\n    assert totals({given}) == {expected}\n"
            for name, _, given, expected in CRITERIA
        ]
        (folder / "test_totals.py").write_text("\n\n".join([f"{self.HEAD}\n{CASES}", *tests]))
        self.prepare()

    def prepare(self) -> None:
        """Lay out what was handed in."""
        for each in self._handed:
            (self._folder / each.student).mkdir()
            (self._folder / each.student / "answer.py").write_text(each.answer)

    def grade(self, jobs: int) -> float:
        """Submissions a minute."""
        watch = stopwatch()
        with ThreadPoolExecutor(jobs) as pool:
            points = dict(pool.map(self._one, self._handed))
        took = watch()
        as_deserved(self._handed, points)
        return per_minute(self._handed, took)

    def variables(self, mine: Path) -> dict[str, str]:
        """What the process of the submission in ``mine`` is told."""
        return {"PYTHONPATH": str(mine)}

    def _one(self, handed: Handed) -> tuple[str, int]:
        mine = self._folder / handed.student
        try:
            done = _in_group(
                [str(self._python), "-m", "pytest", "-q", "-rA", "--tb=short", "../test_totals.py"],
                mine,
                seconds=self.SECONDS,
                **self.variables(mine),
            )
        except subprocess.TimeoutExpired:
            return handed.student, 0
        worth = {f"test_{name}": points for name, points, *_ in CRITERIA}
        passed = [line.rpartition("::")[2] for line in done.stdout.splitlines() if line.startswith("PASSED ")]
        return handed.student, sum(worth[name] for name in passed)


class PytestDags(Pytest):
    """The same with our very DAG files: each loaded by DagBag, each criterion a ``dag.test()``, on SQLite."""

    SECONDS = 120.0
    HEAD = dedent("""
        import os
        from pathlib import Path

        from airflow.dag_processing.dagbag import DagBag

        BAG = DagBag(Path(os.environ["AIRFLOW_HOME"]) / "dags")


        def totals(orders):
            assert not BAG.import_errors
            run = BAG.dags["totals"].test(run_conf={"orders": orders})
            assert run.state == "success"
            return run.get_task_instance("add_up").xcom_pull(task_ids="add_up")
        """)

    def prepare(self) -> None:
        """An Airflow home with a migrated database for each, as none may see what another left."""
        first = self._folder / "first"
        (first / "dags").mkdir(parents=True)
        airflow = self._python.with_name("airflow")
        done = _in_group([str(airflow), "db", "migrate"], first, None, **self.variables(first))
        assert done.returncode == 0, done.stdout[-1000:]
        for each in self._handed:
            mine = self._folder / each.student
            shutil.copytree(first, mine)
            (mine / "dags" / "answer.py").write_text(DAG.format(answer=each.answer))
        # Configuration is written on first use, with the home in it.
        for config in self._folder.glob("*/airflow.cfg"):
            config.unlink()

    def variables(self, mine: Path) -> dict[str, str]:
        """An Airflow of its own."""
        return {"AIRFLOW_HOME": str(mine), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


def _in_group(
    command: Sequence[str], folder: Path, seconds: float | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a group of its own that is ended with it, kernels and all."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        # As in a shell where its environment is activated: nbgrader calls alembic by its name.
        env=plain_environment(PATH=f"{Path(command[0]).parent}:{os.environ['PATH']}", **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode, said)


# --- the subject


@contextmanager
def open_(bench: Bench) -> Iterator[Sequence[Comparison]]:
    """Everything handed in to everybody."""
    bench.say("environments of the others")
    pythons = {
        "nbgrader": environment(bench.kept, "nbgrader", "nbgrader==0.9.6", "ipykernel==7.4.0"),
        "otter": environment(bench.kept, "otter", "otter-grader==7.0.0", "ipykernel==7.4.0"),
        "pytest": environment(bench.kept, "pytest", "pytest==9.2.0"),
    }
    handed = handed_in(6, endless=False) if bench.quick else handed_in(60)
    bench.say("submissions")
    nbgrader = Nbgrader(pythons["nbgrader"], bench.folder / "nbgrader", handed)
    otter = Otter(pythons["otter"], bench.folder / "otter", handed)
    pytest = Pytest(pythons["pytest"], bench.folder / "pytest", handed)
    with graders(bench) as own:
        ours = Windtunnel(own, bench.folder / "handed-in", handed)
        yield [
            Comparison(
                "grading",
                f"Grading {len(handed)} submissions",
                "submissions a minute",
                {
                    "Windtunnel": lambda: ours.grade(2),
                    "Windtunnel, --jobs 1": lambda: ours.grade(1),
                    "nbgrader": nbgrader.grade,
                    "otter-grader": otter.grade,
                    "pytest, one process each": lambda: pytest.grade(1),
                    "pytest, two at a time": lambda: pytest.grade(2),
                },
                rounds=3,
                more=True,
                target=Target(beats="nbgrader", times=3),
                note=NOTE,
            ),
            _as_dags(own, bench),
            *([] if bench.quick else [_of_the_course(own, bench.folder / "handed-in-01")]),
        ]


@contextmanager
def graders(bench: Bench) -> Iterator[Course]:
    """A course with the exercise, its engine warm."""
    with course(bench.folder / "course", bench.kept / "checks") as own:
        own.add(SLUG, criteria(), DAG.format(answer=RIGHT))
        bench.say("the engine, warm")
        first = [Handed("first", f"{RIGHT}# the first\n", 4)]
        Windtunnel(own, bench.folder / "the-first", first).grade(1)
        yield own


def _as_dags(own: Course, bench: Bench) -> Comparison:
    """The same work on both sides: every criterion a run of the DAG."""
    handed = handed_in(2 if bench.quick else 10, endless=False)
    ours = Windtunnel(own, bench.folder / "handed-in-dags", handed)
    pytest = PytestDags(Path(sys.executable), bench.folder / "pytest-dags", handed)
    return Comparison(
        "grading_dags",
        f"Grading {len(handed)} DAGs",
        "submissions a minute",
        {"Windtunnel": lambda: ours.grade(2), "pytest, DagBag, two at a time": lambda: pytest.grade(2)},
        rounds=3,
        more=True,
        target=Target(beats="pytest, DagBag, two at a time"),
        note=NOTE_DAGS,
    )


def _of_the_course(own: Course, folder: Path) -> Comparison:
    """A real exercise's solution, from ten students."""
    slug = "01-first-dag"
    solution = (own.folder / "solutions" / slug / "solution.py").read_text()
    handed = [Handed(f"student{n:03}", f"{solution}# {n}\n", 10) for n in range(10)]
    ours = Windtunnel(own, folder, handed, slug)
    sides: dict[str, Measure] = {
        "Windtunnel": lambda: ours.grade(2),
        "Windtunnel, --jobs 1": lambda: ours.grade(1),
    }
    return Comparison(
        "grading_exercise",
        "Grading 10 right answers to a whole exercise of the course",
        "submissions a minute",
        sides,
        rounds=3,
        more=True,
        note=NOTE_COURSE,
    )


SUBJECT = Subject("grading", "a class's answers, graded", open_)
