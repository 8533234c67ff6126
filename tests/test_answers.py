"""The reader's answers: begun, saved from a cell, checked, put back; and nothing of theirs is lost."""

import os

import pytest

import small_course
from small_course import FIRST, STARTER
from windtunnel import answers, progress_record, work
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import answer_path, find


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    small_course.make(tmp_path, monkeypatch)
    small_course.without_waiting(monkeypatch)
    return find(FIRST)


@pytest.fixture
def file(exercise):
    return answer_path(exercise.slug)


def backups(file):
    return {path.name: path.read_text() for path in file.parent.glob("*.backup-*")}


# --- begun


def test_a_missing_answer_begins_as_the_starter_and_the_reader_is_told_which_file(exercise, file):
    [note] = answers.begin(exercise)
    assert file.read_text() == STARTER
    assert f"work/answers/{FIRST}.py" in note
    assert answers.begin(exercise) == []


def test_an_answer_is_not_begun_again(exercise, file):
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert answers.begin(exercise) == []
    assert file.read_text() == "mine"


def test_a_file_that_comes_to_be_while_the_starter_is_copied_is_kept(exercise, file, monkeypatch):
    # An editor that saves by renaming has the file gone for an instant: `exists` is asked in that instant.
    file.parent.mkdir(parents=True)
    copyfile = work.shutil.copyfile

    def editor_saves_meanwhile(source, target):
        file.write_text("mine")
        return copyfile(source, target)

    monkeypatch.setattr(work.shutil, "copyfile", editor_saves_meanwhile)
    answers.begin(exercise)
    assert file.read_text() == "mine"
    assert not answers.untouched(exercise)


def test_an_untouched_starter_is_no_answer_yet(exercise, file):
    assert answers.untouched(exercise)
    answers.begin(exercise)
    assert answers.untouched(exercise)
    file.write_text("mine")
    assert not answers.untouched(exercise)


def test_without_a_starter_the_way_to_bring_it_back_is_named(exercise):
    exercise.starter.unlink()
    with pytest.raises(WindtunnelError, match="has no starter") as refused:
        answers.begin(exercise)
    assert "git restore exercises" in refused.value.next_step


# --- saved from a cell


def test_a_cell_is_saved_word_for_word(exercise, file):
    assert answers.save(exercise, "# ü\nname") == []
    assert file.read_bytes() == "# ü\nname".encode()


def test_an_edited_file_is_kept_when_a_cell_takes_its_place(exercise, file):
    answers.begin(exercise)
    file.write_text("mine")
    [note] = answers.save(exercise, "from the cell")
    assert "01-greet.backup-1.py" in note
    assert backups(file) == {"01-greet.backup-1.py": "mine"}
    file.write_text("mine again")
    answers.save(exercise, "from the cell")
    assert backups(file) == {"01-greet.backup-1.py": "mine", "01-greet.backup-2.py": "mine again"}


def test_the_starter_and_what_a_cell_wrote_are_replaced_without_a_backup(exercise, file):
    answers.begin(exercise)
    for text in ("first", "second", "second"):
        assert answers.save(exercise, text) == []
    assert file.read_text() == "second"
    assert backups(file) == {}


def test_an_update_of_the_course_does_not_take_a_saved_cell_for_its_own_file(exercise, file):
    answers.save(exercise, "from the cell")
    exercise.starter.write_text("a new starter")
    answers.begin(exercise)
    assert file.read_text() == "from the cell"


def test_a_cell_that_came_before_any_starter_gets_no_starter_as_its_update(exercise, file):
    answers.save(exercise, "from the cell")
    answers.begin(exercise)
    work.bring({f"answers/{FIRST}.py": exercise.starter})  # as `windtunnel lab` does
    assert [path.name for path in file.parent.glob("*.py")] == [file.name]


def test_the_same_text_is_kept_once(exercise, file):
    for _ in range(3):
        answers.save(exercise, "from the cell")
        file.write_text("mine")
        answers.save(exercise, "from the cell, changed")
    assert backups(file) == {"01-greet.backup-1.py": "mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_message(exercise, file):
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o500)
    with pytest.raises(WindtunnelError, match="cannot be written"):
        answers.save(exercise, "x")


def test_a_file_in_the_place_of_the_folder_is_one_message(exercise, file):
    file.parents[1].mkdir()
    file.parent.write_text("mine")
    with pytest.raises(WindtunnelError, match="cannot be written"):
        answers.save(exercise, "x")
    assert file.parent.read_text() == "mine"


# --- checked


def test_an_attempt_is_kept_as_progress_and_an_untouched_starter_is_none(exercise, file):
    assert answers.attempt(exercise).verdict.earned == 0
    assert progress_record.read().entry(FIRST).checks == 0
    file.write_text("name")
    assert answers.attempt(exercise).verdict.earned == 3
    entry = progress_record.read().entry(FIRST)
    assert (entry.checks, entry.earned, entry.best, entry.total, entry.done) == (1, 3, 3, 4, False)


def test_a_verdict_stands_when_progress_cannot_be_kept(exercise, file):
    answers.save(exercise, "name form")
    (file.parents[1] / progress_record.NAME).mkdir()
    attempt = answers.attempt(exercise)
    assert attempt.verdict.passed
    assert any("progress cannot be kept" in note for note in attempt.notes)


# --- put back


def test_reset_keeps_the_old_answer_beside_the_starter(exercise, file):
    answers.save(exercise, "name form")
    answers.attempt(exercise)
    assert progress_record.read().entry(FIRST).done
    kept = answers.reset(exercise)
    assert (kept.name, kept.read_text()) == ("01-greet.backup-1.py", "name form")
    assert file.read_text() == STARTER
    assert answers.untouched(exercise)
    assert not progress_record.read().entry(FIRST).done
    assert progress_record.read().entry(FIRST).best == 4


def test_reset_of_an_untouched_starter_keeps_nothing(exercise, file):
    assert answers.reset(exercise) is None
    assert answers.reset(exercise) is None
    assert backups(file) == {}


def test_after_a_reset_an_update_of_the_starter_comes_in_place(exercise, file):
    answers.save(exercise, "mine")
    answers.reset(exercise)
    exercise.starter.write_text("a new starter")
    answers.begin(exercise)
    assert file.read_text() == "a new starter"
