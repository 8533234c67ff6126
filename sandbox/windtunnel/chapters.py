"""Chapters: found in ``book/``, read as notebooks, compared with what is committed.

A chapter is one file, ``book/NN-slug.md`` (a MyST notebook). There is no list of chapters anywhere: the
folder is the list. Everything here works offline, on text; running a chapter is in `windtunnel.notebooks`.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupytext.myst import (  # type: ignore[import-untyped]
    MystMetadataParsingError,
    myst_to_notebook,
)
from nbformat import NotebookNode, ValidationError

from windtunnel import normalise
from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root

_SLUG = re.compile(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, order=True)
class Chapter:
    """One chapter: its slug (``02-first-dag``) and the clone it belongs to."""

    slug: str
    root: Path

    @property
    def text(self) -> Path:
        """The source that people edit."""
        return self.root / "book" / f"{self.slug}.md"

    @property
    def notebook(self) -> Path:
        """What is generated from it, executed and committed."""
        return self.root / "notebooks" / f"{self.slug}.ipynb"

    def at(self, line: int) -> str:
        """A place as editors and terminals understand it, ``book/02-first-dag.md:57``."""
        return f"{self.shown(self.text)}:{line}"

    def shown(self, path: Path) -> str:
        """One of its files as it is called from the clone's top, ``notebooks/02-first-dag.ipynb``."""
        return path.relative_to(self.root).as_posix()


class Reference(Chapter):
    """What the answers to an exercise are compared with: a notebook in ``solutions/``, made as chapters are.

    Its slug is that of the exercise with ``reference-`` before it.
    """

    @property
    def text(self) -> Path:
        """The source that people edit."""
        return self.root / "solutions" / self.slug.removeprefix("reference-") / "reference.md"

    @property
    def notebook(self) -> Path:
        """What is generated from it, executed and committed."""
        return self.text.with_suffix(".ipynb")


def references(root: Path | None = None) -> list[Chapter]:
    """The references of a clone's exercises, in the order of their numbers."""
    root = root or repo_root()
    return sorted(
        Reference(f"reference-{path.parent.name}", root) for path in root.glob("solutions/*/reference.md")
    )


def chapters(root: Path | None = None) -> list[Chapter]:
    """All chapters of a clone (default: the one this package runs from), in the order of their numbers.

    Other files of ``book/`` (index, appendices) have no ``NN-`` name and are left out.
    """
    root = root or repo_root()
    return sorted(
        Chapter(path.stem, root) for path in (root / "book").glob("*.md") if _SLUG.fullmatch(path.stem)
    )


def find(name: str, root: Path | None = None) -> Chapter:
    """The one chapter or reference whose slug is ``name`` or begins with it; its path works, too.

    Raises WindtunnelError, which lists the chapters, when there is none or more than one.
    """
    known = [*chapters(root), *references(root)]
    wanted = name
    if name.endswith((".md", ".ipynb")):
        path = Path(name)
        wanted = f"reference-{path.parent.name}" if path.stem == "reference" else path.stem
    matches = [c for c in known if c.slug == wanted] or [
        c for c in known if wanted and c.slug.startswith(wanted)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise WindtunnelError(
            f"{name!r} could be any of {', '.join(c.slug for c in matches)}.", "type more of the name."
        )
    listing = ", ".join(c.slug for c in known) or "none yet"
    raise WindtunnelError(f"No chapter is called {name!r}.", f"choose one of these: {listing}.")


def of_notebook(path: Path) -> Chapter | None:
    """The chapter or reference that a committed notebook was made from, or None for any other notebook."""
    possible = [
        Chapter(path.stem, path.parent.parent),
        Reference(f"reference-{path.parent.name}", path.parent.parent.parent),
    ]
    return next((each for each in possible if each.notebook == path and each.text.exists()), None)


def to_notebook(chapter: Chapter) -> NotebookNode:
    """The chapter's text as a notebook that was not run: no outputs, no counts, the same ids each time.

    Raises WindtunnelError when a cell's options cannot be read.
    """
    return _read(chapter)[0]


def cell_lines(chapter: Chapter) -> list[int]:
    """For each cell of `to_notebook`, the line (from 1) of the chapter's text where its source begins."""
    return _read(chapter)[1]


def same_source(chapter: Chapter) -> list[str]:
    """How the committed notebook differs from the text in cells' kinds, sources and metadata (tags).

    Empty when equal. Outputs are not looked at; that is for nbval (see `windtunnel.nbval_sandbox`).
    """
    name = chapter.shown(chapter.notebook)
    if not chapter.notebook.exists():
        return [f"{name} does not exist"]
    try:
        committed = normalise.normalise(
            normalise.loads(chapter.notebook.read_text(encoding="utf-8")), chapter.slug
        )
    except Exception as error:  # a merge conflict left in it, an empty file: nbformat raises what it likes
        return [f"{name} is not a notebook ({type(error).__name__})"]
    text, lines = _read(chapter)
    differences = []
    before, after = [_key(cell) for cell in text.cells], [_key(cell) for cell in committed.cells]
    for kind, i, i_end, j, j_end in difflib.SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        place = chapter.at(lines[i]) if i < len(lines) else f"the end of {chapter.shown(chapter.text)}"
        differences.append(f"{place}: {_cells(i_end - i)} in the text, {_cells(j_end - j)} in {name}")
    # Widgets are state of the run, not of the text.
    if _front(text) != _front(committed):
        differences.append(f"{chapter.at(1)}: the front matter differs from the metadata of {name}")
    return differences


def stale(chapter: Chapter) -> list[str]:
    """Why the committed notebook must be generated again; empty when it need not.

    It differs from its text (`same_source`), or is not in the form `windtunnel.normalise` gives: somebody
    saved it from Lab.
    """
    differences = same_source(chapter)
    if not differences:
        committed = chapter.notebook.read_text(encoding="utf-8")
        normal = normalise.dumps(normalise.normalise(normalise.loads(committed), chapter.slug))
        if committed != normal:
            differences.append(f"{chapter.shown(chapter.notebook)} was saved by something else")
    return differences


def orphans(root: Path | None = None) -> list[Path]:
    """Committed notebooks that no chapter makes: their text was renamed or removed."""
    root = root or repo_root()
    made = {chapter.notebook for chapter in chapters(root)}
    return sorted(path for path in (root / "notebooks").glob("*.ipynb") if path not in made)


def _read(chapter: Chapter) -> tuple[NotebookNode, list[int]]:
    text = chapter.text.read_text(encoding="utf-8")
    try:
        nb = myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise WindtunnelError(
            f"{chapter.at(1)} cannot be read: {error}.", "mend the options of that cell."
        ) from None
    except ValidationError as error:  # only the front matter can be wrong; cells are made by jupytext
        raise WindtunnelError(
            f"The front matter of {chapter.at(1)} is not a notebook's metadata: {error.message}.",
            "mend it; a kernelspec may be left out.",
        ) from None
    starts = nb.metadata.pop("source_map")
    written = text.splitlines()
    lines = [_line_of(cell, start, written) for cell, start in zip(nb.cells, starts, strict=True)]
    # YAML turns `date: 2026-03-01` into a date, which a notebook (JSON) cannot hold.
    nb.metadata = normalise.node(json.loads(json.dumps(nb.metadata, default=str)))
    for cell in nb.cells:
        cell.metadata = normalise.node(json.loads(json.dumps(cell.metadata, default=str)))
    nb = normalise.normalise(nb, chapter.slug)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
    return nb, lines


def _line_of(cell: NotebookNode, start: int, written: list[str]) -> int:
    """The line of a cell's first line of source.

    jupytext gives the fence of a code cell (from 1), before its options, and the place where a text cell
    could begin (from 0), before the blank lines it drops: both are searched on from there.
    """
    if cell.cell_type == "markdown":
        return next((n + 1 for n in range(start, len(written)) if written[n].strip()), start + 1)
    source = [line.strip() for line in cell.source.splitlines()]
    for n in range(start, len(written)):
        if source and [line.strip() for line in written[n : n + len(source)]] == source:
            return n + 1
    return int(start)


def _key(cell: NotebookNode) -> str:
    return json.dumps([cell.cell_type, cell.source, cell.metadata], sort_keys=True)


def _front(nb: NotebookNode) -> dict[str, Any]:
    return {key: value for key, value in nb.metadata.items() if key != "widgets"}


def _cells(count: int) -> str:
    return {0: "no cell", 1: "one cell"}.get(count, f"{count} cells")
