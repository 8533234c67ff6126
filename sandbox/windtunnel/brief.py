"""What an exercise's ``exercise.md`` says of itself: its title and its hints."""

from __future__ import annotations

from dataclasses import dataclass

from markdown_it import MarkdownIt

from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise

HEADINGS = {"h1": 1, "h2": 2, "h3": 3}


@dataclass(frozen=True)
class Hint:
    """One ``### title`` below ``## Hints``; both parts are Markdown."""

    title: str
    text: str


@dataclass(frozen=True)
class _Section:
    level: int
    title: str
    text: str


def title(exercise: Exercise) -> str:
    """The first heading; the slug where there is none."""
    return next((section.title for section in _sections(exercise) if section.level == 1), exercise.slug)


def hints(exercise: Exercise) -> list[Hint]:
    """The hints, in the order in which they are given."""
    found, inside = [], False
    for section in _sections(exercise):
        if section.level < 3:
            inside = section.title == "Hints"
        elif inside:
            found.append(Hint(section.title, section.text))
    return found


def _sections(exercise: Exercise) -> list[_Section]:
    """The brief, cut at its headings. A parser finds them: a ``#`` in a code block is none."""
    try:
        text = exercise.brief.read_text(encoding="utf-8")
    except OSError as error:
        raise WindtunnelError(
            f"The brief of {exercise.slug} cannot be read: {exercise.brief}: {error.strerror}.",
            "`git status` tells what is missing from the clone; `git restore exercises` brings it back.",
        ) from error
    lines, tokens = text.splitlines(), MarkdownIt("commonmark").parse(text)
    headings = [
        (HEADINGS[token.tag], tokens[place + 1].content, token.map[0], token.map[1])
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.tag in HEADINGS and token.map
    ]
    ends = [begin for _, _, begin, _ in headings[1:]] + [len(lines)]
    return [
        _Section(level, heading, "\n".join(lines[after:end]).strip())
        for (level, heading, _, after), end in zip(headings, ends, strict=False)  # no heading, one end
    ]
