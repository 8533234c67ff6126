"""Answers that are cells: run by the engine, their outputs compared with a reference's by nbval."""

import json
import re
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
from nbval.plugin import IPyNbFile

from windtunnel import notebook_answers
from windtunnel.engine import jail
from windtunnel.engine.client import judged
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import exercises
from windtunnel.notebook_answers import difference, problem, runs, tables
from windtunnel.paths import repo_root
from windtunnel.run_table import MIME, table

CRITERIA = '''
import json

def test_it(submission):
    """What is shown"""
    raise AssertionError("seen " + json.dumps(submission.outputs()))
'''
enclosed = pytest.mark.skipif(not jail.namespaces(), reason="this user may have no namespaces here")


def shown(folder: Path, text: str, seconds: float = 60.0):
    """The outputs of a cell that the engine runs; a text says why there are none."""
    answer, criteria = folder / "answer.py", folder / "test_criteria.py"
    answer.write_text(dedent(text))
    criteria.write_text(CRITERIA)
    order = {"answer": str(answer), "criteria": str(criteria), "only": None, "time_limit": 120.0}
    found = judged(order | {"seconds": seconds, "jobs": 1})
    assert not found["broken"], found["broken"]
    message = found["criteria"][0]["message"]
    return json.loads(message.removeprefix("seen ")) if message.startswith("seen ") else message


def display(text, mime="text/plain"):
    return {"output_type": "display_data", "data": {mime: text}, "metadata": {}}


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


# --- what the engine sees of a cell


def test_a_cell_shows_what_a_notebook_would(tmp_path):
    outputs = shown(
        tmp_path,
        """\
        import sys
        from IPython.display import HTML, display

        print("one")
        print("two")
        display(HTML("<b>three</b>"))
        print("four", file=sys.stderr)
        {"five": 5}
        """,
    )
    assert outputs == [
        stream("one\ntwo\n"),
        {
            "output_type": "display_data",
            "data": {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>three</b>"},
            "metadata": {},
        },
        {"output_type": "stream", "name": "stderr", "text": "four\n"},
        {"output_type": "execute_result", "data": {"text/plain": "{'five': 5}"}, "metadata": {}},
    ]


def test_a_cell_shows_a_table_of_runs(tmp_path):
    [output] = shown(
        tmp_path,
        """\
        from windtunnel.run_table import expect
        expect("orders", "run_after | ds\\n2026-03-02 | 2026-03-02")
        """,
    )
    assert output["data"][MIME] == {
        "dag_id": "orders",
        "runs": [{"run_after": "2026-03-02 00:00", "ds": "2026-03-02"}],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nprint(undefined)", "NameError: name 'undefined' is not defined (line 2 of answer.py)"),
        ("def f():\n    return 1 / 0\n\nf()", "ZeroDivisionError: division by zero (line 2 of answer.py)"),
        ("x = (", "answer.py:1: '(' was never closed"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 (line 2 of answer.py)"),
    ],
)
def test_a_cell_that_fails_says_why_and_where(tmp_path, text, words):
    assert words in shown(tmp_path, text)


def test_a_table_that_cannot_be_read_costs_no_other_its_place(tmp_path):
    outputs = shown(
        tmp_path,
        """\
        from windtunnel.run_table import expect
        expect("orders", "ds\\n2026-13-01")
        expect("stock", "ds\\n2026-03-01")
        """,
    )
    assert "the ds of run 1 is '2026-13-01'" in problem(tables(outputs, "orders")[0])
    assert problem(tables(outputs, "stock")[0]) == ""


# --- hostile cells


@pytest.mark.parametrize(
    "flood",
    [
        'print("x" * 100_000_000)',
        'while True:\n    print("x" * 1000)',
        'from IPython.display import display\nwhile True:\n    display({"text/plain": "x" * 1000}, raw=True)',
        'import sys\nsys.stderr.write("x" * 100_000_000)',
    ],
)
def test_a_flood_is_stopped(tmp_path, flood):
    assert "Stopped: it showed more than 1 MB of text" in shown(tmp_path, flood)


def test_an_endless_cell_is_stopped(tmp_path):
    assert "running your cell took more than 2 s" in shown(tmp_path, "while True:\n    pass", seconds=2.0)


def test_a_cell_that_ends_its_process_loses_its_outputs(tmp_path):
    assert "does the file end Python itself?" in shown(tmp_path, "import os\nos._exit(0)")


@enclosed
def test_a_cell_cannot_read_the_reference(tmp_path):
    reference = next(each.reference for each in exercises() if each.reference.exists())
    [output] = shown(
        tmp_path,
        f"""\
        import os
        for path in [{str(reference)!r}, {str(reference.parent)!r}, {str(repo_root() / "solutions")!r}]:
            print(os.path.exists(path))
        """,
    )
    assert output["text"].splitlines() == ["False", "False", "False"]


@enclosed
def test_a_cell_that_shows_the_reference_is_refused_for_there_is_none(tmp_path):
    reference = next(each.reference for each in exercises() if each.reference.exists())
    said = shown(
        tmp_path,
        f"""\
        import json
        from IPython.display import display
        for cell in json.load(open({str(reference)!r}))["cells"]:
            for output in cell.get("outputs", []):
                display(output["data"], raw=True)
        """,
    )
    assert "FileNotFoundError" in said


def test_a_report_of_another_form_is_not_believed(tmp_path):
    said = shown(
        tmp_path,
        """\
        from IPython.display import display
        display({"text/plain": {"not": "a text"}}, raw=True)
        """,
    )
    assert said == "What the cell showed is not what a notebook can hold."


# --- nbval's comparison


def test_the_same_outputs_do_not_differ():
    outputs = [stream("a\n"), display("b"), display({"c": 1}, "application/json")]
    assert difference(outputs, outputs) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([display("another")], "text/plain: expected\none\nbut seen\nanother"),
        ([], "Missing output fields"),
        ([display("one"), display("two")], "dissimilar number of outputs"),
        ([display("one"), stream("more")], "Unexpected output fields"),
    ],
)
def test_other_outputs_differ_in_words(seen, words):
    assert words in difference(seen, [display("one")])


def test_what_is_not_compared_is_what_nbval_does_not_compare():
    config = SimpleNamespace(option=SimpleNamespace(nbval_lax=False, nbdime=False))
    file = object.__new__(IPyNbFile)
    file.parent = SimpleNamespace(config=config)
    # ``__init__`` of the class above needs a session; the attribute is set after it.
    original = pytest.File.__init__
    pytest.File.__init__ = lambda *_, **__: None
    try:
        IPyNbFile.__init__(file)
    finally:
        pytest.File.__init__ = original
    assert set(file.skip_compare) == set(notebook_answers.NOT_COMPARED)


def test_comparing_changes_no_output():
    outputs = [stream("a\n"), stream("b\n")]
    difference(outputs, outputs)
    assert outputs == [stream("a\n"), stream("b\n")]


# --- tables of runs


def of(dag_id, rows):
    return {"output_type": "display_data", "data": table(dag_id, rows)._repr_mimebundle_(), "metadata": {}}


def test_the_tables_of_one_dag_are_found():
    outputs = [stream("noise"), of("a", "ds\n2026-03-01"), of("b", "ds\nnone"), display("text")]
    assert [runs(each) for each in tables(outputs, "a")] == [[{"ds": "2026-03-01"}]]
    assert [runs(each) for each in tables(outputs, "b")] == [[]]
    assert tables(outputs, "c") == []


@pytest.mark.parametrize(
    "data",
    [
        "text",
        {"dag_id": "a"},
        {"dag_id": "a", "runs": None},
        {"dag_id": "a", "runs": "text"},
        {"dag_id": "a", "runs": ["text"]},
        {"dag_id": "a", "runs": [{"ds": 1}]},
        {"dag_id": "a", "runs": [{"other": "1"}]},
    ],
)
def test_what_expect_did_not_make_has_no_runs(data):
    assert runs(display(data, MIME)) is None


def test_a_reference_that_is_missing_is_named():
    with pytest.raises(WindtunnelError, match="The reference of 01-first-dag cannot be read"):
        notebook_answers.reference("01-first-dag")


# --- the exercises of this kind

OF_THIS_KIND = [each for each in exercises() if each.reference.exists()]


def headers(text):
    """The calls of DAG in a text, without the layout of the place they stand in."""
    plain = re.sub(r"\s+", " ", re.sub(r"\n#\s+", " ", text))
    found = set()
    for begin in re.finditer(r"DAG\(", plain):
        end, depth = begin.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            end += 1
        found.add(plain[begin.start() : end])
    return found


@pytest.mark.parametrize("exercise", OF_THIS_KIND, ids=lambda each: each.slug)
def test_the_dags_that_are_asked_about_are_those_that_ran(exercise):
    ran = headers(exercise.reference.with_suffix(".md").read_text())
    assert len(ran) == 8
    assert headers(exercise.brief.read_text()) == ran
    assert headers(exercise.solution.read_text()) == ran
