"""The exercises: one folder each in ``exercises/`` and ``solutions/``. The folders are the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root, work_dir


@dataclass(frozen=True)
class Exercise:
    """Where the parts of one exercise are."""

    slug: str
    folder: Path

    @property
    def brief(self) -> Path:
        """What is asked: text, points, hints."""
        return self.folder / "exercise.md"

    @property
    def starter(self) -> Path:
        """Where a reader begins; derived from the solution."""
        return self.folder / "starter.py"

    @property
    def criteria(self) -> Path:
        """The check: one test module."""
        [module] = self.folder.glob("test_*.py")
        return module

    @property
    def solution(self) -> Path:
        """One right answer, with its markers."""
        return repo_root() / "solutions" / self.slug / "solution.py"

    @property
    def wrong(self) -> Path:
        """Known misconceptions, as edits of the solution: see ``windtunnel.misconceptions``."""
        return self.solution.with_name("wrong.toml")

    @property
    def reference(self) -> Path:
        """What the answer's outputs are compared with: a notebook that ran. Only where the answer is a cell."""
        return self.solution.with_name("reference.ipynb")

    @property
    def right(self) -> list[Path]:
        """Other right answers, whole files: other operators, other helpers, another layout."""
        return sorted(self.solution.with_name("right").glob("*.py"))


def exercises() -> list[Exercise]:
    """All exercises, in the order of their numbers."""
    folders = sorted(path.parent for path in (repo_root() / "exercises").glob("*/exercise.md"))
    return [Exercise(folder.name, folder) for folder in folders]


def find(name: str) -> Exercise:
    """The exercise called ``name``, or the only one whose slug starts with it: ``03``, ``03-cust``.

    Raises WindtunnelError, with the slugs there are, when none or several fit.
    """
    known = exercises()
    fits = [e for e in known if e.slug == name] or [e for e in known if name and e.slug.startswith(name)]
    if len(fits) == 1:
        return fits[0]
    problem = f"{name!r} could be {_listed(fits)}." if fits else f"There is no exercise {name!r}."
    raise WindtunnelError(problem, f"choose one of {_listed(fits or known)}.")


def answer_path(slug: str) -> Path:
    """Where the reader's answer to ``slug`` is kept."""
    return work_dir() / "answers" / f"{slug}.py"


def _listed(some: list[Exercise]) -> str:
    return ", ".join(exercise.slug for exercise in some)
