"""What must hold for every exercise, whoever wrote it."""

import importlib.util
import inspect
import re

import pytest

from windtunnel.check import check
from windtunnel.errors import WindtunnelError
from windtunnel.evidence import NotJudged, Submission
from windtunnel.exercises import exercises
from windtunnel.misconceptions import Variant, variants
from windtunnel.paths import repo_root
from windtunnel.starter import derive
from windtunnel.workbench import Workbench

EXERCISES = exercises()
WRONG = [(exercise, wrong) for exercise in EXERCISES for wrong in variants(exercise.wrong)]
RIGHT = [(exercise, right) for exercise in EXERCISES for right in variants(exercise.right)]


def name(value):
    """A readable test id."""
    return getattr(value, "slug", None) or getattr(value, "name", None)


each = pytest.mark.parametrize("exercise", EXERCISES, ids=name)


@pytest.fixture(scope="module")
def workbench():
    """One process for all variants: Airflow is imported once, and we trust our own misconceptions."""
    with Workbench() as workbench:
        yield workbench


@pytest.fixture
def submit(workbench, tmp_path):
    """Text in, a submission out."""

    def submit(text):
        answer = tmp_path / "answer.py"
        answer.write_text(text)
        return Submission(answer, workbench)

    return submit


def criteria(exercise):
    """The criteria of an exercise by name; they are plain functions of a submission."""
    spec = importlib.util.spec_from_file_location(f"criteria_{exercise.slug}", exercise.criteria)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


def test_there_are_exercises():
    assert EXERCISES


@each
def test_the_starter_is_derived_from_the_solution(exercise):
    assert exercise.starter.read_text() == derive(exercise.solution.read_text())


@each
def test_the_solution_gets_full_points(exercise):
    verdict = check(exercise.slug, exercise.solution)
    assert [(c.name, c.message) for c in verdict.criteria if not c.passed] == []
    assert verdict.exit_code == 0


@each
def test_the_starter_imports_and_fails_by_naming_a_todo(exercise):
    verdict = check(exercise.slug, exercise.starter)
    messages = " ".join(c.message for c in verdict.criteria)
    assert verdict.exit_code == 1
    assert verdict.earned <= verdict.total / 4
    assert "cannot import" not in messages
    assert "TODO: " in messages


@pytest.mark.parametrize(("exercise", "wrong"), WRONG, ids=name)
def test_a_misconception_is_refused_by_its_criterion_in_words_that_name_it(exercise, wrong, submit):
    submission = submit(wrong.of(exercise.solution.read_text()))
    with pytest.raises(AssertionError) as refusal:
        criteria(exercise)[wrong.criterion](submission)
    missing = [words for words in wrong.words if words not in str(refusal.value)]
    assert not missing, f"not in the message: {missing}\nthe message: {refusal.value}"


@pytest.mark.parametrize(("exercise", "right"), RIGHT, ids=name)
def test_another_right_answer_gets_full_points(exercise, right, submit):
    submission = submit(right.of(exercise.solution.read_text()))
    for criterion in criteria(exercise).values():
        criterion(submission)


@each
def test_at_least_eight_misconceptions_are_known(exercise):
    assert len(variants(exercise.wrong)) >= 8


@each
def test_every_criterion_refuses_some_misconception(exercise):
    # A criterion that nothing fails is either idle or has no known mistake: write one.
    assert {wrong.criterion for wrong in variants(exercise.wrong)} == set(criteria(exercise))


@each
def test_every_criterion_says_what_it_asks_in_one_line_and_has_points(exercise):
    for criterion in criteria(exercise).values():
        first, *rest = inspect.cleandoc(criterion.__doc__).splitlines()
        assert first
        assert not first.endswith(".")
        assert not rest
        assert criterion.points >= 1
        assert list(inspect.signature(criterion).parameters) == ["submission"]


@each
def test_the_points_in_the_text_are_those_of_the_criteria(exercise):
    table = re.search(r"## Points\n(.*?)\n## ", exercise.brief.read_text(), re.DOTALL)[1]
    *listed, total = [int(number) for number in re.findall(r"\|\s*\**(\d+)\**\s*\|$", table, re.MULTILINE)]
    assert listed == [criterion.points for criterion in criteria(exercise).values()]
    assert total == sum(listed)


@each
def test_there_are_hints_and_none_is_empty(exercise):
    _, _, hints = exercise.brief.read_text().partition("\n## Hints\n")
    _, *staged = re.split(r"^### .+$", hints, flags=re.MULTILINE)
    assert len(staged) >= 3
    assert all(len(hint.split()) >= 10 for hint in staged)


@each
def test_hints_do_not_give_the_solution_away(exercise):
    _, _, hints = exercise.brief.read_text().partition("\n## Hints\n")
    lines = {line.strip() for line in exercise.solution.read_text().splitlines() if len(line.strip()) > 40}
    assert [line for line in lines if line in hints] == []


@each
def test_an_exercise_is_these_files_and_no_others(exercise):
    def files(folder):
        return {path.name for path in folder.iterdir() if path.name != "__pycache__"}

    assert files(exercise.folder) == {"exercise.md", "starter.py", exercise.criteria.name}
    assert (
        {"solution.py", "wrong.toml"}
        <= files(exercise.solution.parent)
        <= {
            "solution.py",
            "wrong.toml",
            "right.toml",
        }
    )


def test_an_edit_must_fit_the_solution_exactly_once():
    edit = Variant("drifted", find="x = 1", replace="x = 2")
    assert edit.of("x = 1\n") == "x = 2\n"
    for solution in ("y = 1\n", "x = 1\nx = 1\n"):
        with pytest.raises(WindtunnelError, match=r"'drifted': its `find` is [02] times"):
            edit.of(solution)


@pytest.mark.parametrize(
    "entry",
    [
        'name = "a"\nfind = "b"\nreplace = "c"',
        'name = "a"\nfind = "b"\nreplace = "c"\ncriterion = "d"\nwords = []',
        'name = "a"\nfind = "b"\nreplace = "c"\ncriterion = "d"\nwords = ["e"]\npoints = 1',
    ],
)
def test_an_incomplete_misconception_is_refused_by_file_and_name(tmp_path, entry):
    file = tmp_path / "wrong.toml"
    file.write_text(f"[[wrong]]\n{entry}\n")
    with pytest.raises(
        WindtunnelError, match=r"wrong\.toml: 'a' must have criterion, find, name, replace, words"
    ):
        variants(file)


def test_no_folder_is_an_orphan():
    slugs = {exercise.slug for exercise in EXERCISES}
    for parent in ("exercises", "solutions"):
        assert {path.name for path in (repo_root() / parent).iterdir()} == slugs
    for slug in slugs:
        assert re.fullmatch(r"\d\d-[a-z0-9-]+", slug)


def test_an_answer_that_cannot_be_imported_stays_apart_from_the_next(submit):
    # The workbench is shared by all variants above: nothing of one may reach another.
    with pytest.raises(NotJudged, match="cannot import"):
        submit("from airflow.sdk import DAG\n1 / 0\n").run("2026-03-02")
    assert submit(EXERCISES[0].solution.read_text()).dag.dag_id
