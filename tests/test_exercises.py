"""What must hold for every exercise, whoever wrote it."""

import importlib.util
import inspect
import re

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.exercises import exercises
from windtunnel.misconceptions import Misconception, misconceptions
from windtunnel.paths import repo_root
from windtunnel.proof import claims
from windtunnel.starter import derive

EXERCISES = exercises()
CLAIMS = [claim for exercise in EXERCISES for claim in claims(exercise)]


def name(value):
    """A readable test id."""
    return getattr(value, "slug", None) or getattr(value, "name", None)


each = pytest.mark.parametrize("exercise", EXERCISES, ids=name)


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


@pytest.mark.parametrize(
    "claim", CLAIMS, ids=lambda claim: f"{claim.exercise.slug}-{claim.kind}-{claim.name}"
)
def test_the_check_judges_as_it_must(claim):
    assert claim.judged() == ""


@each
def test_a_starter_says_what_is_to_do_or_runs_with_its_bugs(exercise):
    text, solution = exercise.starter.read_text(), exercise.solution.read_text()
    assert "TODO: " in text or "# STARTER" in solution


@each
def test_two_right_answers_in_other_styles_are_known(exercise):
    assert len(exercise.right) >= 2
    assert len({path.read_text() for path in [*exercise.right, exercise.solution]}) == len(exercise.right) + 1


@each
def test_at_least_eight_misconceptions_are_known(exercise):
    assert len(misconceptions(exercise.wrong)) >= 8


@each
def test_every_criterion_refuses_some_misconception(exercise):
    # A criterion that nothing fails is either idle or has no known mistake: write one.
    assert {wrong.criterion for wrong in misconceptions(exercise.wrong)} == set(criteria(exercise))


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
def test_the_brief_says_how_long_it_takes_and_what_it_needs(exercise):
    assert re.search(
        r"^# .+\n\n\*[^*]*(minutes|hour)[^*]*\. You need [^*]+\.\*\n", exercise.brief.read_text()
    )


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
    compared = {"reference.md", "reference.ipynb"} if exercise.reference.exists() else set()
    assert files(exercise.solution.parent) == {"solution.py", "wrong.toml", "right", *compared}


def test_an_edit_must_fit_the_solution_exactly_once():
    edit = Misconception("drifted", "x = 1", "x = 2", "test_it", ("x",))
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
        misconceptions(file)


def test_no_folder_is_an_orphan():
    slugs = {exercise.slug for exercise in EXERCISES}
    for parent in ("exercises", "solutions"):
        assert {path.name for path in (repo_root() / parent).iterdir()} == slugs
    for slug in slugs:
        assert re.fullmatch(r"\d\d-[a-z0-9-]+", slug)
