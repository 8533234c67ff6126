"""An exercise's starter, derived from its solution: what stands between the markers is taken out.

::

    def recency(last, day):
        # BEGIN SOLUTION whole days from last to day
        return (day - last).days
        # END SOLUTION

becomes a TODO that raises, so that an unfinished answer imports, runs, and says what is missing::

    def recency(last, day):
        raise NotImplementedError("TODO: whole days from last to day")

Outside functions, where raising would break the import, a comment is left: ``# TODO: …``.

Where the exercise is to mend code, the reader begins with that code instead of a TODO. It stands in the block after
the solution's, commented out::

        # BEGIN SOLUTION subtract the earlier day from the later one
        return (day - last).days
        # STARTER
        # | return (last - day).days
        # END SOLUTION
"""

from __future__ import annotations

import json
import re

from windtunnel.errors import WindtunnelError

_MARKER = re.compile(
    r"^(?P<indent>\s*)# (?:(?P<which>BEGIN|END) SOLUTION|(?P<given>STARTER))(?: (?P<todo>\S.*))?$"
)
_GIVEN = re.compile(r"^(?P<indent>\s*)# \|(?: (?P<code>.*))?$")


def derive(solution: str, name: str = "solution.py") -> str:
    """The starter for ``solution``.

    ``name`` is how messages call the file. Raises WindtunnelError, with the line, for markers that are
    nested, unclosed or not on a line of their own, for a BEGIN that does not say what is to do, and for a line after
    STARTER that is not commented out with ``# | ``.
    """
    starter: list[str] = []
    opened = 0  # the line of the BEGIN we are inside of; 0 outside
    todo = ""  # the line that takes the block's place, unless there is a STARTER
    given = False  # whether we are after the block's STARTER
    for number, line in enumerate(solution.splitlines(), start=1):
        marker = _MARKER.match(line)
        if marker is None:
            if "# BEGIN SOLUTION" in line or "# END SOLUTION" in line:
                raise _error(name, number, "a solution marker needs a line of its own")
            if given:
                starter.append(_given(line, name, number))
            elif not opened:
                starter.append(line)
        elif marker["given"]:
            if not opened or given:
                raise _error(name, number, "STARTER needs a SOLUTION block to itself")
            if marker["todo"]:
                raise _error(name, number, "STARTER takes no text")
            given = True
        elif marker["which"] == "BEGIN":
            if opened:
                raise _error(name, number, f"BEGIN SOLUTION inside the block that line {opened} opened")
            if not marker["todo"]:
                raise _error(name, number, "BEGIN SOLUTION does not say what is to do")
            opened = number
            todo = _todo(marker["indent"], marker["todo"], starter)
        else:
            if not opened:
                raise _error(name, number, "END SOLUTION without BEGIN SOLUTION")
            if marker["todo"]:
                raise _error(name, number, "END SOLUTION takes no text")
            if not given:
                starter.append(todo)
            opened, given = 0, False
    if opened:
        raise _error(name, opened, "BEGIN SOLUTION is never closed")
    return "\n".join(starter) + "\n"


def _todo(indent: str, todo: str, above: list[str]) -> str:
    """The line that takes a block's place."""
    if _in_function(indent, above):
        return f"{indent}raise NotImplementedError({json.dumps(f'TODO: {todo}', ensure_ascii=False)})"
    return f"{indent}# TODO: {todo}"


def _given(line: str, name: str, number: int) -> str:
    """The line of code in a commented line after STARTER; ``# |`` alone is an empty line."""
    match = _GIVEN.match(line)
    if match is None:
        raise _error(name, number, "after STARTER every line begins with `# | `")
    return match["indent"] + match["code"] if match["code"] else ""


def _in_function(indent: str, above: list[str]) -> bool:
    """Whether a line with ``indent`` after the lines ``above`` is part of a function's body."""
    depth = len(indent)
    for line in reversed(above):
        text = line.lstrip()
        # A smaller indent opens the block we are in, unless it is the tail of a signature over several lines.
        if text and len(line) - len(text) < depth and not text.startswith((")", "]", "}", "#")):
            if text.startswith(("def ", "async def ")):
                return True
            depth = len(line) - len(text)
    return False


def _error(name: str, line: int, problem: str) -> WindtunnelError:
    return WindtunnelError(f"{name}:{line}: {problem}.", "mend the markers in the solution.")
