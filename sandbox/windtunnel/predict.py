"""Predict, then run: the reader commits to an answer before the sandbox gives one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.live import in_lab


class Prediction:
    """A question and the reader's answer to it, if one was given.

    In JupyterLab the choices are buttons until one is chosen; elsewhere, and in the book, a list.
    """

    def __init__(self, question: str, choices: Sequence[Any]) -> None:
        self.question, self.choices = question, [str(choice) for choice in choices]
        if isinstance(choices, str) or len(set(self.choices)) < max(len(self.choices), 2):
            raise WindtunnelError(
                "A prediction needs at least two different choices.",
                'predict("Does it fail?", ["yes", "no"])',
            )
        self.answer: str | None = None

    def __repr__(self) -> str:
        lines = [f"  ({'•' if choice == self.answer else ' '}) {choice}" for choice in self.choices]
        return "\n".join([f"Predict: {self.question}", *lines])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><strong>{escape(choice)}</strong> ← your prediction</li>"
            if choice == self.answer
            else f"<li>{escape(choice)}</li>"
            for choice in self.choices
        )
        return (
            f'<div class="wt-card wt-note"><p class="wt-title">Predict: {escape(self.question)}</p>'
            f"<ul>{items}</ul></div>"
        )

    def ask(self) -> None:
        """Show the question: buttons in JupyterLab, text elsewhere."""
        from IPython.display import display

        if in_lab():
            self._ask_with_buttons()
        else:
            display(self)  # type: ignore[no-untyped-call]

    def _ask_with_buttons(self) -> None:
        import ipywidgets
        from IPython.display import display

        layout = {"width": "auto", "margin": "2px 8px 2px 0"}
        buttons: Any = [ipywidgets.Button(description=choice, layout=layout) for choice in self.choices]
        title = (
            f'<div class="wt-card wt-note"><p class="wt-title">Predict: {escape(self.question)}</p>'
            f"<p>Choose before you run on.</p></div>"
        )
        row: Any = ipywidgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        box: Any = ipywidgets.VBox([ipywidgets.HTML(title), row])
        # A saved notebook keeps the same text, whether a widget drew it or a build.
        shown = box._repr_mimebundle_() | {"text/plain": repr(self), "text/html": self._repr_html_()}
        handle: Any = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]

        def choose(button: Any) -> None:
            if self.answer is None:  # a bet is a bet
                self.answer = button.description
                handle.update(self)
                for widget in (*buttons, row, box):
                    widget.close()

        for button in buttons:
            button.on_click(choose)

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
