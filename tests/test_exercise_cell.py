"""``%%exercise``: a cell becomes the answer, and its verdict a card; in Lab with a button for hints."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import small_course
from small_course import FIRST, STARTER
from windtunnel import answers, exercise_cell, hints, live, magics
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import answer_path, find
from windtunnel.views.exercise_card import ExerciseCard, hints_html


@pytest.fixture
def course(tmp_path, monkeypatch):
    small_course.without_waiting(monkeypatch)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return small_course.make(tmp_path, monkeypatch)


@pytest.fixture
def shell(course):
    """IPython with the magics, as `%load_ext windtunnel` registers them, and no sandbox."""
    made = InteractiveShell.instance(colors="nocolor")
    magics.register(made)
    magics.register(made)  # as loading a second time does
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell, capsys):
    """Runs a cell; returns its error, if any, and what it printed."""

    def run(cell):
        capsys.readouterr()
        result = shell.run_cell(cell)
        return result.error_before_exec or result.error_in_exec, capsys.readouterr().out

    return run


# --- the magic


def test_the_cell_becomes_the_answer_and_is_judged(run):
    error, printed = run("%%exercise 01\n# name\nx = 1\n")
    assert error is None
    assert answer_path(FIRST).read_text() == "# name\nx = 1\n"
    assert "✔ The DAG is called greet 3/3" in printed
    assert "01-greet: 3 of 4 points. 1 criterion is not met yet." in printed
    assert f"windtunnel hint {FIRST}" in printed


def test_a_full_verdict_offers_no_hint(run):
    _, printed = run("%%exercise 01\n# name form")
    assert "All criteria are met." in printed
    assert "hint" not in printed


def test_lines_are_numbered_as_the_cell_numbers_them(run):
    assert "No form (line 3 of the cell)." in run("%%exercise 01\n# name")[1]
    assert f"No form (line 2 of {FIRST}.py)." in run("%exercise 01")[1]


@pytest.mark.parametrize(
    "cell", ["%exercise 01", "%%exercise 01", "%%exercise 01\n", "%%exercise 01\n  \n\n"]
)
def test_without_source_the_file_is_judged_and_left_alone(run, cell):
    answer_path(FIRST).parent.mkdir(parents=True)
    answer_path(FIRST).write_text("form")
    error, printed = run(cell)
    assert error is None
    assert "01-greet: 1 of 4 points" in printed
    assert answer_path(FIRST).read_text() == "form"


def test_without_source_and_without_a_file_the_starter_is_brought(run):
    _, printed = run("%exercise 01")
    assert answer_path(FIRST).read_text() == STARTER
    assert f"The starter is now work/answers/{FIRST}.py" in printed


def test_an_edited_file_is_kept_and_the_reader_is_told(run):
    answer_path(FIRST).parent.mkdir(parents=True)
    answer_path(FIRST).write_text("mine")
    _, printed = run("%%exercise 01\n# name")
    assert "what it held is kept as 01-greet.backup-1.py" in printed
    assert "backup" not in run("%%exercise 01\n# name form")[1]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%exercise\nx = 1", "%%exercise names no exercise."),
        ("%%exercise 01 02\nx = 1", "%%exercise takes one exercise, not '01 02'."),
        ("%%exercise --all\nx = 1", "%%exercise takes one exercise, not '--all'."),
        ("%%exercise 07\nx = 1", "There is no exercise '07'."),
        ("%exercise 0", "'0' could be 01-greet, 02-part."),
        ("%%exercise 01\n# broken", "The check could not run."),
    ],
)
def test_an_error_is_a_message_with_a_next_step_and_no_traceback(run, cell, words):
    error, printed = run(cell)
    assert isinstance(error, WindtunnelError)
    assert words in printed
    assert "Next:" in printed
    assert "Traceback" not in printed


def test_stopping_says_what_became_of_the_answer(run, monkeypatch):
    def stop(_slug, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(answers, "check", stop)
    error, printed = run("%%exercise 01\n# name")
    assert isinstance(error, WindtunnelError)
    assert "your answer is saved" in printed
    assert answer_path(FIRST).read_text() == "# name\n"


def test_a_build_prints_the_same_every_time_and_nothing_of_this_machine(run, course, monkeypatch):
    monkeypatch.setattr(live, "in_terminal", lambda: False)
    printed = [run("%%exercise 01\n# name")[1] for _ in range(2)]
    assert printed[0] == printed[1]
    assert str(course) not in printed[0]


def test_the_real_check_judges_a_real_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WINDTUNNEL_WORK", str(tmp_path))
    exercise_cell.run("03", find("03").solution.read_text())
    assert "32 of 32 points. All criteria are met." in capsys.readouterr().out


# --- the card


def verdict(*criteria):
    return Verdict(FIRST, Path("/somewhere/work/answers/01-greet.py"), criteria)


BAD = Criterion("a", "Says <hello>\nand more", 2, False, "saw <b>bold</b> & [x]\n  indented")
GOOD = Criterion("b", "Is called greet", 3, True)


def test_the_card_holds_every_criterion_its_points_and_messages_word_for_word():
    card = ExerciseCard("Greet & go", verdict(GOOD, BAD), ("a <note>",))._repr_html_()
    text = html.unescape(re.sub(r"<[^>]+>", "\n", card))
    for words in ("Greet & go", "3 of 5 points", "Is called greet", "3/3", "0/2", "a <note>"):
        assert words in text
    assert "Says <hello>" in text
    assert "saw <b>bold</b> & [x]\n  indented" in text
    assert "/somewhere" not in card


def test_the_card_opens_the_first_thing_that_is_missing_alone():
    card = ExerciseCard("Greet", verdict(GOOD, BAD, replace(BAD, name="c")))._repr_html_()
    assert card.count("<details") == 2
    assert card.count("<details open>") == 1
    assert card.index("<details open>") < card.index("<details>")


def test_the_card_is_green_when_everything_is_met():
    assert "wt-verdict wt-ok" in ExerciseCard("Greet", verdict(GOOD))._repr_html_()
    assert "wt-verdict wt-bad" in ExerciseCard("Greet", verdict(GOOD, BAD))._repr_html_()


def test_the_text_of_a_card_has_one_width_everywhere(monkeypatch):
    long = Criterion("a", "word " * 60, 1, False, "many words " * 40)
    seen = set()
    for columns in ("40", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        seen.add(repr(ExerciseCard("Greet", verdict(long))))
    [text] = seen
    assert max(map(len, text.splitlines())) <= 100
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_of_the_hints_the_last_is_open_and_markdown_is_drawn(course):
    drawn = hints_html(hints.all_of_them(find(FIRST)).shown[:2], 3)
    assert "Hint 1 of 3: Which <code>greeting</code>?" in drawn
    assert "<em>short</em>" in drawn
    assert drawn.count(" open>") == 1
    assert drawn.index(" open>") > drawn.index("Hint 1")


# --- in JupyterLab


@pytest.fixture
def lab(run, monkeypatch):
    """JupyterLab looks on; returns what is displayed there."""
    shown = []
    monkeypatch.setattr(exercise_cell, "in_lab", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *given, **how: shown.append((given, how)))
    return shown


def test_in_lab_each_press_shows_one_hint_more(run, lab):
    run("%%exercise 01\n# name")
    button = exercise_cell._buttons[FIRST]
    assert button.button.description == "Next hint (1 of 3)"
    assert button.text.value == ""
    button.button.click()
    assert "Which <code>greeting</code>?" in button.text.value
    assert "polite" not in button.text.value
    assert hints.so_far(find(FIRST)).seen == 1
    for _ in range(2):
        button.button.click()
    assert "Hint 3 of 3" in button.text.value
    assert (button.button.disabled, button.button.description) == (True, "That was the last hint")


def test_in_lab_hints_seen_before_are_there_again(run, lab):
    hints.one_more(find(FIRST))
    run("%%exercise 01\n# name")
    button = exercise_cell._buttons[FIRST]
    assert "Hint 1 of 3" in button.text.value
    assert button.button.description == "Next hint (2 of 3)"


def test_a_notebook_saved_in_lab_keeps_the_line_of_a_build(run, lab):
    run("%%exercise 01\n# name")
    [((bundle,), _)] = [each for each in lab if each[1].get("raw") and "text/html" in each[0][0]]
    assert bundle["text/plain"] == (
        f"Stuck? `windtunnel hint {FIRST}` in a terminal shows one hint at a time."
    )
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_in_lab_hints_that_cannot_be_noted_are_a_message(run, lab, course):
    run("%%exercise 01\n# name")
    button = exercise_cell._buttons[FIRST]
    find(FIRST).brief.unlink()
    button.button.click()
    assert "cannot be read" in button.button.description


def test_a_second_verdict_takes_the_first_ones_button_away(run, lab):
    run("%%exercise 01\n# name")
    first = exercise_cell._buttons[FIRST]
    run("%%exercise 01\n# name form")
    assert first.box.comm is None
