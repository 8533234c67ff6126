"""Predict, then run: the reader commits to an answer before the sandbox gives one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.live import in_lab


class Prediction:
    """A question and the reader's answer to it, if one was given.

    In JupyterLab it shows the choices as buttons; elsewhere, and in the book, as a list.
    """

    def __init__(self, question: str, choices: Sequence[Any]) -> None:
        if len(choices) < 2:
            raise WindtunnelError("A prediction needs at least two choices.", 'predict("…", ["yes", "no"])')
        self.question, self.choices = question, [str(choice) for choice in choices]
        self.answer: str | None = None

    def __repr__(self) -> str:
        return "\n".join([f"Predict: {self.question}", *(f"  ( ) {choice}" for choice in self.choices)])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(choice)}</li>" for choice in self.choices)
        return f'<div class="wt-card"><strong>Predict:</strong> {escape(self.question)}<ul>{items}</ul></div>'

    def ask(self) -> None:
        """Show the question: buttons in JupyterLab, text elsewhere."""
        from IPython.display import display

        if not in_lab():
            display(self)  # type: ignore[no-untyped-call]
            return
        import ipywidgets

        buttons: Any = ipywidgets.ToggleButtons(options=self.choices, value=None)
        buttons.observe(lambda change: setattr(self, "answer", change["new"]), names="value")
        question = ipywidgets.HTML(f"<strong>Predict:</strong> {escape(self.question)}")
        display(ipywidgets.VBox([question, buttons]))  # type: ignore[no-untyped-call]

    def reveal(self, actual: Any) -> None:
        """Say what happened, and, if the reader predicted, whether they were right."""
        actual = str(actual)
        if self.answer is None:
            print(f"{self.question} → {actual}")
        elif self.answer == actual:
            print(f"{self.question} → {actual}. You predicted it.")
        else:
            print(f"{self.question} → {actual}. You predicted {self.answer}: what did you take for granted?")


def predict(question: str, choices: Sequence[Any]) -> Prediction:
    """Ask ``question``; keep the result and call its ``reveal(what happened)`` after the run."""
    prediction = Prediction(question, choices)
    prediction.ask()
    return prediction
