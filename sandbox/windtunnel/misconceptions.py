"""Known wrong answers to an exercise, written as edits of its solution.

Because they are edits they cannot drift from the solution: a passage that is no longer in it is an error.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import WindtunnelError


@dataclass(frozen=True)
class Misconception:
    """The solution with one passage replaced, the criterion that must refuse it, and words its message must have."""

    name: str
    find: str
    replace: str
    criterion: str
    words: tuple[str, ...]

    def of(self, solution: str) -> str:
        """The edited solution. Raises WindtunnelError unless the passage is in it exactly once."""
        count = solution.count(self.find)
        if count != 1:
            raise WindtunnelError(
                f"{self.name!r}: its `find` is {count} times in the solution: {self.find.strip()}",
                "make it fit the solution again, exactly once.",
            )
        return solution.replace(self.find, self.replace)


def misconceptions(file: Path) -> list[Misconception]:
    """The misconceptions in ``wrong.toml``; none when there is no such file.

    Raises WindtunnelError, with the file, for an entry that lacks something or has something unknown.
    """
    if not file.exists():
        return []
    entries = tomllib.loads(file.read_text()).get("wrong", [])
    wanted = {"name", "find", "replace", "criterion", "words"}
    for entry in entries:
        if set(entry) != wanted or not all(entry[key] for key in wanted - {"replace"}):
            raise WindtunnelError(
                f"{file}: {entry.get('name', 'an entry without a name')!r} must have {', '.join(sorted(wanted))}.",
                "complete it.",
            )
    return [Misconception(**(entry | {"words": tuple(entry["words"])})) for entry in entries]
