"""What the tests of grading share: a course of two exercises, a class, and a checker nobody has to wait for."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.grading.submissions import Found, find

GREET, PART = "01-greet", "02-part"

CRITERIA = dedent('''\
    from windtunnel.check import points

    @points(3)
    def test_name(submission):
        """The DAG is called greet"""
        assert submission.dag.dag_id == "greet", f"it is called {submission.dag.dag_id}"

    @points(2)
    def test_run(submission):
        """It greets"""
        run = submission.run("2026-03-02").succeeded()
        assert run.xcoms[0].value == "hello", f"it says {run.xcoms[0].value!r}"
    ''')

RIGHT = dedent("""\
    from airflow.sdk import DAG, task

    with DAG("greet", schedule=None):
        @task
        def hello():
            return "hello"

        hello()
    """)
HALF = RIGHT.replace('"hello"', '"=HYPERLINK(1)"')


def make_course(root: Path) -> Path:
    """A course of two exercises below ``root``."""
    for slug in (GREET, PART):
        folder = root / "exercises" / slug
        folder.mkdir(parents=True)
        (folder / "exercise.md").write_text("# Greet\n")
        (folder / "test_greet.py").write_text(CRITERIA)
    return root


def put(folder: Path, **files: str) -> None:
    """Write ``alice="text"`` as alice.py."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def students(found: Found) -> dict[str, str]:
    """Student → exercise."""
    return {submission.student: submission.exercise for submission in found.submissions}


def only(folder: Path, exercise: str = GREET):
    """The only submission in ``folder``."""
    [submission] = find(folder, exercise).submissions
    return submission


def by_words(slug: str, answer: Path, time_limit: float, jobs: int) -> Verdict:
    """A verdict by what is written: ``name`` meets one criterion, ``run`` the other, ``broken`` is no verdict."""
    text = answer.read_text(encoding="utf-8")
    if "broken" in text:
        raise WindtunnelError("no room on the bench.")
    if "mistake" in text:
        raise ZeroDivisionError("ours")
    name = Criterion(
        "test_name", "The DAG is called greet", 3, "name" in text, "" if "name" in text else "no name"
    )
    run = Criterion(
        "test_run", "It greets", 2, "run" in text, "" if "run" in text else f"=no run, says {text!r}"
    )
    return Verdict(slug, answer, (name, run))


SCRIPT = """
import subprocess, sys, time
from pathlib import Path

sys.path.insert(0, {tests!r})
from grading_course import by_words
from windtunnel import exercises
from windtunnel.grading import batch
from windtunnel import cli

root = Path({root!r})
exercises.repo_root = lambda: root

def slowly(slug, answer, time_limit, jobs):
    with (root / "checked").open("a") as log:
        log.write(answer.read_text() + "\\n")
    if "wait" in answer.read_text():
        child = subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (root / "child").write_text(str(child.pid))
        child.wait()
    return by_words(slug, answer, time_limit, jobs)

batch.check = slowly
sys.argv = ["windtunnel", "grade", *sys.argv[1:]]
cli.main()
"""


def start(root: Path, *arguments: object) -> subprocess.Popen[str]:
    """``windtunnel grade`` on the course below ``root``, with verdicts by words; ``wait`` takes five minutes.

    What is checked is noted in the file ``checked``, whatever is waited for in ``child``.
    """
    script = root / "grade.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), root=str(root)))
    return subprocess.Popen(
        [sys.executable, "-P", str(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def grade(root: Path, *arguments: object) -> tuple[int, str]:
    """`start`, to its end: exit code, and what it said."""
    process = start(root, *arguments)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out + err
