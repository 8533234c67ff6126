"""The answer inside a student's notebook."""

from __future__ import annotations

from collections.abc import Iterable

from nbformat import NotebookNode

from windtunnel.grading.archive import Broken
from windtunnel.normalise import loads

MAGIC = "%%exercise"
ANSWER = "answer"  # the tag


def parse(name: str, raw: bytes) -> NotebookNode:
    """The notebook in ``raw``. Raises Broken, naming ``name``, when it is none."""
    try:
        nb = loads(raw.decode("utf-8-sig"))
        if not isinstance(nb.get("cells"), list):
            raise ValueError("it has no cells")
        for cell in nb.cells:
            cell.source = "".join(cell.source)
            assert isinstance(cell.metadata.get("tags", []), list)
    except RecursionError:
        raise Broken(f"{name} is not a notebook: it is nested too deeply") from None
    except Exception as error:  # nbformat has no error of its own for all that can be wrong
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Broken(f"{name} is not a notebook: {why[:120]}") from None
    return nb


def exercises_in(nb: NotebookNode, known: Iterable[str]) -> list[str]:
    """The exercises that its cells name in ``%%exercise SLUG``."""
    slugs = list(known)
    return sorted({slug for cell in nb.cells for slug in slugs if _is_for(cell, slug, slugs)})


def answer_cell(nb: NotebookNode, slug: str, known: Iterable[str]) -> int | None:
    """The place of the cell that answers ``slug``: the last ``%%exercise SLUG``, else the last tagged answer."""
    slugs = list(known)
    places = range(len(nb.cells))
    named = [n for n in places if _is_for(nb.cells[n], slug, slugs)]
    for marked in (
        [n for n in named if _body(nb.cells[n])],  # without a body it only asks for a verdict
        [n for n in places if _is_tagged(nb.cells[n]) and not _magic(nb.cells[n])],
        named,
    ):
        if marked:
            return marked[-1]
    return None


def answer(name: str, nb: NotebookNode, slug: str, known: Iterable[str]) -> str:
    """The text to be checked. Raises Broken when no cell answers ``slug``."""
    place = answer_cell(nb, slug, known)
    if place is None:
        raise Broken(f"{name} has no cell that begins with `{MAGIC} {slug}` and none tagged `{ANSWER}`")
    return _body(nb.cells[place])


def _body(cell: NotebookNode) -> str:
    source: str = cell.source
    return source.lstrip().partition("\n")[2] if _magic(cell) else source


def _magic(cell: NotebookNode) -> str:
    """What the cell's ``%%exercise`` line names; empty without one."""
    first = cell.source.lstrip().partition("\n")[0].split()
    is_one = cell.cell_type == "code" and len(first) > 1 and first[0] == MAGIC
    return first[1].strip("'\"") if is_one else ""


def _is_for(cell: NotebookNode, slug: str, known: list[str]) -> bool:
    """As ``exercises.find``: the whole slug, or the beginning of no other."""
    named = _magic(cell)
    if named in known:
        return named == slug
    return bool(named) and [each for each in known if each.startswith(named)] == [slug]


def _is_tagged(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and ANSWER in cell.metadata.get("tags", [])
