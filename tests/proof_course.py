"""A course with one exercise whose answers are judged by their words: nobody waits for Airflow."""

from pathlib import Path
from textwrap import dedent

import pytest

from windtunnel import exercises, proof
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError

SLUG = "01-greet"
SOLUTION = "# BEGIN SOLUTION greet\nname form\n# END SOLUTION\n"
WRONG = dedent("""\
    [[wrong]]
    name = "nameless"
    find = "name "
    replace = ""
    criterion = "test_name"
    words = ["no name"]

    [[wrong]]
    name = "formless"
    find = " form"
    replace = ""
    criterion = "test_form"
    words = ["no form"]
    """)


def make(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, wrong: str = WRONG, starter: str = "# TODO\n"
) -> Path:
    """The course below ``root``, for this process, judged by words."""
    answer, known = root / "exercises" / SLUG, root / "solutions" / SLUG
    answer.mkdir(parents=True)
    (known / "right").mkdir(parents=True)
    (answer / "exercise.md").write_text("# Greet\n")
    (answer / "test_greet.py").write_text("")
    (answer / "starter.py").write_text(starter)
    (known / "solution.py").write_text(SOLUTION)
    (known / "right" / "other.py").write_text("form, name\n")
    (known / "wrong.toml").write_text(wrong)
    monkeypatch.setattr(exercises, "repo_root", lambda: root)
    monkeypatch.setattr(proof, "check", judged_by_its_words)
    return root


def judged_by_its_words(slug: str, answer: Path, *, only: str | None = None) -> Verdict:
    """``name`` meets one criterion, ``form`` the other; ``broken`` cannot be judged, ``import`` not imported."""
    text = answer.read_text()
    if "broken" in text:
        raise WindtunnelError("The check could not run.", "mend it.")
    if "import" in text:
        text = ""
        why = "Airflow cannot import your file"
    else:
        why = ""
    criteria = [
        Criterion("test_name", "It has a name", 3, "name" in text, why or "There is no name [x]."),
        Criterion("test_form", "It has form", 1, "form" in text, why or "There is no form."),
    ]
    return Verdict(slug, answer, tuple(each for each in criteria if only in (None, each.name)))
