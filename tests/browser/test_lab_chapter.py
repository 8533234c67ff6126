"""A chapter in a real JupyterLab: live while it runs, and saved as the build of it was committed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from nbclient import NotebookClient

from sandboxes import COMMAND, ROOT, open_folder, wait_for

CHAPTER = ROOT / "notebooks/02-your-first-dag.ipynb"
SMALL = """
%load_ext windtunnel
---
%%dag
import time
from airflow.sdk import dag, task

@dag(schedule=None)
def looked_at():
    @task
    def numbers():
        time.sleep(1)
        return [1, 2, 3]

    @task
    def double(x):
        print(f"doubling {x}")
        time.sleep(1)
        return 2 * x

    @task
    def broken(x):
        return {}["march"]

    @task
    def report(x):
        pass

    doubled = double.expand(x=numbers())
    report(doubled) >> broken(doubled)

looked_at()
---
bet = predict("How does it end?", ["success", "failed"])
---
print("before")
run = trigger("looked_at", unpause=True)
run.watch()
print("after")
---
bet.reveal(run.state)
run.graph()
---
run.log("broken")
---
# not compared
run.gantt()
---
%%dag
from airflow.sdk import DAG
with DAG("looked_at", sched="@daily"):
    pass
---
trigger("loked_at")
"""


@dataclass
class Lab:
    """A served JupyterLab."""

    url: str
    work: Path

    def page_url(self, notebook: str) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/lab/tree/notebooks/{notebook}?{parts.query}&reset"


@pytest.fixture(scope="module")
def lab(browser: Any) -> Iterator[Lab]:
    """`windtunnel lab` as a person starts it, in folders of its own. (`browser` first: it may skip.)"""
    with open_folder() as folder:
        yield from serving(folder)


def serving(folder: Path) -> Iterator[Lab]:
    """The server in ``folder``, while the generator is open."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WINDTUNNEL_")}
    environment |= {"WINDTUNNEL_STATE": str(folder / "state"), "WINDTUNNEL_WORK": str(folder / "work")}
    printed = folder / "printed.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "lab", "--no-browser"], env=environment, stdout=output, stderr=output
        )
    try:

        def address() -> str:
            assert process.poll() is None, printed.read_text()
            found = re.search(r"JupyterLab +(http\S+)", printed.read_text())
            return found[1] if found else ""

        yield Lab(wait_for("the address of JupyterLab", address), folder / "work")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


class Visit:
    """A notebook opened in the browser."""

    def __init__(self, browser: Any, lab: Lab, notebook: str) -> None:
        self.lab, self.file = lab, lab.work / "notebooks" / notebook
        # Tall: JupyterLab draws only the cells in view.
        self.page = browser.new_page(viewport={"width": 1200, "height": 9000})
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(lab.page_url(notebook))
        self.idle()

    def idle(self) -> None:
        """Cells that are run before the kernel is idle, and the page knows it, are lost."""

        def ready() -> bool:
            kernels = [
                session["kernel"]
                for session in self.ask("GET", "api/sessions").json()
                if session["path"].endswith(self.file.name)
            ]
            return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)

        wait_for("an idle kernel", ready)
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60_000)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Of the server itself, with its token."""
        parts = urlsplit(self.lab.url)
        headers = {"Authorization": f"token {parts.query.removeprefix('token=')}"}
        return self.page.request.fetch(
            f"{parts.scheme}://{parts.netloc}/{path}", method=method, headers=headers, **options
        )

    def run_all(self) -> None:
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator('li[data-command="runmenu:run-all"]').click()

    def saved(self) -> nbformat.NotebookNode | None:
        """The notebook as saved, once every cell of code has run."""
        if self.page.locator(".jp-InputPrompt", has_text="[*]").count():
            return None
        notebook = self.save()
        return notebook if notebook and all(cell.execution_count for cell in code(notebook)) else None

    def save(self) -> nbformat.NotebookNode | None:
        """What the file holds after saving; None while it is being written."""
        self.page.keyboard.press("Control+s")
        self.page.wait_for_timeout(300)
        try:
            return nbformat.read(self.file, as_version=4)
        except nbformat.reader.NotJSONError:
            return None

    def clear_outputs(self) -> None:
        """A chapter's copy brings its outputs along; what is compared must be of this run."""
        self.page.get_by_role("menuitem", name="Edit", exact=True).click()
        self.page.locator('li[data-command="editmenu:clear-all"]').click()
        wait_for("cleared outputs", lambda: (nb := self.save()) and not any(c.outputs for c in code(nb)))

    def theme(self, name: str) -> None:
        answer = self.ask(
            "PUT",
            "lab/api/settings/@jupyterlab/apputils-extension:themes",
            data=json.dumps({"raw": json.dumps({"theme": name})}),
        )
        assert answer.ok
        self.page.reload()
        self.idle()
        self.page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")

    def screenshot(self, path: Path) -> None:
        """A picture of the cells, without the empty page below them."""
        last = self.page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
        height = min(last["y"] + last["height"] + 20, 9000)
        self.page.screenshot(path=path, clip={"x": 0, "y": 0, "width": 1200, "height": height})

    @property
    def outside(self) -> list[str]:
        return [url for url in self.requests if urlsplit(url).hostname not in {"127.0.0.1", None}]


# Keeps what comes and goes faster than a test can look.
WATCH = """
() => {
  window.seen = {};
  const look = () => {
    const bar = document.querySelector(".jp-OutputArea .progress-bar");
    if (bar) {
      window.seen.bar = true;
      const chips = [...document.querySelectorAll(".jp-OutputArea .widget-html-content .wt-state")];
      for (const chip of chips) window.seen[chip.textContent] = getComputedStyle(chip).borderRadius !== "0px";
    }
    if (document.querySelector(".jp-Dialog")) window.seen.dialog = document.querySelector(".jp-Dialog").innerText;
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""


def code(notebook: nbformat.NotebookNode) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def shown(notebook: nbformat.NotebookNode) -> list[list[tuple[str, str]]]:
    """What each cell of code shows as text, without the cells nobody compares.

    What shows nothing is left out: the place of a live view, which was there because something took over a second.
    """
    return [
        []
        if "nbval-ignore-output" in cell.metadata.get("tags", []) or cell.source.startswith("# not compared")
        else [(output.output_type, text) for output in cell.outputs if (text := text_of(output))]
        for cell in code(notebook)
    ]


def text_of(output: Any) -> str:
    if output.output_type == "stream":
        return f"{output.name}: {''.join(output.text)}"
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return "".join(output.data["text/plain"])


def built(notebook: nbformat.NotebookNode, lab: Lab) -> nbformat.NotebookNode:
    """The notebook as a build executes it, on the same sandbox."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("JPY_", "WINDTUNNEL_"))
    }
    environment |= {"WINDTUNNEL_STATE": str(lab.work.parent / "state"), "WINDTUNNEL_WORK": str(lab.work)}
    return NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute(env=environment)


def small_notebook() -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in SMALL.split("---\n")]
    for cell in cells:
        cell.metadata["tags"] = ["raises-exception"]  # Run All goes on behind it
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_a_notebook_is_live_in_jupyterlab_and_saved_as_a_build_leaves_it(
    browser: Any, lab: Lab, tmp_path: Path
) -> None:
    nbformat.write(small_notebook(), lab.work / "notebooks/small.ipynb")
    visit = Visit(browser, lab, "small.ipynb")
    visit.page.evaluate(WATCH)
    visit.run_all()
    saved = wait_for("the saved notebook", visit.saved)
    seen = visit.page.evaluate("window.seen")
    assert seen.pop("bar"), "no progress bar was seen while the run went on"
    assert "dialog" not in seen
    assert "running" in seen
    assert all(seen.values()), f"drawn without the style sheet: {seen}"
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        visit.theme(theme)
        visit.screenshot(tmp_path / f"{theme}.png")
    assert visit.outside == []
    visit.page.close()
    assert shown(saved) == shown(built(small_notebook(), lab))


def test_a_click_on_a_prediction_is_kept(browser: Any, lab: Lab) -> None:
    notebook = small_notebook()
    notebook.cells = [notebook.cells[0], notebook.cells[2], nbformat.v4.new_code_cell("bet.reveal('failed')")]
    nbformat.write(notebook, lab.work / "notebooks/bet.ipynb")
    visit = Visit(browser, lab, "bet.ipynb")
    visit.run_all()
    button = visit.page.wait_for_selector("button.jupyter-button:has-text('failed')", timeout=60_000)
    visit.idle()
    button.click()
    visit.page.wait_for_selector("li:has-text('failed ← your prediction')")
    visit.run_all()  # asks again: a bet belongs to one run of its cell
    saved = wait_for("the saved notebook", visit.saved)
    assert "How does it end? → failed" in shown(saved)[2][0][1]
    visit.page.close()


@pytest.mark.parametrize("chapter", [CHAPTER], ids=lambda path: path.stem)
def test_a_chapter_run_in_jupyterlab_shows_what_was_committed(
    browser: Any, lab: Lab, chapter: Path, tmp_path: Path
) -> None:
    visit = Visit(browser, lab, chapter.name)
    visit.page.evaluate(WATCH)
    committed = nbformat.read(chapter, as_version=4)
    visit.clear_outputs()
    visit.run_all()
    saved = wait_for("the saved notebook", visit.saved)
    seen = visit.page.evaluate("window.seen")
    assert seen.pop("bar"), "no progress bar was seen while a run went on"
    assert "dialog" not in seen
    visit.screenshot(tmp_path / "chapter.png")
    assert visit.outside == []
    visit.page.close()
    assert shown(saved) == shown(committed)
