"""Watch mode: what a save does, what a key does, and that it leaves the terminal and the machine as they were."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest
from rich.console import Console

import small_course
from sandboxes import COMMAND, environment, wait_for
from small_course import FIRST, SECOND, STARTER
from windtunnel import answers, keys, progress_record
from windtunnel.exercises import answer_path, exercises, find
from windtunnel.watch import Watch


@pytest.fixture
def course(tmp_path, monkeypatch):
    small_course.without_waiting(monkeypatch)
    progress_record.notes()
    return small_course.make(tmp_path, monkeypatch)


@pytest.fixture
def watch(course):
    """Watches while a script is played; returns what was drawn after each of its steps, the start first.

    A step is a key, or a function that does something to files. Each is followed by a look that finds the
    file as it was at the look before.
    """

    def watch(*script, slug=FIRST, **options):
        page, drawn = io.StringIO(), []
        steps = [part for step in script for part in (step, "")]

        def scripted(_seconds):
            if not steps or not isinstance(steps[0], str) or steps[0]:
                drawn.append(page.getvalue())
                page.seek(0)
                page.truncate()
            step = steps.pop(0) if steps else "q"
            if isinstance(step, str):
                return step
            step()
            return ""

        Watch(find(slug), Console(file=page, width=100), scripted, **options).run()
        return [*drawn, page.getvalue()]

    return watch


def writes(text, slug=FIRST):
    return lambda: answer_path(slug).write_text(text)


# --- saving


def test_it_begins_with_the_starter_and_what_is_missing_first(watch):
    [start, end] = watch()
    assert answer_path(FIRST).read_text() == STARTER
    assert "0/2 exercises done" in start
    assert f"work/answers/{FIRST}.py" in start
    assert "✘ The DAG is called greet 0/3\n  It is [not] called greet." in start
    assert "0 of 2 criteria are met; 1 more not yet." in start
    assert "It has form" not in start
    assert "h hint" in start
    assert end == ""


def test_a_save_is_judged_and_kept_as_progress(watch):
    [_, after, _] = watch(writes("name"))
    assert "✘ It has form 0/1" in after
    assert "3 of 4 points" in after
    assert "this is the last one" in after
    assert progress_record.read().entry(FIRST).best == 3


def test_a_save_of_the_same_text_is_not_judged_again(watch):
    [_, first, again, _] = watch(writes("name"), writes("name"))
    assert first
    assert again == ""


def test_a_save_by_renaming_is_seen(watch):
    def rename():
        other = answer_path(FIRST).with_name("4913~")
        other.write_text("name")
        other.replace(answer_path(FIRST))

    assert "It has form" in watch(rename)[1]


def test_a_file_that_is_gone_for_a_while_or_empty_stops_nothing(watch):
    [_, gone, empty, back, _] = watch(answer_path(FIRST).unlink, writes(""), writes("name"))
    assert gone == "", "the starter was put where the editor is about to put the file"
    assert "The DAG is called greet 0/3" in empty
    assert "It has form" in back


def test_half_a_file_is_not_judged(watch, monkeypatch):
    judged = []

    def attempt(exercise, progress):
        judged.append(answer_path(FIRST).read_text())
        return answers.attempt(exercise, progress)

    script = [writes("na"), writes("name"), writes("name form and more")]
    # No look between the three that would find the file as it was.
    monkeypatch.setattr("windtunnel.watch.INTERVAL", 0)
    page = io.StringIO()

    def scripted(_seconds):
        if script:
            script.pop(0)()
            return ""
        return "q" if len(judged) > 1 else ""

    Watch(find(FIRST), Console(file=page), scripted, attempt=attempt).run()
    assert judged == [STARTER, "name form and more"]


def test_what_is_saved_during_a_check_is_checked_next(watch):
    judged = []

    def attempt(exercise, progress):
        judged.append(answer_path(FIRST).read_text())
        if len(judged) == 1:
            writes("name")()
        return answers.attempt(exercise, progress)

    watch("x", attempt=attempt)
    assert judged == [STARTER, "name"]


@pytest.mark.parametrize("how", ["broken", "vanishes"])
def test_a_check_that_cannot_run_is_a_message_and_the_watch_goes_on(watch, how):
    def attempt(exercise, progress):
        if how == "vanishes" and "name" not in answer_path(FIRST).read_text():
            raise FileNotFoundError(2, "No such file or directory")
        return answers.attempt(exercise, progress)

    [start, after, _] = (
        watch(writes("name"), attempt=attempt) if how == "vanishes" else watch(writes("broken"))
    )
    if how == "broken":
        assert "✗ The check could not run.\nNext: mend it." in after
    else:
        assert "No such file or directory" in start
        assert "It has form" in after


# --- moving on


def test_a_pass_moves_on_to_the_next_and_after_the_last_it_ends(watch):
    drawn = watch(writes("name form"), writes("name form", SECOND), move_on=True)
    moved = drawn[1]
    assert f"✓ {FIRST} is done, 4 of 4 points." in moved
    assert "1/2 exercises done" in moved
    assert f"{SECOND}  Greet" in moved
    assert answer_path(SECOND).exists()
    assert "✓ All exercises are done." in drawn[-1]
    assert "2/2 exercises done" in drawn[-1]
    assert "h hint" not in drawn[-1]


def test_an_exercise_that_was_named_is_kept_after_a_pass(watch):
    [_, passed, _] = watch(writes("name form"))
    assert f"✓ {FIRST} is done" in passed
    assert SECOND not in passed


def test_on_the_way_an_answer_that_passes_already_is_passed_over(watch):
    answer_path(SECOND).parent.mkdir(parents=True)
    answer_path(SECOND).write_text("name form")
    drawn = watch(writes("name form"), move_on=True)
    assert "✓ All exercises are done." in drawn[-1]


# --- keys


def test_h_shows_one_hint_more_each_time(watch):
    [_, first, second, _] = watch("h", "H")
    assert "Which greeting?" in first
    assert "1 of 3; once more shows the next." in first
    assert "Is it polite?" in second
    assert "Which greeting?" not in second


def test_a_shows_all_criteria_and_l_the_list(watch):
    [_, everything, listed, _] = watch("a", "l")
    assert "✘ The DAG is called greet" in everything
    assert "✘ It has form" in everything
    assert f"{SECOND}  not started" in re.sub(r"  +", "  ", listed)


def test_n_goes_on_and_r_runs_again(watch):
    [_, following, again, _] = watch("n", "r")
    assert f"{SECOND}  Greet" in following
    assert f"{SECOND}  Greet" in again
    assert "✘ The DAG is called greet" in again


def test_r_brings_a_deleted_answer_back_as_the_starter(watch):
    [_, _, again, _] = watch(lambda: answer_path(FIRST).unlink(), "r")
    assert answer_path(FIRST).read_text() == STARTER
    assert "The starter is now work/answers" in again


def test_q_leaves_and_keys_after_it_do_nothing(watch):
    [_, after] = watch("qh")
    assert after == ""
    assert progress_record.read().entry(FIRST).hints == 0


def test_an_exercise_without_hints_says_so_and_the_watch_goes_on(watch):
    find(FIRST).brief.write_text("# Greet\n")
    [_, after, _] = watch("h")
    assert "✗ 01-greet has no hints." in after


def test_damaged_progress_is_told(watch, course):
    (course / "work").mkdir()
    (course / "work" / progress_record.NAME).write_text("{")
    assert "It begins anew" in watch()[0]


# --- a terminal


@pytest.fixture
def terminal():
    """Both ends of one: ours, and that of a program."""
    ours, theirs = pty.openpty()
    yield ours, os.fdopen(theirs, "r+b", buffering=0)
    os.close(ours)


def test_single_keys_are_read_and_the_terminal_is_as_it_was(terminal):
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    with pytest.raises(ZeroDivisionError), keys.pressed(theirs) as pressed:
        os.write(ours, b"h")
        assert pressed(5) == "h"
        os.write(ours, b"\x1b[A")
        assert pressed(5) == ""
        began = time.monotonic()
        assert pressed(0.1) == ""
        assert time.monotonic() - began >= 0.09
        assert termios.tcgetattr(theirs) != before
        raise ZeroDivisionError
    assert termios.tcgetattr(theirs) == before


def test_without_a_terminal_there_are_no_keys(tmp_path):
    with (tmp_path / "file").open("w+") as file, keys.pressed(file) as pressed:
        assert pressed is None
    assert keys.no_keys(0) == ""


def session_of(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


# No warm process for a state folder that goes away with the test.
COLD = {"WINDTUNNEL_WARM": "off"}
EXERCISE = exercises()[0].slug


class Shown:
    """The real command on a terminal of its own, and what it has shown."""

    def __init__(self, folder, *arguments):
        self.ours, theirs = pty.openpty()
        self.theirs, self.text = theirs, ""
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(folder, TERM="xterm", COLUMNS="100", LINES="60", **COLD),
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),  # its controlling terminal
        )

    def until(self, *words):
        """Wait until all these words are on the screen; what comes after is read afresh."""

        def look():
            if select.select([self.ours], [], [], 0)[0]:
                self.text += os.read(self.ours, 65536).decode(errors="replace")
            plain = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x1b]*\x1b\\)", "", self.text)
            self.screen = " ".join(plain.split())
            return all(each in self.screen for each in words)

        try:
            wait_for(f"{words!r} on the screen", look, 90)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen[-2000:]}") from None
        self.text = ""

    def press(self, key):
        os.write(self.ours, key.encode())

    def ended(self):
        """Its exit code, and whether its terminal is as it was."""
        code = self.process.wait(30)
        return code, termios.tcgetattr(self.theirs) == self.before

    def left(self):
        """Processes of its terminal session that still run."""
        return [p.name() for p in psutil.process_iter() if session_of(p.pid) == self.process.pid]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def shown(tmp_path):
    opened = []

    def shown(*arguments):
        opened.append(Shown(tmp_path, *arguments))
        return opened[-1]

    yield shown
    for each in opened:
        each.close()


def test_the_real_command_checks_a_real_save_and_leaves_by_q(shown, tmp_path):
    watching = shown("watch", EXERCISE)
    watching.until("criteria are met;", "more not yet.", "q quit")
    answer = tmp_path / f"work/answers/{EXERCISE}.py"
    assert answer.exists()
    other = answer.with_name("other~")
    other.write_text("import nothing_like_this  # Airflow reads only files that speak of a dag\n")
    other.replace(answer)
    watching.until("nothing_like_this", "q quit")
    watching.press("h")
    watching.until("; once more shows the next.", "q quit")
    watching.press("q")
    assert watching.ended() == (0, True)
    assert watching.left() == []


@pytest.mark.parametrize("sent", ["\x03", signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "term", "hup"])
def test_the_real_command_leaves_cleanly_however_it_is_told(shown, sent):
    watching = shown("watch", EXERCISE)
    watching.until("Checking")
    if isinstance(sent, str):
        watching.press(sent)
    else:
        watching.process.send_signal(sent)
    watching.until("Stopped watching; your answers and your progress are kept.")
    assert watching.ended() == (0, True)
    wait_for("the end of all it started", lambda: watching.left() == [], 30)


def test_without_a_terminal_it_watches_until_it_is_stopped(tmp_path):
    process = subprocess.Popen(
        [COMMAND, "watch", EXERCISE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(tmp_path, **COLD),
        text=True,
    )
    wait_for("the starter", (tmp_path / f"work/answers/{EXERCISE}.py").exists)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert sys.executable not in said
