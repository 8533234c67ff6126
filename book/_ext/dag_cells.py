"""Colours `%%dag` cells as the Python they are; by default an unknown cell magic turns all of a cell grey."""

from __future__ import annotations

from typing import Any, ClassVar

from IPython.lib.lexers import IPython3Lexer
from pygments.lexer import bygroups, inherit
from pygments.token import Keyword, Operator, Text


class DagCellLexer(IPython3Lexer):
    """IPython, in which what follows a `%%dag` line is Python."""

    name = "IPython with %%dag"
    aliases: ClassVar[list[str]] = ["ipython3"]
    tokens: ClassVar[dict[str, Any]] = {
        "root": [
            (r"\A(\s*)(%%)(dag)([^\n]*\n)", bygroups(Text, Operator, Keyword, Text)),
            inherit,
        ]
    }


def setup(app: Any) -> dict[str, bool]:
    """Register the lexer with Sphinx."""
    app.add_lexer("ipython3", DagCellLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
