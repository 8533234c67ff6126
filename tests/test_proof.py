"""The proof of the checks: what it accepts, what it objects to, and that it stops when told."""

import contextlib
import io
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

import proof_course
from proof_course import SLUG, WRONG
from windtunnel import exercises, proof
from windtunnel.check import Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.views.proof import Cell, terminal
from windtunnel.views.verdict import WIDTH


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Makes the course, with what is given instead of what is right."""
    return lambda **instead: proof_course.make(tmp_path, monkeypatch, **instead)


def interrupt_after(event):
    """Ctrl-C for the main thread as soon as the event has happened."""
    person = threading.main_thread().ident
    threading.Thread(
        target=lambda: (event.wait(10), signal.pthread_kill(person, signal.SIGINT)), daemon=True
    ).start()


def objections(found):
    return {outcome.claim.name: outcome.objection for outcome in found.broken}


def test_a_check_that_tells_right_from_wrong_is_proven(course):
    course()
    found = proof.prove("01")
    assert objections(found) == {}
    assert found.exit_code == 0
    [tally] = found.tallies
    assert (tally.slug, tally.right, tally.wrong, tally.starter, tally.points) == (
        SLUG,
        (2, 2),
        (2, 2),
        True,
        4,
    )
    assert tally.holds


def test_a_criterion_that_lets_its_misconception_pass_is_named(course):
    course(
        wrong=WRONG.replace('find = "name "', 'find = "BEGIN"').replace(
            'replace = ""', 'replace = "begin"', 1
        )
    )
    found = proof.prove()
    assert objections(found) == {"nameless": "test_name lets it pass"}
    assert found.exit_code == 1
    assert found.tallies[0].wrong == (1, 2)
    assert not found.tallies[0].holds


def test_a_refusal_in_other_words_does_not_count(course):
    course(wrong=WRONG.replace("no form", "no shape"))
    assert objections(proof.prove()) == {
        "formless": "test_form does not say ['no shape']; it says: There is no form."
    }


def test_a_right_answer_that_is_refused_is_told_why(course):
    root = course()
    (root / "solutions" / SLUG / "right" / "other.py").write_text("name")
    found = proof.prove()
    assert objections(found) == {"other": "refused by test_form: There is no form."}
    assert found.tallies[0].right == (1, 2)


@pytest.mark.parametrize(
    ("starter", "objection"),
    [
        ("form", ""),
        ("name", "it earns 3 of 4 points"),
        (
            "import x",
            "it cannot be imported: Airflow cannot import your file Airflow cannot import your file",
        ),
    ],
)
def test_a_starter_runs_and_is_not_enough(course, starter, objection):
    course(starter=starter)
    found = proof.prove()
    assert objections(found).get("starter", "") == objection
    assert found.tallies[0].starter == (not objection)


def test_what_cannot_be_judged_is_neither_accepted_nor_refused(course):
    root = course(starter="broken")
    found = proof.prove()
    assert objections(found) == {"starter": "not judged: The check could not run."}
    assert found.exit_code == 2
    (root / "solutions" / SLUG / "solution.py").unlink()
    assert proof.prove().tallies[0].points == 0


def test_a_misconception_that_no_longer_fits_the_solution_is_no_proof(course):
    course(wrong=WRONG.replace('find = " form"', 'find = "shape"'))
    found = proof.prove()
    assert list(objections(found)) == ["formless"]
    assert "its `find` is 0 times in the solution" in found.broken[0].objection
    assert found.exit_code == 2


def test_outcomes_stand_in_the_order_of_the_claims_whichever_came_first(course, monkeypatch):
    course()

    def slow_at_first(slug, answer, *, only=None):
        time.sleep(0.3 if "TODO" in answer.read_text() else 0)
        return proof_course.judged_by_its_words(slug, answer, only=only)

    monkeypatch.setattr(proof, "check", slow_at_first)
    names = [outcome.claim.name for outcome in proof.prove(jobs=2).outcomes]
    assert names == ["starter", "solution", "other", "nameless", "formless"]
    some = proof.claims(exercises.find("01"))
    assert [outcome.claim.name for outcome in proof.trials(some, 2)][-1] == "starter"


def test_leaving_a_trial_waits_for_no_check_and_leaves_no_file(course, monkeypatch, tmp_path):
    course()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    Path(tempfile.tempdir).mkdir()
    hanging, free = threading.Event(), threading.Event()

    def hangs(slug, answer, *, only=None) -> Verdict:
        hanging.set()
        free.wait(30)
        return proof_course.judged_by_its_words(slug, answer, only=only)

    monkeypatch.setattr(proof, "check", hangs)
    trials = proof.trials(proof.claims(exercises.find("01")), 1)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), contextlib.closing(trials):
        interrupt_after(hanging)
        next(trials)
    assert time.monotonic() - began < 5
    free.set()
    assert list(Path(tempfile.tempdir).iterdir()) == []


def test_an_unknown_exercise_is_refused_with_those_there_are(course):
    course()
    with pytest.raises(WindtunnelError, match="There is no exercise '07'"):
        proof.prove("07")


# --- what is shown


def test_the_table_says_the_same_every_time(course):
    course()
    assert repr(proof.prove().table()).splitlines()[1:] == [
        "exercise  right accepted  wrong refused  starter        points",
        "--------  --------------  -------------  -------------  ------",
        "01-greet  2/2             2/2            as it must be  4",
    ]


def test_the_terminal_names_each_claim_that_does_not_hold(course):
    course(wrong=WRONG.replace("no name", "[nothing]"))
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(terminal(proof.prove()))
    said = console.export_text()
    assert "✗ 01-greet, wrong: nameless" in said
    assert "There is no name [x]." in said
    assert "1 of 5 claims do not hold." in said


def test_the_matrix_shows_who_refuses_what(course):
    course(wrong=WRONG.replace('find = " form"\nreplace = ""', 'find = "name form"\nreplace = "neither"'))
    found = proof.refusals("01")
    assert list(found.criteria) == ["name", "form"]
    assert [(row.name, list(row.cells)) for row in found.rows] == [
        ("nameless", [Cell.NAMED, Cell.MET]),
        ("formless", [Cell.ALSO, Cell.NAMED]),
    ]
    assert "nameless  ●  ·\nformless  ○  ●" in repr(found)
    assert found._repr_html_().count('aria-label="refused by the criterion about it"') == 2


def test_a_matrix_without_a_verdict_is_an_error(course):
    course(wrong=WRONG.replace('replace = ""', 'replace = "broken"', 1))
    with pytest.raises(WindtunnelError, match="The check could not run"):
        proof.refusals("01")


# --- with the real engine


def test_a_criterion_in_a_file_is_tried_on_answers_before_it_is_in_a_course(tmp_path):
    criteria = tmp_path / "test_kind.py"
    criteria.write_text(
        "from windtunnel.check import points\n\n@points(1)\ndef test_name(submission):\n"
        '    """It is called greet"""\n'
        '    assert submission.dag.dag_id == "greet", f"It is called {submission.dag.dag_id}."\n'
    )
    dag = 'from airflow.sdk import DAG\n\ndag = DAG("greet", schedule=None)\n'
    found = proof.judged_by(criteria, {"right": dag, "wrong": dag.replace("greet", "meet")})
    assert found.rows == [["right", "accepted", ""], ["wrong", "refused", "It is called meet."]]
    criteria.write_text("def test_name(:\n")
    with pytest.raises(WindtunnelError, match="The criteria could not run"):
        proof.judged_by(criteria, {"right": dag})
