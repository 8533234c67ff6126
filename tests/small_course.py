"""A course of two small exercises for tests of what surrounds the check, and verdicts nobody had to wait for."""

from pathlib import Path
from textwrap import dedent

import pytest

from windtunnel import answers, exercises
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError

BRIEF = dedent("""\
    # Greet

    Say hello.

    ```
    ## Hints
    ### not one: this is code
    ```

    ## Hints

    ### Which `greeting`?

    A *short* one.

    ```python
    # no heading
    ```

    ### Is it polite?

    Ask.

    > ### A quoted heading is none

    ### The last

    Done.

    ## Afterwards

    ### Not a hint

    No.
    """)
CRITERIA = dedent('''\
    from windtunnel.check import points

    @points(3)
    def test_name(submission):
        """The DAG is called greet"""

    def test_form(submission):
        """Worth one point when nothing is said"""
    ''')
STARTER = "# the starter\n"
FIRST, SECOND = "01-greet", "02-part"


def make(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The course below ``root``, for this process; the reader's folder is ``root/work``."""
    for slug in (FIRST, SECOND):
        folder = root / "exercises" / slug
        folder.mkdir(parents=True)
        (folder / "exercise.md").write_text(BRIEF)
        (folder / "test_greet.py").write_text(CRITERIA)
        (folder / "starter.py").write_text(STARTER)
    monkeypatch.setattr(exercises, "repo_root", lambda: root)
    monkeypatch.setenv("WINDTUNNEL_WORK", str(root / "work"))
    return root


def judged_by_its_words(slug: str, answer: Path | None = None, **_: object) -> Verdict:
    """A verdict by what is written: ``name`` meets one criterion, ``form`` the other, ``broken`` is an error."""
    file = answer or exercises.answer_path(slug)
    text = file.read_text()
    if "broken" in text:
        raise WindtunnelError("The check could not run.", "mend it.")
    name = Criterion("test_name", "The DAG is called greet", 3, "name" in text, "It is [not] called greet.")
    form = Criterion("test_form", "It has form", 1, "form" in text, f"No form (line 2 of {file.name}).")
    return Verdict(slug, file, (name, form))


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are judged by their words from here on: the real check is tested elsewhere."""
    monkeypatch.setattr(answers, "check", judged_by_its_words)
