"""The commands of the exercise loop, as they are typed: exit codes, what they say, what they keep."""

import re
import subprocess
import sys

import pytest

import small_course
from sandboxes import ROOT, refusal, windtunnel
from small_course import FIRST, SECOND, STARTER
from windtunnel import cli, progress_record
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import answer_path, find


@pytest.fixture
def course(tmp_path, monkeypatch):
    small_course.without_waiting(monkeypatch)
    monkeypatch.setattr(
        "windtunnel.check.check", small_course.judged_by_its_words
    )  # of files that are no answers
    monkeypatch.setenv("COLUMNS", "120")
    progress_record.notes()
    return small_course.make(tmp_path, monkeypatch)


@pytest.fixture
def command(course, monkeypatch, capsys):
    """Runs the command in this process; returns its exit code and what it said."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["windtunnel", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return left.value.code, re.sub(r"\s+", " ", said.out), re.sub(r"\s+", " ", said.err)

    return command


def answer(slug, text):
    answer_path(slug).parent.mkdir(parents=True, exist_ok=True)
    answer_path(slug).write_text(text)


# --- check


@pytest.mark.parametrize(("text", "code"), [("name form", 0), ("name", 1), ("broken", 2)])
def test_the_exit_code_tells_the_verdict(command, text, code):
    answer(FIRST, text)
    found, out, err = command("check", "01")
    assert found == code
    assert ("Next: mend it." in err) == (code == 2)
    assert (f"{FIRST}: " in out) == (code != 2)


def test_one_that_cannot_be_judged_does_not_keep_the_others_from_it(command):
    answer(FIRST, "broken")
    answer(SECOND, "name form")
    code, out, err = command("check")
    assert code == 2
    assert "The check could not run." in err
    assert f"{SECOND}: 4 of 4 points." in out


def test_a_check_without_an_answer_brings_the_starter_and_judges_it(command):
    code, out, err = command("check", "01")
    assert code == 1
    assert answer_path(FIRST).read_text() == STARTER
    assert "that is the file to edit" in err
    assert "0 of 4 points" in out


def test_another_file_is_judged_and_is_no_progress(command, tmp_path):
    other = tmp_path / "other.py"
    other.write_text("name form")
    assert command("check", "01", "--file", str(other))[0] == 0
    assert progress_record.read().entry(FIRST).checks == 0
    assert not answer_path(FIRST).exists()
    answer(FIRST, "name")
    assert command("check", "01", "--file", str(answer_path(FIRST)))[0] == 1
    assert progress_record.read().entry(FIRST).best == 3


def test_a_file_without_an_exercise_is_refused(command):
    code, _, err = command("check", "--file", "x.py")
    assert (code, "--file needs to know which exercise" in err) == (2, True)


# --- hint


def test_each_call_shows_one_hint_more(command):
    assert "1 of 3; once more shows the next." in command("hint", "01")[1]
    assert "2 of 3; once more shows the next." in command("hint", "01")[1]
    for _ in range(2):
        assert "3 of 3; that was the last." in command("hint", "01")[1]


def test_all_hints_at_once(command):
    code, out, _ = command("hint", "01", "--all")
    assert code == 0
    assert [out.count(words) for words in ("Which greeting?", "Is it polite?", "The last")] == [1, 1, 1]


# --- progress


def test_progress_tells_points_state_hints_and_what_is_next(command):
    answer(FIRST, "name form")
    command("check", "01")
    answer(FIRST, "form")
    command("check", "01")
    command("hint", "02")
    code, out, _ = command("progress")
    assert code == 0
    assert re.search(rf"✓ {FIRST} done 1 of 4 4 0 of 3 \d{{4}}-\d\d-\d\d \d\d:\d\d", out)
    assert f"· {SECOND} not started - of 4 - 1 of 3 -" in out
    assert "4 of 8 points, 1/2 exercises done" in out
    assert f"Next: {SECOND}." in out


def test_a_damaged_progress_is_told_and_not_a_crash(command, course):
    (course / "work").mkdir()
    (course / "work" / progress_record.NAME).write_text("{")
    code, out, err = command("progress")
    assert code == 0
    assert f"Next: {FIRST}." in out
    assert "the old file is now" in err


def test_a_clone_without_exercises_is_one_message(command, course):
    for brief in course.glob("exercises/*/exercise.md"):
        brief.unlink()
    for name in ("progress", "watch"):
        code, _, err = command(name)
        assert (code, "This clone has no exercises." in err) == (2, True), name


def test_watch_has_nothing_to_do_when_all_is_done(command):
    for slug in (FIRST, SECOND):
        answer(slug, "name form")
    command("check")
    code, out, _ = command("watch")
    assert (code, "All exercises are done." in out) == (0, True)


# --- reset


def test_reset_of_an_exercise_says_where_the_old_answer_is(command):
    answer(FIRST, "mine")
    code, out, _ = command("reset", "01")
    kept = answer_path(FIRST).with_name(f"{FIRST}.backup-1.py")
    assert code == 0
    assert str(kept) in out
    assert (kept.read_text(), answer_path(FIRST).read_text()) == ("mine", STARTER)


def test_reset_of_an_exercise_does_not_touch_the_sandbox(command, monkeypatch):
    monkeypatch.setattr("windtunnel.sandbox.Sandbox.reset", lambda *_: pytest.fail("the sandbox was reset"))
    command("reset", "01")
    code, _, err = command("reset", "01", "--hard")
    assert (code, "--hard is about the sandbox" in err) == (2, True)


# --- all of them


@pytest.mark.parametrize(
    "arguments", [("check", "07"), ("watch", "07"), ("hint", "07"), ("reset", "07"), ("hint", "0")]
)
def test_an_unknown_exercise_is_one_message_with_those_there_are(command, arguments):
    code, _, err = command(*arguments)
    assert code == 2
    assert f"Next: choose one of {FIRST}, {SECOND}." in err


def test_every_command_is_in_a_panel_and_has_an_example():
    listed = subprocess.run(
        [sys.executable, "-m", "windtunnel.cli", "--help"], capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert re.findall(r"─ (\w+) ─", listed)[:4] == ["Options", "Sandbox", "Exercises", "Authors"]
    for command in cli.app.registered_commands:
        assert (command.epilog or "").startswith("Example: windtunnel "), command.callback
        assert command.rich_help_panel, command.callback


def test_the_real_check_is_kept_as_progress(tmp_path):
    answer = tmp_path / "work/answers/03-customer-segmentation.py"
    answer.parent.mkdir(parents=True)
    answer.write_text(find("03").solution.read_text())
    done = windtunnel(tmp_path, "check", "03", WINDTUNNEL_WARM="off")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All criteria are met." in done.stdout
    assert [path.name for path in answer.parent.iterdir()] == [answer.name]
    told = windtunnel(tmp_path, "progress").stdout
    assert re.search(r"✓\s+03-customer-segmentation\s+done\s+32 of 32", told)
    assert "no exercise" in refusal(windtunnel(tmp_path, "hint", "99"))


def test_a_brief_that_cannot_be_found_is_an_error_of_ours(course):
    with pytest.raises(WindtunnelError):
        find("nothing")
