"""The briefs of the exercises as pages of the book: their hints stay folded, and one table lists them all.

The folders in ``exercises/`` are the registry here too: the table is made from the briefs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

BRIEFS = "exercises/*/exercise.md"
HEAD = re.compile(r"# (?P<title>.+)\n")
TIME = re.compile(r"^\*(?P<time>[^.*]+)\. ", re.MULTILINE)
TOTAL = re.compile(r"^\| \*\*Total\*\* \| \*\*(?P<points>\d+)\*\* \|$", re.MULTILINE)


class Exercises(SphinxDirective):
    """``{exercises}``: a row for each exercise, with its brief's own title, time and points."""

    def run(self) -> list[nodes.Node]:
        """The table, as MyST text that is parsed in place."""
        root = Path(self.env.srcdir)
        rows = ["| | Exercise | Time | Points |", "|---|---|---|---:|"]
        for brief in sorted(root.glob(BRIEFS)):
            text = brief.read_text(encoding="utf-8")
            title, time, points = (found(pattern, text, brief) for pattern in (HEAD, TIME, TOTAL))
            rows.append(
                f"| {brief.parent.name[:2]} | [{title}](/{brief.relative_to(root)}) | {time} | {points} |"
            )
            self.env.note_dependency(str(brief))
        return self.parse_text_to_nodes("\n".join(rows))


class FoldHints(SphinxTransform):
    """Each section below “Hints” is a box that opens when clicked. Before the table of contents is made."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Turn the sections into boxes, on the pages of exercises."""
        if not self.env.docname.startswith("exercises/"):
            return
        for hints in [node for node in self.document.findall(nodes.section) if node[0].astext() == "Hints"]:
            for hint in [node for node in hints.children if isinstance(node, nodes.section)]:
                box = nodes.admonition("", *hint.children, classes=["dropdown", "tip"])
                hints.replace(hint, box)


def found(pattern: re.Pattern[str], text: str, brief: Path) -> str:
    """What the pattern finds. Raises ValueError, with the file, when a brief does not say it."""
    match = pattern.search(text)
    if match is None:
        raise ValueError(f"{brief}: nothing fits {pattern.pattern}")
    return match[1]


def setup(app: Any) -> dict[str, bool]:
    """Register both with Sphinx."""
    app.add_directive("exercises", Exercises)
    app.add_transform(FoldHints)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
