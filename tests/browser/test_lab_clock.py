"""The clock in a real JupyterLab: a reader lets go of a slider, and runs appear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from test_lab_chapter import Lab, Visit, lab, shown  # noqa: F401  (`lab` is a fixture)

from sandboxes import wait_for

DAILY = """%%dag
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("daily", schedule="0 6 * * *", start_date=datetime(2026, 3, 1)):
    @task
    def work(): ...
    work()
"""
CELLS = [
    "%load_ext windtunnel",
    'clock.reset("2026-03-01")',
    DAILY,
    'unpause("daily")\nclock.slider(days=3)',
]


def test_a_slider_turns_the_clock_and_runs_appear(browser: Any, lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, lab.work / "notebooks/turning.ipynb")
    visit = Visit(browser, lab, "turning.ipynb")
    visit.run_all()
    handle = visit.page.wait_for_selector(".noUi-handle", timeout=180_000)
    visit.idle()
    assert visit.page.locator(".widget-readout").inner_text() == "2026-03-01 00:00"
    # Eight notches of six hours: two days, in which 06:00 comes twice.
    bar = visit.page.locator(".noUi-base").bounding_box()
    at = handle.bounding_box()
    visit.page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    visit.page.mouse.down()
    visit.page.mouse.move(bar["x"] + bar["width"] * 8 / 12, at["y"] + at["height"] / 2, steps=8)
    visit.page.mouse.up()
    squares = ".jp-OutputArea svg rect title"
    expected = ["2026-03-01 06:00: success", "2026-03-02 06:00: success"]
    wait_for("two green squares", lambda: visit.page.locator(squares).all_text_contents() == expected)
    visit.idle()
    visit.page.screenshot(path=tmp_path / "turned.png", clip={"x": 0, "y": 0, "width": 1200, "height": 900})
    assert visit.page.locator(".widget-readout").inner_text() == "2026-03-03 00:00"
    saved = wait_for("the saved notebook", visit.saved)
    assert shown(saved)[3][-1] == ("display_data", "clock: 2026-03-01 00:00 UTC")
    assert visit.outside == []
    visit.page.close()
