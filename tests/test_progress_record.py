"""What a reader has done: kept whole, kept through updates, and set aside when it is damaged."""

import json
import subprocess
import sys

import pytest

import small_course
from small_course import FIRST, SECOND
from windtunnel import answers, progress_record, standings
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import exercises, find


@pytest.fixture
def file(tmp_path, monkeypatch):
    small_course.make(tmp_path, monkeypatch)
    small_course.without_waiting(monkeypatch)
    progress_record.notes()
    return tmp_path / "work" / progress_record.NAME


def verdict(earned, total=4, slug=FIRST):
    criteria = [Criterion(f"test_{n}", "x", 1, n < earned) for n in range(total)]
    return Verdict(slug, None, tuple(criteria))


def states():
    return {each.slug: each.state for each in standings.standings()}


def test_the_last_result_and_the_best_are_kept_apart(file):
    for earned in (1, 3, 2):
        progress_record.checked(verdict(earned))
    entry = progress_record.read().entry(FIRST)
    assert (entry.earned, entry.best, entry.total, entry.checks, entry.done) == (2, 3, 4, 3, False)
    assert entry.when


def test_done_stays_done_until_a_reset(file):
    progress_record.checked(verdict(4))
    progress_record.checked(verdict(1))
    assert progress_record.read().entry(FIRST).done
    progress_record.forgotten(FIRST)
    assert not progress_record.read().entry(FIRST).done
    progress_record.checked(verdict(1))
    entry = progress_record.read().entry(FIRST)
    assert (entry.done, entry.best) == (False, 4)


def test_an_exercise_that_is_worth_something_else_now_is_not_done_any_more(file):
    progress_record.checked(verdict(4))
    progress_record.checked(verdict(4, total=6))
    entry = progress_record.read().entry(FIRST)
    assert (entry.best, entry.total, entry.done) == (4, 6, False)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"exercises": []}',
        b'{"exercises": {"a": 1}}',
        b'{"exercises": {"a": {"best": "many"}}}',
        b'{"exercises": {"a": {"when": "yesterday"}}}',
    ],
)
def test_a_damaged_file_is_set_aside_and_the_reader_is_told_once(file, damage):
    file.parent.mkdir()
    file.write_bytes(damage)
    progress_record.checked(verdict(2))
    [note] = progress_record.notes()
    assert progress_record.notes() == []
    aside = file.with_name(".progress.json.damaged-1")
    assert str(aside) in note
    assert aside.read_bytes() == damage
    assert progress_record.read().entry(FIRST).earned == 2
    file.write_bytes(damage)
    progress_record.read()
    assert file.with_name(".progress.json.damaged-2").exists(), "the first was overwritten"


def test_what_we_do_not_know_is_kept(file):
    file.parent.mkdir()
    later = {"version": 9, "theme": "dark", "exercises": {"00-old": {"best": 3}, FIRST: {"stars": 5}}}
    file.write_text(json.dumps(later))
    progress_record.checked(verdict(1))
    found = json.loads(file.read_text())
    assert (found["version"], found["theme"]) == (9, "dark")
    assert found["exercises"]["00-old"] == {"best": 3}
    assert found["exercises"][FIRST]["stars"] == 5


def test_a_write_that_fails_leaves_the_old_file_whole(file, monkeypatch):
    progress_record.checked(verdict(2))
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("windtunnel.state.os.fdopen", full)
    with pytest.raises(WindtunnelError, match="No space left on device"):
        progress_record.checked(verdict(3))
    assert file.read_bytes() == before


def test_two_processes_at_a_time_lose_nothing(file):
    program = """
import sys
from windtunnel import progress_record
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    progress_record.hinted(f"{sys.argv[1]}-{number}", 1)
"""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
    assert len(progress_record.read().exercises) == 400


# --- where the reader stands


def test_states_follow_what_the_reader_did(file):
    assert states() == {FIRST: "not started", SECOND: "not started"}
    answers.attempt(find(FIRST))  # of the starter, which is no attempt
    assert states()[FIRST] == "not started"
    answers.save(find(FIRST), "name")
    assert states()[FIRST] == "begun"
    answers.attempt(find(FIRST))
    assert states()[FIRST] == "begun"
    answers.save(find(FIRST), "name form")
    answers.attempt(find(FIRST))
    assert states() == {FIRST: "done", SECOND: "not started"}


def test_an_exercise_that_is_gone_is_former(file):
    progress_record.checked(verdict(4, slug="00-old"))
    found = standings.standings()[-1]
    assert (found.slug, found.state, found.entry.best, found.total) == ("00-old", "former", 4, 4)


def test_the_points_are_read_from_the_criteria(file):
    assert standings.worth(find(FIRST)) == 4


def test_the_next_to_do_comes_after_this_one_and_around(file):
    assert standings.next_to_do().slug == FIRST
    assert standings.next_to_do(after=FIRST).slug == SECOND
    assert standings.next_to_do(after=SECOND).slug == FIRST
    progress_record.checked(verdict(4))
    assert standings.next_to_do().slug == SECOND
    assert standings.next_to_do(after=SECOND) is None


def test_the_points_of_every_exercise_of_this_course_add_up_to_its_brief():
    for exercise in exercises():
        total = f"| **Total** | **{standings.worth(exercise)}** |"
        brief = exercise.brief.read_text()
        assert total in brief or "**Total**" not in brief, exercise.slug
