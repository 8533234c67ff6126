"""``windtunnel grade``, with the real check."""

import csv
import json
import zipfile

import pytest
from typer.testing import CliRunner

from grading_course import GREET, HALF, RIGHT, grade, put
from windtunnel import cli
from windtunnel.errors import WindtunnelError
from windtunnel.grading.command import output_folder

pytest_plugins = "grading_fixtures"


def run(*arguments):
    """Exit code and what was said, in this process; a WindtunnelError comes through."""
    done = CliRunner().invoke(cli.app, ["grade", *map(str, arguments)], terminal_width=200)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_a_class_is_graded_by_the_same_check_as_a_reader(course, folder):
    put(folder, alice=RIGHT, bob="oops(", eve="import os; os._exit(0)")
    with zipfile.ZipFile(folder / "carol.zip", "w") as packed:
        packed.writestr("carol/answer.py", HALF)
    (folder / "dave.py").mkdir()
    code, said = run(folder, "-e", "01", "-f", "csv", "-f", "json", "-f", "junit")
    assert code == 0, said
    grades = course / "class-grades"
    rows = table(grades / "grades.csv")
    assert {name: (row["points"], row["status"]) for name, row in rows.items()} == {
        "alice": ("5", "passed"),
        "bob": ("0", "failed"),
        "carol": ("3", "failed"),
        "dave": ("0", "failed"),
        "eve": ("0", "failed"),
    }
    assert rows["alice"]["The DAG is called greet"] == "3"
    assert rows["bob"]["reason"].startswith("01-greet.py:1: ")
    assert rows["carol"]["reason"] == "it says '=HYPERLINK(1)'"
    assert rows["dave"]["reason"] == "dave.py is a folder, not a file"
    assert "alice" in said
    assert "5/5" in said
    assert "3 of 5 missed: The DAG is called greet" in said
    assert {path.name for path in grades.iterdir() if not path.name.startswith(".")} >= {
        *("index.html", "grades.csv", "grades.json", "grades.junit.xml", "journal.jsonl", "submissions"),
    }
    assert len(list((grades / "submissions").iterdir())) == 5
    assert sorted(path.name for path in folder.iterdir()) == [
        *("alice.py", "bob.py", "carol.zip", "dave.py", "eve.py"),
    ]
    again = table(grades / "grades.csv")
    code, said = run(folder, "-e", "01")
    assert (code, table(grades / "grades.csv")) == (0, again)
    assert "5 were finished and unchanged" in said


def test_what_could_not_be_graded_is_exit_code_2_and_no_zero(course, folder):
    put(folder, alice="name run", bob="broken")
    code, said = grade(course, folder, "-e", GREET, "-f", "json")
    assert code == 2
    found = json.loads((course / "class-grades/grades.json").read_text())["grades"]
    assert [(each["student"], each["points"]) for each in found] == [("alice", 5), ("bob", None)]
    assert "1 submission could not be graded" in said


@pytest.mark.parametrize("points", ["name run", "nothing"])
def test_whatever_the_points_all_graded_is_exit_code_0(course, folder, points):
    put(folder, alice=points)
    assert grade(course, folder, "-e", GREET)[0] == 0


def test_nothing_to_grade_is_exit_code_2_with_the_way_out(course, folder):
    code, said = grade(course, folder, "-e", GREET)
    assert code == 2
    assert "There is nothing to grade in" in said
    assert "Next: put one entry for each student there" in " ".join(said.split())
    assert not (course / "class-grades").exists()


def test_grades_never_go_where_something_else_is(course, folder):
    put(folder, alice="name")
    (course / "thesis").mkdir()
    (course / "thesis/chapter.txt").touch()
    with pytest.raises(WindtunnelError, match="is not empty"):
        run(folder, "-e", GREET, "-o", course / "thesis")
    with pytest.raises(WindtunnelError, match="among what was handed in"):
        output_folder(folder, folder)
    assert [path.name for path in (course / "thesis").iterdir()] == ["chapter.txt"]


def test_grades_kept_inside_the_folder_are_no_submission(course, folder):
    put(folder, alice="name")
    for _ in range(2):
        code, said = grade(course, folder, "-e", GREET, "-o", folder / "grades")
        assert code == 0, said
    assert list(table(folder / "grades/grades.csv")) == ["alice"]
