"""A student's notebook, run from the top and compared with the reference of a made-up exercise."""

import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from grading_course import GREET, PART, by_words, only
from sandboxes import wait_for
from windtunnel import exercises
from windtunnel.engine import jail
from windtunnel.errors import WindtunnelError
from windtunnel.grading import contained, notebook, rehearsal
from windtunnel.grading.archive import Broken
from windtunnel.grading.batch import Grader

pytest_plugins = "grading_fixtures"
KNOWN = [GREET, PART]


def tagged(source, tag, *outputs):
    return new_code_cell(source, metadata={"tags": [tag]}, outputs=list(outputs))


def printed(text):
    return new_output("stream", name="stdout", text=text)


def shown(text):
    return new_output("execute_result", data={"text/plain": text})


REFERENCE = new_notebook(
    cells=[
        new_code_cell("start = 40"),
        tagged("name = 2\nprint('an answer')", "answer", printed("an answer\n")),
        tagged("start + name", "output", shown("42")),
    ],
    metadata={"windtunnel": {"points": 4}},
)


def handed_in(answer, *more, result="start + name"):
    cells = [
        new_markdown_cell("# Mine"),
        new_code_cell("start = 40"),
        new_code_cell(f"%%exercise 01\n{answer}"),
        new_code_cell(result),
        *map(new_code_cell, more),
    ]
    return new_notebook(cells=cells)


def rehearsed(nb, timeout=60.0):
    return rehearsal.rehearse(nb, REFERENCE, GREET, KNOWN, timeout)


RIGHT = "name = 2\nprint('an answer')"


# --- what nbval is given


def test_only_the_cells_of_the_reference_are_compared_and_with_its_outputs():
    nb = rehearsal.prepare(handed_in(RIGHT, "extra"), REFERENCE, GREET, KNOWN)
    told = [(cell.source.split("\n")[0], cell.metadata.tags, cell.outputs) for cell in nb.cells[1:]]
    assert told == [
        ("start = 40", ["nbval-ignore-output"], []),
        ("name = 2", [], REFERENCE.cells[1].outputs),
        ("start + name", [], REFERENCE.cells[2].outputs),
        ("extra", ["nbval-ignore-output"], []),
    ]
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2, 3, 4]


def test_a_student_cannot_have_cells_skipped_or_forgiven():
    nb = handed_in(RIGHT, "# NBVAL_SKIP\n1 / 0", "  ## NBVAL_RAISES_EXCEPTION\n1 / 0")
    nb.cells[3].metadata.tags = ["nbval-skip", "raises-exception", "skip-execution"]
    prepared = rehearsal.prepare(nb, REFERENCE, GREET, KNOWN)
    from nbval.plugin import find_comment_markers, find_metadata_tags

    options = [
        dict(find(what)) for cell in prepared.cells
        for find, what in ((find_comment_markers, cell.source), (find_metadata_tags, cell.metadata))
    ]  # fmt: skip
    assert all(set(option) <= {"check"} for option in options)


def test_a_cell_that_raises_in_the_reference_may_raise():
    reference = new_notebook(cells=[*REFERENCE.cells, tagged("1 / 0", "raises-exception")])
    prepared = rehearsal.prepare(handed_in(RIGHT, "1 / 0", "2 / 0"), reference, GREET, KNOWN)
    assert ["raises-exception" in cell.metadata.tags for cell in prepared.cells[4:]] == [True, False]


def test_a_missing_cell_is_named():
    with pytest.raises(Broken, match=r"The cell that begins with `start \+ name` is missing or was changed"):
        rehearsal.prepare(handed_in(RIGHT, result="42"), REFERENCE, GREET, KNOWN)


def test_a_cell_is_known_by_its_tag_where_its_text_was_changed():
    nb = handed_in(RIGHT, result="name + start  # mine")
    nb.cells[3].metadata.tags = ["output"]
    prepared = rehearsal.prepare(nb, REFERENCE, GREET, KNOWN)
    assert prepared.cells[3].outputs == REFERENCE.cells[2].outputs


# --- run


def test_a_notebook_that_shows_what_was_asked_passes():
    assert rehearsed(handed_in(RIGHT)) == ""


@pytest.mark.parametrize(
    ("nb", "words"),
    [
        (handed_in(RIGHT.replace("2", "3")), ["Code cell 3 (`start + name`) shows something else", "'42' == '43'"]),
        (handed_in("name = 2"), ["Code cell 2 (`name = 2`) shows something else"]),
        (handed_in(RIGHT, "1 / 0"), ["Code cell 4 (`1 / 0`) could not run: ZeroDivisionError: division by zero"]),
        (handed_in(RIGHT, "import os; os._exit(1)"), ["could not run: the kernel died"]),
        (handed_in(RIGHT, "input()"), ["could not run: StdinNotImplementedError"]),
    ],
    ids=["other result", "nothing printed", "raises", "dies", "asks"],
)  # fmt: skip
def test_what_a_notebook_does_not_do_is_told_at_its_cell(nb, words):
    told = rehearsed(nb)
    for word in words:
        assert word in told
    assert "\x1b" not in told
    assert "#x1B" not in told


@pytest.mark.parametrize("locked", [True, False], ids=["locked in", "open"])
def test_a_notebook_that_goes_on_for_ever_is_ended_with_all_it_started(monkeypatch, locked):
    started = contained.started
    monkeypatch.setattr(contained, "started", lambda *a, **k: started(*a, **k | {"locked": locked}))
    mark = str(300 + time.time() % 1)  # what the child is known by

    def children():
        found = psutil.process_iter(["cmdline"])
        return [process for process in found if process.info["cmdline"] == ["sleep", mark]]

    hidden = (
        f"import subprocess\nsubprocess.Popen(['sleep', '{mark}'], start_new_session=True, env={{}}).wait()"
    )
    told = []
    thread = threading.Thread(target=lambda: told.append(rehearsed(handed_in(RIGHT, hidden), timeout=20)))
    thread.start()
    wait_for("the child", children)
    thread.join(timeout=60)
    assert told == ["It was still running after 20 s."]
    wait_for("the end of the child", lambda: not children(), patience=10)


def test_a_notebook_that_needs_no_airflow_sees_neither_files_nor_network(tmp_path):
    if not jail.namespaces():
        pytest.skip("this system forbids namespaces: such notebooks run open, as the README says")
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    tries = (
        "import pathlib, socket\n"
        f"assert not pathlib.Path({str(secret)!r}).exists()\n"
        f"assert not pathlib.Path({str(Path(__file__).parents[1] / 'README.md')!r}).exists()\n"
        f"pathlib.Path({str(tmp_path)!r}).mkdir(parents=True, exist_ok=True)\n"
        "try: socket.create_connection(('192.0.2.1', 53), timeout=2)\n"
        "except OSError as error: assert error.errno == 101, error\n"
        "else: assert False, 'reached'\n"
    )
    told = rehearsed(handed_in(RIGHT, tries))
    assert "PermissionError" in told or told == "", told
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_memory_is_limited():
    assert "MemoryError" in rehearsed(handed_in(RIGHT, "x = bytearray(20 * 2**30)"))


# --- as part of a grade


@pytest.fixture
def alice(folder):
    """A notebook handed in to an exercise that wants one."""
    solution = exercises.find(GREET).solution
    solution.parent.mkdir(parents=True)
    nbformat.write(REFERENCE, solution.with_name("reference.ipynb"))
    nbformat.write(handed_in(RIGHT), folder / "alice.ipynb")
    return only(folder)


def test_the_notebook_is_a_criterion_of_its_own_beside_those_of_the_answer(alice):
    grader = Grader(60, by_words)
    grade = grader.grade(alice, grader.open(alice))
    assert [(each.name, each.points, each.passed) for each in grade.criteria] == [
        ("test_name", 3, True),
        ("test_run", 2, False),
        ("notebook", 4, True),
    ]
    assert grade.criteria[2].text == "The notebook runs top to bottom and shows what was asked"
    assert (grade.earned, grade.total) == (7, 9)


def test_a_reference_that_is_broken_is_nobodys_zero(alice):
    exercises.find(GREET).solution.with_name("reference.ipynb").write_text("{")
    grader = Grader(60, by_words)
    grade = grader.grade(alice, grader.open(alice))
    assert grade.status == "error"
    assert "The reference of 01-greet is broken" in grade.reason


def test_a_run_that_cannot_start_is_nobodys_zero(monkeypatch):
    monkeypatch.setattr(rehearsal, "_command", lambda sandbox: ["false"])
    with pytest.raises(WindtunnelError, match="The notebook could not be run"):
        rehearsed(handed_in(RIGHT))


def test_where_no_notebook_is_asked_for_none_is_run(folder, monkeypatch):
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_: 1 / 0)
    assert rehearsal.criteria(GREET, b"", KNOWN, 1) == []
    assert notebook.exercises_in(handed_in(RIGHT), KNOWN) == [GREET]
