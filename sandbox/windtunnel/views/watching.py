"""The screen of watch mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from windtunnel.answers import Attempt
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise, answer_path
from windtunnel.hints import Hints
from windtunnel.standings import Standing
from windtunnel.views.standings import exercises_done
from windtunnel.views.verdict import render_first

KEYS = {"h": "hint", "a": "all criteria", "r": "run again", "n": "next exercise", "l": "list", "q": "quit"}


def screen(
    exercise: Exercise,
    standings: Sequence[Standing],
    last: Attempt | None,
    problem_now: WindtunnelError | None,
    notes: Sequence[str] = (),
) -> RenderableType:
    """How far the reader is, which file to edit, and the first thing that is missing."""
    standing = next((each for each in standings if each.slug == exercise.slug), None)
    parts: list[RenderableType] = [exercises_done(standings), Text(), _title(exercise, standing, last)]
    parts += [_place("Edit ", answer_path(exercise.slug)), _place("Brief", exercise.brief), Text()]
    if problem_now:
        parts.append(problem(problem_now))
    elif last:
        parts.append(render_first(last.verdict))
    parts += [Text(f"· {note}", "yellow") for note in notes]
    return Group(*parts)


def done(slug: str, last: Attempt | None) -> RenderableType:
    """One exercise is done."""
    points = f", {last.verdict.earned} of {last.verdict.total} points" if last else ""
    return Text(f"✓ {slug} is done{points}.", "bold green")


def all_done() -> RenderableType:
    """Nothing is left."""
    return Text("✓ All exercises are done. `windtunnel watch SLUG` watches one again.", "bold green")


def hint(hints: Hints) -> RenderableType:
    """The last hint that was shown, and how to get the next."""
    shown = hints.shown[-1]
    left = "once more shows the next" if hints.left else "that was the last"
    body = Group(Markdown(shown.text), Text(), Text(f"{hints.seen} of {len(hints.all)}; {left}.", "dim"))
    return Panel(body, title=Text(f"Hint: {shown.title.replace('`', '')}"), title_align="left", width=100)


def problem(error: WindtunnelError) -> RenderableType:
    """A message with its next step."""
    lines = [Text.assemble(("✗ ", "red"), error.message)]
    if error.next_step:
        lines.append(Text.assemble(("Next: ", "bold"), error.next_step))
    return Group(*lines)


def keys() -> RenderableType:
    """What can be pressed."""
    parts = [piece for key, what in KEYS.items() for piece in ((key, "bold cyan"), f" {what}   ")]
    return Padding(Text.assemble(*parts), (1, 0, 0, 0))


def _title(exercise: Exercise, standing: Standing | None, last: Attempt | None) -> RenderableType:
    points = f"   {last.verdict.earned} of {last.verdict.total} points" if last else ""
    title = f"  {standing.title}" if standing else ""
    return Text.assemble((exercise.slug, "bold"), title, (points, "dim"))


def _place(label: str, path: Path) -> RenderableType:
    """A path that a terminal opens when clicked, shorter where it can be."""
    try:
        short = path.relative_to(Path.cwd())
    except (OSError, ValueError):
        short = path
    return Text.assemble((f"{label}  ", "dim"), (str(short), f"link {path.as_uri()}"), overflow="fold")
