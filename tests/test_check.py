import io
from textwrap import dedent

import pytest
from rich.console import Console

from windtunnel import exercises
from windtunnel.check import Criterion, Verdict, check
from windtunnel.errors import WindtunnelError
from windtunnel.evidence import Case, NotJudged, Submission
from windtunnel.views.verdict import render

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

    def test_form(submission):
        """Worth one point when nothing is said, and cannot be judged"""
        submission.dag.tasks["absent"]
    ''')

GREET = dedent("""\
    from airflow.sdk import DAG, task

    print('{"ready": false}')  # must not be taken for evidence

    with DAG("greet", schedule=None):
        @task
        def hello():
            return "hello"

        hello()
    """)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with two exercises."""
    for slug in ("01-greet", "02-part"):
        folder = tmp_path / "exercises" / slug
        folder.mkdir(parents=True)
        (folder / "exercise.md").write_text("# Greet\n")
        (folder / "test_greet.py").write_text(CRITERIA)
    monkeypatch.setattr(exercises, "repo_root", lambda: tmp_path)
    monkeypatch.setenv("WINDTUNNEL_WORK", str(tmp_path / "work"))
    return tmp_path


def answer(folder, text):
    file = folder / "answer.py"
    file.write_text(dedent(text))
    return file


# --- finding


def test_a_unique_prefix_is_enough(course):
    assert exercises.find("01").slug == exercises.find("01-greet").slug == "01-greet"


@pytest.mark.parametrize("name", ["", "07", "greet", "0"])
def test_an_unknown_or_ambiguous_slug_lists_those_there_are(course, name):
    with pytest.raises(WindtunnelError) as error:
        check(name)
    assert "01-greet, 02-part" in error.value.next_step
    assert repr(name) in error.value.message


def test_a_missing_answer_is_named_with_the_way_to_begin(course):
    with pytest.raises(WindtunnelError) as error:
        check("01")
    assert str(course / "work/answers/01-greet.py") in error.value.message
    assert "starter.py" in error.value.next_step


# --- judging


def test_a_verdict_has_every_criterion_with_its_points(course):
    verdict = check("01", answer(course, GREET))
    name, run, form = verdict.criteria
    assert (name.name, name.text, name.points, name.passed) == (
        "test_name",
        "The DAG is called greet",
        3,
        True,
    )
    assert (run.passed, run.message) == (True, "")
    assert (form.points, form.passed) == (1, False)
    assert form.message.startswith("Your result could not be judged: KeyError: 'absent'")
    assert (verdict.earned, verdict.total, verdict.exit_code) == (5, 6, 1)


def test_a_syntax_error_is_told_once_with_its_place_and_no_traceback(course):
    verdict = check("01", answer(course, "from airflow.sdk import DAG\n\nwith DAG('greet')\n    pass\n"))
    messages = [criterion.message for criterion in verdict.criteria]
    assert messages[0] == "answer.py:3: expected ':': with DAG('greet')"
    assert messages[1:] == ["Not judged, for the reason given above."] * 2
    assert (verdict.earned, verdict.exit_code) == (0, 1)


def test_a_single_criterion_can_be_asked_for(course):
    [criterion] = check("01", answer(course, "oops("), only="test_run").criteria
    assert (criterion.name, criterion.passed) == ("test_run", False)


def test_nothing_beside_the_criteria_is_pytest_configuration(course):
    for folder in (course, course / "exercises"):
        (folder / "conftest.py").write_text("raise RuntimeError('read')\n")
    assert check("01", answer(course, GREET), only="test_name").passed


def test_criteria_that_cannot_be_loaded_give_no_verdict(course):
    (course / "exercises/01-greet/test_greet.py").write_text("import nothing_like_it\n")
    with pytest.raises(WindtunnelError, match="nothing_like_it"):
        check("01", answer(course, GREET))


def test_a_bench_that_cannot_start_gives_no_verdict(course, monkeypatch):
    (course / "file").touch()
    monkeypatch.setenv("WINDTUNNEL_STATE", str(course / "file/state"))
    monkeypatch.setenv("WINDTUNNEL_WARM", "off")
    with pytest.raises(WindtunnelError, match=r"cannot keep its database.*file/state"):
        check("01", answer(course, GREET))


# --- evidence, from a source that runs nothing


class Recorded:
    """A source with one recorded run, which counts how often it is asked."""

    def __init__(self, **found):
        self.asked = 0
        self.found = {"state": "success", "tasks": {"t": "success"}, "xcoms": [], "files": {}} | found

    def parse(self, answer):
        shape = {
            "schedule": None,
            "catchup": False,
            "start_date": None,
            "max_active_runs": 16,
            "tags": [],
            "tasks": {},
        }
        return {"error": "", "dags": {"d": shape}}

    def run(self, answer, dag_id, cases):
        self.asked += 1
        return [self.found for _ in cases]


@pytest.fixture
def recorded(tmp_path):
    def recorded(**found):
        return Submission(answer(tmp_path, ""), Recorded(**found)).run("2026-03-02")

    return recorded


def test_a_question_asked_again_is_not_run_again(tmp_path):
    source = Recorded()
    submission = Submission(answer(tmp_path, ""), source)
    assert submission.run("2026-03-02") is submission.runs(Case("2026-03-02"))[0]
    submission.run("2026-03-02", twice=True)
    submission.run("2026-03-02", {"customers": []})
    assert source.asked == 3


def test_a_missing_file_lists_what_there_is(recorded):
    with pytest.raises(NotJudged, match=r"left no a\.csv under WINDTUNNEL_DATA; it left b\.csv"):
        recorded(files={"b.csv": ""}).rows("a.csv")


def test_a_missing_file_of_a_failed_run_tells_the_failure_instead(recorded):
    run = recorded(state="failed", errors={"t": "ValueError: no"})
    with pytest.raises(NotJudged, match="ended failed: t failed with ValueError: no"):
        run.text("a.csv")


def test_a_missing_column_lists_the_columns(recorded):
    with pytest.raises(NotJudged, match=r"a\.csv has no column y; its columns are x, z"):
        recorded(files={"a.csv": "x,z\n1,2\n"}).rows("a.csv", "x", "y")


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', "[Infinity]", ""])
def test_what_is_no_json_is_refused_by_name(recorded, text):
    with pytest.raises(NotJudged, match=r"a\.json cannot be read as JSON"):
        recorded(files={"a.json": text}).json("a.json")


def test_a_green_run_without_tasks_is_no_success(recorded):
    with pytest.raises(NotJudged, match="without running a single task: is start_date later"):
        recorded(tasks={}).succeeded()


# --- the view


def shown(*criteria):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(Verdict("01-greet", None, criteria)))
    return console.export_text()


def test_a_verdict_shows_points_and_messages_word_for_word():
    text = shown(Criterion("a", "First", 2, True), Criterion("b", "Second", 3, False, "saw [red] here"))
    assert "✔ First 2/2" in text
    assert "✘ Second 0/3\n  saw [red] here" in text
    assert "01-greet: 2 of 5 points. 1 criterion is not met yet." in text


def test_a_full_verdict_says_so():
    assert "2 of 2 points. All criteria are met." in shown(Criterion("a", "First", 2, True))
