"""Many submissions side by side: nobody's accident is another's, and nothing that is finished is lost."""

import io
import json
import os
import signal
import threading
import time

import psutil
import pytest
from rich.console import Console

from grading_course import GREET, by_words, grade, put, start
from sandboxes import wait_for
from windtunnel import exercises
from windtunnel.check import Criterion
from windtunnel.errors import WindtunnelError
from windtunnel.grading import batch, journal
from windtunnel.grading.batch import Grader
from windtunnel.grading.grades import Grade, graded
from windtunnel.grading.journal import Journal
from windtunnel.grading.progress import board
from windtunnel.grading.submissions import find

pytest_plugins = "grading_fixtures"


class Silent:
    """Nobody watches."""

    def started(self, submission):
        pass

    def finished(self, submission, grade, *, kept):
        pass


def run(folder, checker=by_words, jobs=2, again=False, timeout=120):
    output = folder.parent / "out"
    output.mkdir(exist_ok=True)
    kept = Journal(output, again=again)
    grades = batch.run(find(folder, GREET).submissions, Grader(timeout, checker), kept, Silent(), jobs=jobs)
    kept.close()
    return {grade.student: grade for grade in grades}


def worth(grades):
    return {name: (grade.status, grade.earned) for name, grade in grades.items()}


# --- one


def test_one_bad_submission_never_affects_another(folder):
    put(folder, alice="name run", bob="", carol="broken", dave="mistake", erin="name")
    (folder / "frank.py").mkdir()
    assert worth(run(folder)) == {
        "alice": ("passed", 5),
        "bob": ("failed", 0),
        "carol": ("error", None),
        "dave": ("error", None),
        "erin": ("failed", 3),
        "frank": ("failed", 0),
    }


def test_a_submission_that_cannot_be_opened_has_every_criterion_and_the_reason_at_the_first(folder):
    (folder / "alice.py").mkdir()
    grade = run(folder)["alice"]
    assert grade.reason == "alice.py is a folder, not a file"
    assert [(each.points, each.message) for each in grade.criteria] == [
        (3, "alice.py is a folder, not a file."),
        (2, "Not judged, for the reason given above."),
    ]


def test_the_reason_is_the_first_criterion_that_is_not_met_in_one_line(folder):
    put(folder, alice="name\nnothing")
    assert run(folder)["alice"].reason == r"=no run, says 'name\nnothing'"


def test_a_check_that_could_not_run_is_tried_once_more_and_then_nobodys_zero(folder):
    tried = []

    def checker(slug, answer, limit, jobs):
        tried.append(answer.read_text())
        return by_words(slug, answer, limit, jobs)

    put(folder, alice="broken")
    grade = run(folder, checker)["alice"]
    assert tried == ["broken", "broken"]
    assert (grade.status, grade.earned, grade.percent) == ("error", None, None)
    assert grade.reason == "The check could not run: no room on the bench."


def test_a_check_that_runs_the_second_time_counts(folder):
    texts = iter(["broken", "name run"])

    def checker(slug, answer, limit, jobs):
        answer.write_text(next(texts))
        return by_words(slug, answer, limit, jobs)

    put(folder, alice="x")
    assert worth(run(folder, checker)) == {"alice": ("passed", 5)}


def test_the_answer_is_checked_under_a_name_that_hides_no_module_within_the_time_limit(folder):
    seen = []

    def checker(slug, answer, limit, jobs):
        seen.append((answer.name, answer.parent != folder, limit))
        return by_words(slug, answer, limit, jobs)

    put(folder, json="name")
    run(folder, checker, timeout=7)
    assert seen == [(f"{GREET}.py", True, 7)]


def test_as_many_run_at_a_time_as_were_asked_for(folder):
    put(folder, **{f"s{n}": "name run" for n in range(6)})
    gate, most = threading.Barrier(3, timeout=20), []
    lock, now = threading.Lock(), [0]

    def checker(slug, answer, limit, jobs):
        with lock:
            now[0] += 1
            most.append(now[0])
        gate.wait()
        with lock:
            now[0] -= 1
        return by_words(slug, answer, limit, jobs)

    run(folder, checker, jobs=3)
    assert max(most) == 3


def test_one_that_takes_a_quarter_of_its_time_does_not_hold_up_the_others(folder):
    put(folder, alice="name wait", bob="name", carol="run")
    others = threading.Semaphore(0)

    def checker(slug, answer, limit, jobs):
        if "wait" not in answer.read_text():
            others.release()
        elif not (others.acquire(timeout=20) and others.acquire(timeout=20)):
            raise WindtunnelError("nobody else was graded.")
        return by_words(slug, answer, limit, jobs)

    grades = run(folder, checker, jobs=1, timeout=2)
    assert worth(grades) == {"alice": ("failed", 3), "bob": ("failed", 3), "carol": ("failed", 2)}


def test_however_many_take_long_no_more_than_twice_as_many_as_asked_for_are_under_way(folder):
    put(folder, **{f"s{n}": "name run" for n in range(6)})
    most, lock, now = [], threading.Lock(), [0]

    def checker(slug, answer, limit, jobs):
        with lock:
            now[0] += 1
            most.append(now[0])
        time.sleep(0.8)
        with lock:
            now[0] -= 1
        return by_words(slug, answer, limit, jobs)

    assert len(run(folder, checker, jobs=1, timeout=0.4)) == 6
    assert max(most) <= 2


def test_halves_of_characters_and_control_characters_become_something_every_file_can_hold():
    grade = graded(
        "a",
        "e",
        [Criterion("c", "t", 1, False, "\ud800\x1b[31m\x00\nnext")],
        file="",
        source="\ud800",
        seconds=1,
    )
    assert grade.criteria[0].message == "?\ufffd[31m\ufffd\nnext"
    assert grade.reason == "?\ufffd[31m\ufffd next"
    assert Grade.from_dict(json.loads(json.dumps(grade.to_dict()))) == grade


# --- the journal


def test_what_is_finished_and_unchanged_is_not_graded_again(folder):
    checked = []

    def checker(slug, answer, limit, jobs):
        checked.append(answer.read_text())
        return by_words(slug, answer, limit, jobs)

    put(folder, alice="name", bob="run", carol="broken")
    first = run(folder, checker)
    assert sorted(checked) == ["broken", "broken", "name", "run"]
    checked.clear()
    put(folder, bob="name run")
    second = run(folder, checker)
    assert sorted(checked) == ["broken", "broken", "name run"], "errors are tried again, changes are graded"
    assert second["alice"] == first["alice"]
    assert worth(second)["bob"] == ("passed", 5)
    checked.clear()
    run(folder, checker, again=True)
    assert sorted(checked) == ["broken", "broken", "name", "name run"]


def test_a_grade_depends_on_answer_criteria_version_and_time_limit(course, monkeypatch):
    exercise = exercises.find(GREET)
    keys = [journal.key("a", exercise, 120)]
    (exercise.folder / "exercise.md").write_text("another brief")
    assert journal.key("a", exercise, 120) == keys[0]
    keys += [journal.key("b", exercise, 120), journal.key("a", exercise, 60)]
    with monkeypatch.context() as patch:
        patch.setattr(journal, "version", lambda name: f"9 {name}")
        keys.append(journal.key("a", exercise, 120))
    (exercise.folder / "test_greet.py").write_text("# other criteria")
    keys.append(journal.key("a", exercise, 120))
    exercise.solution.parent.mkdir(parents=True)
    exercise.solution.with_name("reference.ipynb").write_text("{}")
    keys.append(journal.key("a", exercise, 120))
    assert len(set(keys)) == 6


def test_a_truncated_last_line_is_ignored_and_harms_no_later_one(folder):
    put(folder, alice="name", bob="run")
    before = run(folder, jobs=1)
    path = folder.parent / "out" / journal.NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    checked = []

    def checker(slug, answer, limit, jobs):
        checked.append(answer.read_text())
        return by_words(slug, answer, limit, jobs)

    assert worth(run(folder, checker)) == worth(before)
    assert len(checked) == 1
    run(folder, checker)
    assert len(checked) == 1


@pytest.mark.parametrize(
    "line", ["", "null", "[]", '{"key": 1}', '{"key": "k", "grade": {"student": 1}}', "\x00"]
)
def test_a_line_that_is_no_entry_is_passed_over(course, line):
    (course / journal.NAME).write_text(line + "\n")
    kept = Journal(course)
    kept.add("k", Grade("alice", GREET, "passed"))
    kept.close()
    assert Journal(course).find("alice", "k").status == "passed"


def test_students_with_the_same_answer_have_a_grade_each(folder):
    put(folder, alice="name", bob="name")
    run(folder)
    assert {name: grade.student for name, grade in run(folder).items()} == {"alice": "alice", "bob": "bob"}


# --- however it ends


def test_after_kill_9_the_same_command_goes_on(course, folder):
    put(folder, alice="name run", bob="wait name", carol="run")
    first = start(course, folder, "-e", GREET, "--jobs", "2")
    journal_file = course / "class-grades" / journal.NAME
    wait_for("two finished", lambda: journal_file.exists() and journal_file.read_bytes().count(b"\n") == 2)
    first.kill()
    first.communicate()
    psutil.Process(int((course / "child").read_text())).kill()
    assert not (course / "class-grades/grades.csv").exists()
    (course / "checked").unlink()
    put(folder, bob="name")
    code, said = grade(course, folder, "-e", GREET)
    assert (course / "checked").read_text() == "name\n"
    assert code == 0
    assert "2 were finished and unchanged" in said
    assert (course / "class-grades/grades.csv").read_text(encoding="utf-8-sig").count("\n") == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_says_how_to_go_on_and_leaves_nothing_running(course, folder, number, monkeypatch):
    (course / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(course / "tmp"))
    put(folder, alice="name run", bob="wait", carol="wait")
    process = start(course, folder, "-e", GREET, "-j", "2")
    wait_for("bob", lambda: (course / "child").exists() and (course / "child").read_text())
    wait_for("alice", (course / "class-grades" / journal.NAME).exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    began = time.monotonic()
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 130
    assert "Stopped: 1 of 3 are graded and kept; nothing is left running." in err
    assert "the same command again" in err
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not list((course / "class-grades").glob("grades.*"))
    assert not list((course / "tmp").iterdir())


def test_two_at_once_on_the_same_output_are_refused_by_name(course, folder):
    put(folder, alice="wait")
    first = start(course, folder, "-e", GREET)
    try:
        wait_for("the first", lambda: (course / "child").exists() and (course / "child").read_text())
        code, said = grade(course, folder, "-e", GREET)
        assert code == 2
        assert "Another `windtunnel grade` is writing to" in said
        assert str(course / "class-grades") in said.replace("\n", "")
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)


# --- what is shown meanwhile


def shown(folder, terminal):
    page = io.StringIO()
    console = Console(file=page, width=100, force_terminal=terminal, color_system=None)
    [submission] = find(folder, GREET).submissions
    with board(console, 2) as watching:
        watching.started(submission)
        watching.bar and watching.bar.refresh()
        watching.finished(
            submission, Grade("[red]", GREET, "error", reason="no [bench]", seconds=1.23), kept=False
        )
        watching.finished(submission, Grade("[red]", GREET, "passed"), kept=True)
    return page.getvalue()


def test_without_a_terminal_each_submission_is_a_line(folder):
    put(folder, **{"[red]": "x"})
    assert shown(folder, False) == "[1/2] [red]  01-greet  error  1.2 s  no [bench]\n"


def test_on_a_terminal_names_under_way_and_counts_are_shown(folder):
    put(folder, **{"[red]": "x"})
    text = shown(folder, True)
    assert "[red]" in text
    assert "0/2" in text
    assert "1 not graded" in text
