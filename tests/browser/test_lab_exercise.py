"""An exercise answered in JupyterLab: the verdict as a card, a hint for each click, saved as a build leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_lab_chapter import Lab, Visit, built, serving, shown, small_notebook

from sandboxes import open_folder, wait_for
from windtunnel.brief import hints
from windtunnel.exercises import find
from windtunnel.standings import worth


@pytest.fixture(scope="module")
def lab(browser: Any) -> Iterator[Lab]:
    """`windtunnel lab` as a person starts it, in folders of its own. (`browser` first: it may skip.)"""
    with open_folder() as folder:
        yield from serving(folder)


def answered() -> nbformat.NotebookNode:
    """A notebook with a cell that answers exercise 03 in part."""
    notebook = small_notebook()
    answer = f"%%exercise 03\n{find('03').starter.read_text()}"
    notebook.cells = [notebook.cells[0], nbformat.v4.new_code_cell(answer)]
    return notebook


def test_a_cell_is_judged_and_each_click_shows_one_hint_more(browser: Any, lab: Lab, tmp_path: Path) -> None:
    nbformat.write(answered(), lab.work / "notebooks/answered.ipynb")
    visit = Visit(browser, lab, "answered.ipynb")
    visit.run_all()
    visit.page.wait_for_selector(".wt-verdict", timeout=120_000)
    assert (
        visit.page.locator(".wt-verdict .wt-points")
        .first.inner_text()
        .endswith(f" of {worth(find('03'))} points")
    )
    assert visit.page.locator(".wt-verdict details[open]").count() == 1
    total = len(hints(find("03")))
    for number in (1, 2):
        visit.page.click(f"button.jupyter-button:has-text('Next hint ({number} of {total})')")
        visit.page.wait_for_selector(f".wt-hint[open]:has-text('Hint {number} of {total}')")
        assert visit.page.locator(".wt-hint").count() == number
    saved = wait_for("the saved notebook", visit.saved)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        visit.theme(theme)
        visit.page.wait_for_selector(
            f".wt-hint[open]:has-text('Hint 2 of {total}')"
        )  # drawn again from the kernel
        visit.screenshot(tmp_path / f"{theme}.png")
    assert visit.outside == []
    visit.page.close()
    assert shown(saved) == shown(built(answered(), lab))
    assert (lab.work / "answers/03-customer-segmentation.py").read_text() == find("03").starter.read_text()
