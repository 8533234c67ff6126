"""Hints: what counts as one, and one at a time."""

import pytest

import small_course
from small_course import FIRST, SECOND
from windtunnel import brief, hints, progress_record
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import exercises, find


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    small_course.make(tmp_path, monkeypatch)
    return find(FIRST)


def test_hints_are_the_sections_below_hints_and_nothing_else(exercise):
    found = brief.hints(exercise)
    assert [hint.title for hint in found] == ["Which `greeting`?", "Is it polite?", "The last"]
    assert found[0].text == "A *short* one.\n\n```python\n# no heading\n```"
    assert found[1].text == "Ask.\n\n> ### A quoted heading is none"
    assert found[2].text == "Done."


def test_the_title_is_the_first_heading_or_else_the_slug(exercise):
    assert brief.title(exercise) == "Greet"
    exercise.brief.write_text("nothing")
    assert brief.title(exercise) == FIRST


def test_each_call_shows_one_more_and_the_last_stays(exercise):
    assert hints.so_far(exercise).shown == ()
    assert [hints.one_more(exercise).seen for _ in range(4)] == [1, 2, 3, 3]
    assert hints.so_far(exercise).left == 0
    assert hints.so_far(find(SECOND)).seen == 0


def test_all_at_once_count_as_seen(exercise):
    assert len(hints.all_of_them(exercise).shown) == 3
    assert progress_record.read().entry(FIRST).hints == 3


def test_hints_that_an_update_took_away_are_not_missed(exercise):
    hints.all_of_them(exercise)
    exercise.brief.write_text("# Greet\n\n## Hints\n\n### Only\n\nOne.\n")
    found = hints.one_more(exercise)
    assert [hint.title for hint in found.shown] == ["Only"]


def test_an_exercise_without_hints_says_so(exercise):
    exercise.brief.write_text("# Greet\n")
    with pytest.raises(WindtunnelError, match="has no hints") as refused:
        hints.one_more(exercise)
    assert str(exercise.brief) in refused.value.next_step


def test_a_brief_that_is_gone_is_one_message(exercise):
    exercise.brief.unlink()
    with pytest.raises(WindtunnelError, match="cannot be read"):
        brief.hints(exercise)


@pytest.mark.parametrize("exercise", exercises(), ids=lambda each: each.slug)
def test_every_exercise_has_a_title_and_hints_with_words(exercise):
    assert brief.title(exercise) != exercise.slug
    found = brief.hints(exercise)
    assert found
    assert all(hint.title and hint.text for hint in found)
