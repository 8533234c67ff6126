"""The one form in which notebooks are committed: the same run gives the same bytes.

What changes from run to run without meaning anything is removed or renamed. What the cells printed is never
touched, since nbval compares it letter for letter: a chapter whose *text* changes from run to run is mended
in the chapter. Pictures and widgets have their own modules, `windtunnel.png` and `windtunnel.widget_state`.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable
from typing import Any

import nbformat
from nbformat import NotebookNode

from windtunnel import png, widget_state

# Which Python made the outputs is a property of the lock file, not of a chapter.
_KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}

# Written by runs and by editors: timings, fold and scroll states, jupytext's own notes.
_VOLATILE_NOTEBOOK = {"jupyter", "jupytext", "source_map", "signature", "toc-autonumbering", "toc-showtags"}
_VOLATILE_CELL = {
    "execution",
    "ExecuteTime",
    "papermill",
    "collapsed",
    "scrolled",
    "trusted",
    "editable",
    "slideshow",
}

# nbval and nbclient erase a line that a carriage return overwrites (progress bars) with this same expression.
_OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)

# IPython names the files of a traceback by absolute path; after site-packages it is the same everywhere.
_FILE_IN_TRACEBACK = re.compile(r"(File (?:\x1b\[[0-9;]*m)*)([/~][^\s:\x1b]*)")
_INSTALLED = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")


def normalise(nb: NotebookNode, slug: str) -> NotebookNode:
    """A copy of ``nb`` in the committed form; ``normalise(normalise(nb, s), s) == normalise(nb, s)``.

    - ids are ``<slug>-<position>``; counts run 1, 2, 3… over the code cells that hold code, as if run once
      from the top;
    - neighbouring stream outputs are merged by name, stdout first (their order in one burst is a race between
      two pipes);
    - metadata of runs and editors, and the Python version, are dropped;
    - PNG pictures lose their comments (date, software); widgets are renamed in order of appearance;
    - absolute paths inside tracebacks (which nbval does not compare) become relative.
    """
    nb = node(copy.deepcopy(dict(nb)))
    nb.nbformat, nb.nbformat_minor = 4, 5
    kept = {key: value for key, value in nb.metadata.items() if key not in _VOLATILE_NOTEBOOK}
    nb.metadata = node({**kept, "kernelspec": _KERNELSPEC, "language_info": _LANGUAGE})
    count = 0
    for position, cell in enumerate(nb.cells, start=1):
        cell.id = cell_id(slug, position)
        cell.source = cell.source.rstrip("\n")
        cell.metadata = node({k: v for k, v in cell.metadata.items() if k not in _VOLATILE_CELL})
        if cell.cell_type != "code":
            continue
        runs = cell.source.strip() and "skip-execution" not in cell.metadata.get("tags", [])
        count += bool(runs)
        # nbval does not compare a cell whose count is None, so every cell that ran has one.
        cell.execution_count = count if runs else None
        cell.outputs = _merged(_output(output, cell.execution_count) for output in cell.outputs)
    widget_state.rename(nb)
    return nb


def cell_id(slug: str, position: int) -> str:
    """The id of a cell, from its chapter and its place (from 1). nbformat allows 64 characters."""
    return f"{slug[:58]}-{position:03d}"


def dumps(nb: NotebookNode) -> str:
    """The text of a notebook file: one-space indent, sorted keys, unicode as it is, a newline at the end.

    Raises nbformat.ValidationError when ``nb`` is not a notebook of format 4.5.
    """
    nbformat.validate(nb)
    text: str = nbformat.writes(nb, indent=1, sort_keys=True, ensure_ascii=False)  # type: ignore[no-untyped-call]
    return text.rstrip("\n") + "\n"


def loads(text: str) -> NotebookNode:
    """The notebook in the text of a file. nbformat raises various errors when there is none."""
    nb: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return nb


def node(mapping: dict[str, Any]) -> NotebookNode:
    """A copy of a mapping, and of those inside it, as nbformat's own kind of mapping."""
    copied: NotebookNode = nbformat.from_dict(mapping)  # type: ignore[no-untyped-call]
    return copied


def _output(output: NotebookNode, count: int | None) -> NotebookNode:
    output.pop("transient", None)
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "error":
        output.traceback = [_FILE_IN_TRACEBACK.sub(_relative, line) for line in output.traceback]
    for mime, data in output.get("data", {}).items():
        if mime == "image/png":
            output.data[mime] = png.stripped("".join(data))
    return output


def _relative(match: re.Match[str]) -> str:
    path = match[2]
    inside = _INSTALLED.sub("", path)
    return match[1] + (inside if inside != path else path.rpartition("/")[2])


def _merged(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    result: list[NotebookNode] = []
    for is_stream, group in itertools.groupby(outputs, lambda output: output.output_type == "stream"):
        if not is_stream:
            result.extend(group)
            continue
        texts: dict[str, str] = {}
        for output in group:
            texts[output.name] = texts.get(output.name, "") + "".join(output.text)
        for name in sorted(texts, reverse=True):  # stdout, then stderr
            text = _OVERWRITTEN.sub("", texts[name])
            result.append(node({"output_type": "stream", "name": name, "text": text}))
    return result
