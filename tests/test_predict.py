"""A bet before the run, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from windtunnel import live, predict
from windtunnel.errors import WindtunnelError
from windtunnel.predict import Prediction


def test_a_question_and_its_choices_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    predict("rows in the report", ["none", 1, "all"])
    assert capsys.readouterr().out == "Predict: rows in the report\n  ( ) none\n  ( ) 1\n  ( ) all\n"


def test_html_in_a_question_is_text() -> None:
    shown = Prediction("<script>", ["<b>", "&"])._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<li>&lt;b&gt;</li><li>&amp;</li>" in shown


@pytest.mark.parametrize("choices", [[], ["only"], ["same", "same"], ["1", 1], "yes"])
def test_a_bet_without_two_different_choices_is_refused(choices: Any) -> None:
    with pytest.raises(WindtunnelError, match="at least two different choices"):
        Prediction("?", choices)


def test_without_an_answer_only_what_happened_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Prediction("It ends as", ["success", "failed"]).reveal("failed")
    assert capsys.readouterr().out == "It ends as → failed\n"


def test_a_right_answer_is_acknowledged_whatever_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    bet = Prediction("tries", [1, 2])
    bet.answer = "2"
    bet.reveal(2)
    assert capsys.readouterr().out == "tries → 2. You predicted it.\n"


def test_a_wrong_answer_is_turned_into_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    bet = Prediction("tries", [1, 2])
    bet.answer = "1"
    bet.reveal(2)
    assert capsys.readouterr().out == "tries → 2. You predicted 1: what did you take for granted?\n"


def test_the_answer_given_is_marked() -> None:
    bet = Prediction("tries", [1, 2])
    bet.answer = "1"
    assert repr(bet) == "Predict: tries\n  (•) 1\n  ( ) 2"
    assert "<strong>1</strong> ← your prediction" in bet._repr_html_()


class Handle:
    """Stands for the place in a notebook where something was displayed."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, thing: Any, **_: Any) -> None:
        self.shown.append(thing)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], Handle]:
    """JupyterLab as far as `predict` sees it: what was displayed, and where it can be replaced."""
    displayed: list[Any] = []
    handle = Handle()

    def display(thing: Any, **_: Any) -> Handle:
        displayed.append(thing)
        return handle

    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/02-x.ipynb")
    monkeypatch.setitem(__import__("sys").modules, "ipykernel", __import__("ipykernel"))
    monkeypatch.setattr("IPython.display.display", display)
    assert live.in_lab()
    return displayed, handle


def buttons(displayed: list[Any]) -> list[Any]:
    import ipywidgets

    view = displayed[0]["application/vnd.jupyter.widget-view+json"]["model_id"]
    box = ipywidgets.widgets.widget._instances[view]
    return list(box.children[1].children)


def test_in_lab_a_click_is_a_bet_and_replaces_the_buttons(lab: tuple[list[Any], Handle]) -> None:
    displayed, handle = lab
    bet = predict("tries", [1, 2])
    first, second = buttons(displayed)
    second.click()
    first.click()  # too late
    assert bet.answer == "2"
    assert handle.shown == [bet]


def test_in_lab_the_saved_text_is_that_of_a_build(lab: tuple[list[Any], Handle]) -> None:
    displayed, _ = lab
    bet = predict("tries", [1, 2])
    assert displayed[0]["text/plain"] == repr(bet)
    assert displayed[0]["text/html"] == bet._repr_html_()
