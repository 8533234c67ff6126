"""A verdict as a card in a notebook, and the hints below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt

from windtunnel.brief import Hint
from windtunnel.check import Criterion, Verdict
from windtunnel.views.verdict import as_text

MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class ExerciseCard:
    """Every criterion with its points; the first that is not met says why, the others when asked."""

    title: str
    verdict: Verdict
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        return "\n".join([as_text(self.verdict), *self.notes])

    def _repr_html_(self) -> str:
        verdict = self.verdict
        state = "All criteria are met." if verdict.passed else _count(verdict)
        first = next((criterion for criterion in verdict.criteria if not criterion.passed), None)
        rows = "".join(_row(criterion, opened=criterion is first) for criterion in verdict.criteria)
        notes = "".join(f'<p class="wt-muted">{escape(note)}</p>' for note in self.notes)
        return (
            f'<div class="wt-card wt-verdict wt-{"ok" if verdict.passed else "bad"}">'
            f'<p class="wt-title">{escape(self.title)}'
            f'<span class="wt-points">{verdict.earned} of {verdict.total} points</span></p>'
            f'{_strip(verdict)}<p class="wt-muted">{state}</p>'
            f'<ol class="wt-criteria">{rows}</ol>{notes}</div>'
        )


@dataclass(frozen=True)
class HintLine:
    """Where hints are to be had; below a card of which something is missing."""

    slug: str

    def __repr__(self) -> str:
        return f"Stuck? `windtunnel hint {self.slug}` in a terminal shows one hint at a time."

    def _repr_html_(self) -> str:
        return (
            f'<p class="wt-muted">Stuck? <code>windtunnel hint {escape(self.slug)}</code> in a terminal '
            "shows one hint at a time.</p>"
        )


def hints_html(shown: Sequence[Hint], total: int) -> str:
    """The hints shown so far; the last one is open."""
    return "".join(
        f'<details class="wt-card wt-note wt-hint"{" open" if number == len(shown) else ""}>'
        f'<summary class="wt-title">Hint {number} of {total}: {MARKDOWN.renderInline(hint.title)}</summary>'
        f"{MARKDOWN.render(hint.text)}</details>"
        for number, hint in enumerate(shown, start=1)
    )


def _count(verdict: Verdict) -> str:
    met = sum(criterion.passed for criterion in verdict.criteria)
    return f"{met} of {len(verdict.criteria)} criteria are met."


def _strip(verdict: Verdict) -> str:
    """One dash for each criterion, green for those that are met."""
    dashes = "".join(
        f'<span class="wt-{"ok" if criterion.passed else "missed"}"></span>' for criterion in verdict.criteria
    )
    return f'<div class="wt-strip" aria-hidden="true">{dashes}</div>'


def _row(criterion: Criterion, *, opened: bool) -> str:
    mark, kind, said = ("✓", "ok", "met") if criterion.passed else ("✗", "bad", "not met")
    earned = criterion.points if criterion.passed else 0
    line = (
        f'<span class="wt-mark wt-{kind}" role="img" aria-label="{said}">{mark}</span>'
        f'<span class="wt-text">{escape(criterion.text.splitlines()[0])}</span>'
        f'<span class="wt-points">{earned}/{criterion.points}</span>'
    )
    if criterion.passed:
        return f'<li><div class="wt-criterion">{line}</div></li>'
    return (
        f'<li><details{" open" if opened else ""}><summary class="wt-criterion">{line}</summary>'
        f'<div class="wt-message">{escape(criterion.message)}</div></details></li>'
    )
