"""The chapter line: text → notebook → executed → normalised → checked by nbval.

The sandbox here is a null one, `NULLS`: it writes down when it is entered and left. Kernels are real.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, PngImagePlugin
from rich.console import Console

from windtunnel import notebooks, png
from windtunnel.chapters import Chapter, of_notebook, orphans, references
from windtunnel.errors import WindtunnelError
from windtunnel.hosting import hosted
from windtunnel.normalise import dumps, loads, normalise
from windtunnel.paths import repo_root
from windtunnel.widget_state import STATE, VIEW

NULLS = """
import os
from contextlib import contextmanager

class Null:
    def environ(self):
        return {"WINDTUNNEL_STATE": "null", "DIARY": os.environ["DIARY"]}

def note(line):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(line + "\\n")

@contextmanager
def null():
    print("a sandbox may print")
    note("entered")
    try:
        yield Null()
    finally:
        note("left")

@contextmanager
def broken():
    raise ValueError("no room")
    yield
"""

CHAPTER = """\
---
kernelspec:
  display_name: Python 3
  name: python3
updated: 2026-03-01
---

# A night

Two jobs.

```{code-cell} ipython3
:tags: [hide-input, nbval-ignore-output]

import os

os.getpid()
```

+++ {"tags": ["margin"]}

Text of its own.

```{code-cell} ipython3
print("2", os.environ["WINDTUNNEL_STATE"], os.listdir())
6 * 7
```
"""

WAITING = """\
```{code-cell}
import os, time
with open(os.environ["DIARY"], "a") as diary:
    print("kernel", os.getpid(), os.getcwd(), file=diary, flush=True)
time.sleep(120)
```
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with one chapter, and the null sandbox importable."""
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "01-night.md").write_text(CHAPTER)
    (tmp_path / "nulls.py").write_text(NULLS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.setenv("DIARY", str(tmp_path / "diary"))
    return tmp_path


def diary(tree: Path) -> list[str]:
    return (tree / "diary").read_text().splitlines() if (tree / "diary").exists() else []


def code(source: str, options: str = "") -> str:
    return f"```{{code-cell}}\n{options}{source}\n```\n"


def chapter(tree: Path, text: str, slug: str = "01-night") -> Chapter:
    (tree / "book" / f"{slug}.md").write_text(text)
    return Chapter(slug, tree)


def make(tree: Path, *slugs: str, jobs: int = 2, check: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    console = Console(file=out, width=80)
    status = notebooks.run(slugs, jobs, check=check, root=tree, sandbox="nulls:null", console=console)
    return status, out.getvalue()


def until(condition: Callable[[], object], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


# --- the real chapters -------------------------------------------------------------------------------------


def test_the_book_has_a_chapter() -> None:
    # Else the next test would check nothing and pass.
    assert notebooks.chapters()


@pytest.mark.parametrize("real", [*notebooks.chapters(), *references()], ids=lambda chapter: chapter.slug)
def test_a_committed_notebook_is_its_chapters_text(real: Chapter) -> None:
    assert notebooks.stale(real) == []


def test_every_committed_notebook_has_a_chapter() -> None:
    assert orphans() == []


def test_a_committed_reference_is_executed_again_by_the_tests() -> None:
    # nbval is given paths in the Makefile; each reference must be where it looks.
    assert "solutions/*/reference.ipynb" in (repo_root() / "Makefile").read_text()
    assert [each.notebook for each in references()] == sorted(repo_root().glob("solutions/*/reference.ipynb"))


# --- finding and reading -----------------------------------------------------------------------------------


def test_only_numbered_files_of_the_book_are_chapters(tree: Path) -> None:
    for name in ("index.md", "10-later.md", "2-short.md", "03_under.md", "04-notes.txt"):
        (tree / "book" / name).touch()
    assert [c.slug for c in notebooks.chapters(tree)] == ["01-night", "10-later"]


@pytest.mark.parametrize("name", ["01", "01-night", "01-n", "book/01-night.md", "notebooks/01-night.ipynb"])
def test_a_chapter_is_found_by_the_beginning_of_its_name(tree: Path, name: str) -> None:
    assert notebooks.find(name, tree).slug == "01-night"


@pytest.mark.parametrize(
    "name",
    ["reference-06", "solutions/06-runs/reference.md", "solutions/06-runs/reference.ipynb"],
)
def test_a_reference_is_found_by_its_exercise(tree: Path, name: str) -> None:
    (tree / "solutions" / "06-runs").mkdir(parents=True)
    (tree / "solutions" / "06-runs" / "reference.md").write_text(CHAPTER)
    found = notebooks.find(name, tree)
    assert found.slug == "reference-06-runs"
    assert found.notebook == tree / "solutions" / "06-runs" / "reference.ipynb"
    assert found.at(7) == "solutions/06-runs/reference.md:7"
    assert of_notebook(found.notebook) == found
    assert [c.slug for c in notebooks.chapters(tree)] == ["01-night"]


def test_references_are_made_and_checked_with_the_chapters(tree: Path) -> None:
    (tree / "solutions" / "06-runs").mkdir(parents=True)
    (tree / "solutions" / "06-runs" / "reference.md").write_text(code("6 * 7"))
    status, said = make(tree, check=True)
    assert status == 1
    assert "solutions/06-runs/reference.ipynb does not exist" in said
    assert make(tree, "reference-06")[0] == 0
    assert "solutions" not in make(tree, check=True)[1]


def test_a_whole_name_wins_over_a_longer_one(tree: Path) -> None:
    (tree / "book" / "01-night-shift.md").touch()
    assert notebooks.find("01-night", tree).slug == "01-night"


@pytest.mark.parametrize("name", ["7", "", "night"])
def test_an_unknown_chapter_is_answered_with_the_known_ones(tree: Path, name: str) -> None:
    with pytest.raises(WindtunnelError, match="01-night"):
        notebooks.find(name, tree)


def test_an_ambiguous_name_is_answered_with_what_it_could_be(tree: Path) -> None:
    (tree / "book" / "01-day.md").touch()
    with pytest.raises(WindtunnelError, match="01-day, 01-night"):
        notebooks.find("01", tree)


def test_text_becomes_cells_with_tags_and_steady_ids(tree: Path) -> None:
    nb = notebooks.to_notebook(notebooks.find("01", tree))
    assert [(c.cell_type, c.id) for c in nb.cells] == [
        ("markdown", "01-night-001"),
        ("code", "01-night-002"),
        ("markdown", "01-night-003"),
        ("code", "01-night-004"),
    ]
    assert nb.cells[1].metadata.tags == ["hide-input", "nbval-ignore-output"]
    assert nb.cells[2].metadata.tags == ["margin"]
    assert nb.cells[3].execution_count is None
    assert nb.metadata.kernelspec.name == "python3"
    assert nb.metadata.updated == "2026-03-01"
    assert "jupytext" not in dumps(nb)


def test_each_cell_knows_its_line_in_the_text(tree: Path) -> None:
    read = notebooks.find("01", tree)
    text = CHAPTER.splitlines()
    lines = notebooks.cell_lines(read)
    assert lines == [8, 15, 22, 25]
    for cell, line in zip(notebooks.to_notebook(read).cells, lines, strict=True):
        assert text[line - 1] == cell.source.splitlines()[0]


def test_options_that_cannot_be_read_are_named_with_their_chapter(tree: Path) -> None:
    bad = chapter(tree, code("1", "---\ntags: [a\n---\n"))
    with pytest.raises(WindtunnelError, match=r"book/01-night\.md"):
        notebooks.to_notebook(bad)


# --- comparing with the committed notebook -----------------------------------------------------------------


@pytest.fixture
def committed(tree: Path) -> Chapter:
    """The chapter and a notebook that agrees with it."""
    made = notebooks.find("01", tree)
    notebooks.write(made, normalise(notebooks.to_notebook(made), made.slug))
    assert notebooks.stale(made) == []
    return made


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("6 * 7", "6 * 9", "book/01-night.md:25: one cell in the text, one cell in"),
        ("hide-input", "hide-cell", "book/01-night.md:15"),
        ("Text of its own", "Other text", "book/01-night.md:22"),
        ("+++", "```{code-cell}\nnew\n```\n\n+++", "book/01-night.md:21: one cell in the text, no cell in"),
        ("updated: 2026-03-01", "updated: 2027-03-01", "the front matter differs"),
    ],
)
def test_a_changed_text_is_found_at_its_line(committed: Chapter, before: str, after: str, where: str) -> None:
    text = committed.text.read_text()
    assert before in text
    committed.text.write_text(text.replace(before, after))
    (difference,) = notebooks.same_source(committed)
    assert where in difference


def test_a_cell_added_to_the_notebook_is_found(committed: Chapter) -> None:
    nb = loads(committed.notebook.read_text())
    nb.cells.append(new_code_cell("1"))
    committed.notebook.write_text(dumps(normalise(nb, committed.slug)))
    (difference,) = notebooks.same_source(committed)
    assert difference.startswith("the end of book/01-night.md: no cell in the text, one cell in")


def test_a_notebook_saved_from_lab_is_stale_though_its_sources_are_equal(committed: Chapter) -> None:
    nb = loads(committed.notebook.read_text())
    nb.cells[1].metadata["scrolled"] = True
    committed.notebook.write_text(dumps(nb))
    assert notebooks.same_source(committed) == []
    assert notebooks.stale(committed) == ["notebooks/01-night.ipynb was saved by something else"]


@pytest.mark.parametrize("contents", [None, "", "<<<<<<< HEAD\n", "[]"])
def test_a_missing_or_damaged_notebook_is_a_difference(committed: Chapter, contents: str | None) -> None:
    committed.notebook.unlink()
    if contents is not None:
        committed.notebook.write_text(contents)
    assert len(notebooks.stale(committed)) == 1


def test_check_names_what_is_stale_and_runs_nothing(tree: Path, committed: Chapter) -> None:
    assert make(tree, check=True) == (0, "")
    (tree / "notebooks" / "09-gone.ipynb").write_text("{}")
    chapter(tree, code("1"), "02-day")
    status, said = make(tree, check=True)
    assert status == 1
    assert "notebooks/02-day.ipynb does not exist" in said
    assert "notebooks/09-gone.ipynb has no chapter" in said
    assert "windtunnel notebooks" in said
    assert make(tree, "01", check=True) == (0, "")
    assert diary(tree) == []


# --- normalising -------------------------------------------------------------------------------------------


def picture(colour: int = 0, **comments: str) -> str:
    info = PngImagePlugin.PngInfo()
    for name, value in comments.items():
        info.add_text(name, value)
    file = io.BytesIO()
    image = Image.new("L", (8, 8), 100)
    image.putpixel((3, 3), 100 + colour)
    image.save(file, "PNG", pnginfo=info)
    return base64.b64encode(file.getvalue()).decode()


def random_notebook(dice: random.Random) -> NotebookNode:
    """A notebook such as runs and editors leave behind."""
    ids = [f"{dice.getrandbits(128):032x}" for _ in range(5)]

    def output() -> NotebookNode:
        kind = dice.choice(["stream", "stream", "stream", "picture", "result", "error", "widget"])
        if kind == "stream":
            text = dice.choice(["a\n", "b", "10%\r20%\r", "\r\n", "x\r\ry\n", "é\n"])
            return new_output("stream", name=dice.choice(["stdout", "stderr"]), text=text)
        if kind == "picture":
            return new_output("display_data", data={"image/png": picture(Date=str(dice.random()))})
        if kind == "result":
            return new_output("execute_result", data={"text/plain": "1"}, execution_count=dice.randint(1, 99))
        if kind == "error":
            where = dice.choice(
                ["/home/a/b/lib/python3.11/site-packages/pandas/x.py", "~/x.py", "/tmp/y.py", "x.py"]
            )
            return new_output(
                "error", ename="E", evalue="e", traceback=[f"\x1b[36mFile \x1b[32m{where}:3\x1b[39m, in f"]
            )
        view = {"model_id": dice.choice(ids), "version_major": 2, "version_minor": 0}
        return new_output("display_data", data={VIEW: view, "text/plain": "W()"})

    cells = []
    for _ in range(dice.randint(0, 6)):
        if dice.random() < 0.3:
            cells.append(new_markdown_cell("text" + "\n" * dice.randint(0, 2)))
            continue
        cell = new_code_cell(dice.choice(["", " ", "1\n", "f()"]), execution_count=dice.randint(1, 99))
        cell.outputs = [output() for _ in range(dice.randint(0, 6))]
        cell.metadata["tags"] = dice.choice([[], ["skip-execution"]])
        cell.metadata["execution"] = {"iopub.status.busy": str(dice.random())}
        cells.append(cell)

    def model(name: str, **state: object) -> dict[str, object]:
        return {"model_module": "m", "model_module_version": "1", "model_name": name, "state": state}

    state = {
        ids[0]: model("HBoxModel", children=[f"IPY_MODEL_{ids[1]}", f"IPY_MODEL_{ids[2]}"]),
        ids[1]: model("OutputModel", msg_id=str(dice.random())),
        ids[2]: model("LayoutModel", width=None, height="1px"),
        ids[3]: model(
            "LinkModel", source=[f"IPY_MODEL_{ids[4]}", "value"], target=[f"IPY_MODEL_{ids[0]}", "v"]
        ),
        ids[4]: model("IntSliderModel", value=dice.randint(1, 3)),
    }
    shuffled = dict(dice.sample(list(state.items()), len(state)))
    metadata = {"language_info": {"name": "python", "version": "3.13.1"}, "title": "kept"}
    if dice.random() < 0.8:
        metadata["widgets"] = {STATE: {"state": shuffled, "version_major": 2, "version_minor": 0}}
    return new_notebook(cells=cells, metadata=metadata)


@pytest.mark.parametrize("seed", range(200))
def test_normalising_twice_is_normalising_once(seed: int) -> None:
    nb = random_notebook(random.Random(seed))
    before = copy.deepcopy(nb)
    once = normalise(nb, "01-x")
    assert nb == before
    assert dumps(normalise(once, "01-x")) == dumps(once)
    assert dumps(normalise(loads(dumps(once)), "01-x")) == dumps(once)


@pytest.mark.parametrize("seed", range(20))
def test_what_changes_from_run_to_run_is_gone(seed: int) -> None:
    text = dumps(normalise(random_notebook(random.Random(seed)), "01-x"))
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    for volatile in ("iopub", "3.13.1", "/home", "/tmp", "~"):
        assert volatile not in text


def test_counts_follow_the_cells_that_run() -> None:
    cells = [new_code_cell(s, execution_count=9) for s in ("a", " ", "b", "c")]
    cells[2].metadata["tags"] = ["skip-execution"]
    cells[3].outputs = [new_output("execute_result", data={"text/plain": "1"}, execution_count=9)]
    nb = normalise(new_notebook(cells=[new_markdown_cell("x"), *cells]), "s")
    assert [c.execution_count for c in nb.cells[1:]] == [1, None, None, 2]
    assert nb.cells[4].outputs[0].execution_count == 2


def test_neighbouring_streams_are_merged_and_others_kept_apart() -> None:
    stream = [
        ("stderr", "e1"),
        ("stdout", "o1\n"),
        ("stdout", "50%\r"),
        ("stdout", "100%\n"),
        ("stderr", "e2"),
    ]
    outputs = [new_output("stream", name=name, text=text) for name, text in stream]
    outputs += [new_output("display_data", data={"text/plain": "fig"}), new_output("stream", text="after")]
    nb = normalise(new_notebook(cells=[new_code_cell("x", outputs=outputs)]), "s")
    got = [(o.name, o.text) if o.output_type == "stream" else "figure" for o in nb.cells[0].outputs]
    assert got == [("stdout", "o1\n100%\n"), ("stderr", "e1e2"), "figure", ("stdout", "after")]


def test_pictures_lose_their_comments_and_nothing_else() -> None:
    assert picture(Software="m", Date="d") != picture()
    assert png.stripped(picture(Software="m", Date="d")) == png.stripped(picture())
    assert png.look_alike(png.stripped(picture(Software="m")), picture())
    for no_picture in ("", "!", base64.b64encode(b"GIF89a").decode(), picture()[:-20] + "AAAA"):
        assert png.stripped(no_picture) == no_picture


def test_pictures_are_compared_by_what_they_look_like() -> None:
    assert png.look_alike(picture(0), picture(2))
    assert not png.look_alike(picture(0), picture(100))
    assert not png.look_alike(picture(0), "")


def test_widgets_are_renamed_in_order_of_appearance_and_links_kept() -> None:
    def names(seed: int) -> NotebookNode:
        dice = random.Random(seed)
        box, child, link, other, unseen = (f"{dice.getrandbits(128):032x}" for _ in range(5))
        state = {
            link: {"model_name": "LinkModel", "state": {"source": [f"IPY_MODEL_{child}", "value"]}},
            child: {"model_name": "IntSliderModel", "state": {"value": 1}},
            unseen: {"model_name": "IntSliderModel", "state": {"value": 3}},
            other: {"model_name": "HTMLModel", "state": {"value": "x"}},
            box: {"model_name": "HBoxModel", "state": {"children": [f"IPY_MODEL_{child}"]}},
        }
        state = dict(dice.sample(list(state.items()), len(state)))
        views = [
            new_output("display_data", data={VIEW: {"model_id": shown}}) for shown in (other, box, other)
        ]
        nb = new_notebook(
            cells=[new_code_cell("x", outputs=views)], metadata={"widgets": {STATE: {"state": state}}}
        )
        return normalise(nb, "s")

    nb = names(1)
    assert nb == names(2)
    assert [int(o.data[VIEW].model_id, 16) for o in nb.cells[0].outputs] == [1, 2, 1]
    models = nb.metadata.widgets[STATE].state
    kinds = {int(name, 16): model.model_name for name, model in models.items()}
    assert kinds == {1: "HTMLModel", 2: "HBoxModel", 3: "IntSliderModel", 4: "LinkModel"}
    assert models[f"{2:032x}"].state.children == [f"IPY_MODEL_{3:032x}"]


# --- executing ---------------------------------------------------------------------------------------------


def test_a_chapter_runs_on_its_sandbox_and_a_second_run_changes_nothing(tree: Path) -> None:
    status, said = make(tree)
    assert (status, "written" in said) == (0, True)
    path = tree / "notebooks" / "01-night.ipynb"
    nb = nbformat.read(path, as_version=4)
    assert nb.cells[3].outputs[0].text == "2 null []\n"
    assert nb.cells[3].outputs[1].data["text/plain"] == "42"
    assert notebooks.same_source(notebooks.find("01", tree)) == []
    # The process id in the first output is another; put the old one back to have the same text again.
    nb.cells[1].outputs[0].data["text/plain"] = "1"
    chapter(tree, CHAPTER.replace("os.getpid()", "1"))
    assert make(tree)[0] == 0
    stamp = path.stat()
    status, said = make(tree)
    assert (status, "unchanged" in said) == (0, True)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)
    assert diary(tree) == ["entered", "left"] * 3
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_owners_settings_do_not_reach_a_chapter(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tree / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("print('mine')\nmine = 1")
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text("figure.dpi: 33\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / ".ipython"))
    monkeypatch.setenv("COLUMNS", "33")
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    monkeypatch.setenv("WINDTUNNEL_URL", "http://elsewhere")
    before = sorted(home.rglob("*"))
    probe = chapter(
        tree,
        code(
            "import os, sys, shutil, matplotlib.pyplot as plt\n"
            "print('mine' in globals(), plt.rcParams['figure.dpi'], shutil.get_terminal_size().columns)\n"
            "print(sorted(name for name in os.environ if name.startswith(('AIRFLOW', 'WINDTUNNEL'))))\n"
            "print(sys.executable)"
        ),
    )
    (cell,) = notebooks.execute(probe, sandbox="nulls:null").cells
    assert cell.outputs[0].text == f"False 100.0 80\n['WINDTUNNEL_STATE']\n{sys.executable}\n"
    assert sorted(home.rglob("*")) == before


def test_a_failing_cell_is_shown_at_its_line_and_the_committed_notebook_is_kept(tree: Path) -> None:
    path = tree / "notebooks" / "01-night.ipynb"
    path.write_text("as it was")
    chapter(
        tree, "# Text\n\n" + code("x = 1\ny = 0\nx / y\nprint('after')", ":tags: [a]\n\n") + code("never")
    )
    chapter(tree, code("print(1)"), "02-day")
    status, said = make(tree, jobs=1)
    assert status == 1
    assert "book/01-night.md:8 failed" in said
    assert ">    8 | x / y" in said
    assert "     7 | y = 0" in said
    assert said.count("ZeroDivisionError: division by zero") == 1
    assert "Traceback" not in said
    assert "never" not in said
    assert path.read_text() == "as it was"
    # The other chapter was not held up.
    assert (tree / "notebooks" / "02-day.ipynb").exists()
    assert diary(tree) == ["entered", "left"] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (code("import os\nos._exit(3)"), "The kernel died."),
        (code("def f(:\n  pass"), "SyntaxError"),
        (code("1", ":tags: [raises-exception]\n"), "did not raise"),
        (code("input()"), "StdinNotImplementedError"),
    ],
)
def test_other_ways_to_fail_are_told_apart(tree: Path, text: str, words: str) -> None:
    with pytest.raises(notebooks.CellFailed, match=r"book/01-night.md:[23] failed") as failure:
        notebooks.execute(chapter(tree, text), sandbox="nulls:null")
    assert words in str(failure.value)
    assert diary(tree) == ["entered", "left"]


def test_a_cell_has_a_time_limit(tree: Path) -> None:
    with pytest.raises(notebooks.CellFailed, match="still running after 1 s"):
        notebooks.execute(chapter(tree, WAITING), sandbox="nulls:null", timeout=1)
    pid = int(diary(tree)[1].split()[1])
    assert not psutil.pid_exists(pid)


def test_an_exception_that_is_expected_is_part_of_the_chapter(tree: Path) -> None:
    told = chapter(tree, code("import json\njson.loads('{')", ":tags: [raises-exception]\n") + code("2"))
    nb = notebooks.execute(told, sandbox="nulls:null")
    assert nb.cells[0].outputs[0].ename == "JSONDecodeError"
    assert nb.cells[1].outputs[0].data["text/plain"] == "2"


def test_a_sandbox_that_does_not_start_is_the_error_of_its_chapter(tree: Path) -> None:
    for name, words in (
        ("nulls:broken", "no room"),
        ("nulls:gone", "cannot be loaded"),
        ("no.module:x", "no"),
    ):
        with pytest.raises(WindtunnelError, match=words):
            notebooks.execute(notebooks.find("01", tree), sandbox=name)


def test_the_folder_of_a_run_goes_with_it(tree: Path) -> None:
    with hosted("nulls:null") as host:
        assert host.folder.is_dir()
        (host.folder / "left-behind").touch()
    assert not host.folder.exists()
    assert diary(tree) == ["entered", "left"]


def test_ctrl_c_stops_kernels_and_sandboxes_and_writes_nothing(tree: Path) -> None:
    chapter(tree, WAITING)
    chapter(tree, WAITING, "02-day")
    script = (
        "import sys; from pathlib import Path; from windtunnel import notebooks\n"
        f"sys.exit(notebooks.run(root=Path({str(tree)!r}), sandbox='nulls:null'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert until(lambda: sum(line.startswith("kernel") for line in diary(tree)) == 2)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped" in said
    assert "failed" not in said
    assert_gone(tree, 2)
    assert list((tree / "notebooks").iterdir()) == []


def assert_gone(tree: Path, sandboxes: int) -> None:
    """All sandboxes were left; their kernels and folders are no more."""
    assert until(lambda: diary(tree).count("left") == sandboxes)
    started = [line.split() for line in diary(tree) if line.startswith("kernel")]
    assert len(started) == sandboxes
    for _, pid, folder in started:
        assert until(lambda pid=pid: not psutil.pid_exists(int(pid)))
        assert until(lambda folder=folder: not Path(folder).parent.exists())


# --- nbval -------------------------------------------------------------------------------------------------


def nbval(tree: Path, *options: str) -> list[str]:
    """The command that ``make test`` uses, on ``tree``."""
    command = (
        "-m pytest -p no:cacheprovider --color=no --nbval --nbval-current-env -p windtunnel.nbval_sandbox"
    )
    return [sys.executable, *command.split(), "--nbval-sandbox=nulls:null", "notebooks", *options]


def verdict(tree: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(nbval(tree, *options), cwd=tree, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


LIVE = """
import sys
import ipywidgets as w
from IPython.display import HTML, clear_output, display

handle = display(HTML("running"), display_id=True)
handle.update(HTML("done"))
captured = w.Output()
display(captured)
with captured:
    print("inside")
print("out"); print("err", file=sys.stderr)
"""


def test_nbval_accepts_what_was_made_also_live_views_and_figures(tree: Path) -> None:
    text = CHAPTER + code("print(Out[2], _)") + code(LIVE)
    text += code("for i in range(3):\n    clear_output(wait=True)\n    print(i)")
    text += code("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    text += code("1 / 0", ":tags: [raises-exception]\n") + code("1 / 0", ":tags: [skip-execution]\n")
    made = chapter(tree, text)
    chapter(tree, text, "02-day")
    assert make(tree)[0] == 0
    nb = loads(made.notebook.read_text())
    assert nb.cells[-4].outputs[0].text == "2\n"
    # A figure drawn by another machine differs in its bytes.
    nb.cells[-3].outputs[0].data["image/png"] = picture()
    made.notebook.write_text(dumps(nb))
    status, said = verdict(tree, "-n", "2", "--dist", "loadfile")
    assert status == 0, said
    assert "14 passed, 2 skipped" in said
    assert diary(tree) == ["entered", "entered", "left", "left"] * 2


def test_nbval_refuses_other_outputs_each_at_its_line(tree: Path) -> None:
    kinds = {"6 * 7": ("42", "43"), "print('a')": ("a\\n", "b\\n"), "print('x')": ("stdout", "stderr")}
    kinds |= {"'typed'": ("text/plain", "text/html"), "'shown'": ("execute_result", "stream")}
    made = chapter(tree, "".join(code(source) for source in [*kinds, "'right'"]))
    assert make(tree)[0] == 0
    nb = json.loads(made.notebook.read_text())
    for cell, (right, wrong) in zip(nb["cells"], kinds.values(), strict=False):
        output = json.dumps(cell["outputs"])
        assert right in output
        cell["outputs"] = json.loads(output.replace(right, wrong))
    nb["cells"][4]["outputs"] = []
    made.notebook.write_text(json.dumps(nb))
    status, said = verdict(tree)
    assert status == 1, said
    assert "5 failed, 1 passed" in said
    for line in (2, 5, 8, 11, 14):
        assert f"book/01-night.md:{line} (Cell" in said
    assert diary(tree)[2:] == ["entered", "left"]


def test_nbval_skips_the_cells_after_one_that_cannot_run(tree: Path) -> None:
    broken = chapter(tree, code("x = 1") + code("print(x)") + code("print(x + 1)"))
    assert make(tree)[0] == 0
    broken.notebook.write_text(broken.notebook.read_text().replace('"x = 1"', '"import os; os._exit(1)"'))
    status, said = verdict(tree)
    assert status == 1
    assert "1 failed, 2 skipped" in said
    assert "book/01-night.md:2" in said
    assert "the kernel died" in said
    assert diary(tree)[2:] == ["entered", "left"]


@pytest.mark.parametrize(
    ("workers", "how"),
    [(0, signal.SIGINT), (0, signal.SIGKILL), (1, signal.SIGINT), (1, signal.SIGKILL)],
    ids=["ctrl-c", "killed", "ctrl-c with a worker", "worker killed"],
)
def test_however_nbval_ends_the_sandbox_and_the_kernel_go(
    tree: Path, workers: int, how: signal.Signals
) -> None:
    waiting = chapter(tree, WAITING)
    notebooks.write(waiting, normalise(notebooks.to_notebook(waiting), waiting.slug))
    process = subprocess.Popen(
        nbval(tree, *(["-n", "1", "--dist", "loadfile"] if workers else [])),
        cwd=tree,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: len(diary(tree)) == 2)
        kernel = psutil.Process(int(diary(tree)[1].split()[1]))
        # The kernel's parent is the process that runs its cells: pytest, or its worker.
        os.kill(kernel.ppid() if how == signal.SIGKILL else process.pid, how)
        assert_gone(tree, 1)
        # xdist starts another worker for a killed one, which begins the notebook again.
        if workers and how == signal.SIGKILL:
            assert until(lambda: len(diary(tree)) == 5)  # entered, kernel, left, entered, kernel
            process.send_signal(signal.SIGINT)
            assert_gone(tree, 2)
        assert process.wait(60) != 0
    finally:
        process.kill()


def test_nbval_stops_at_the_first_failure_and_still_tears_down(tree: Path) -> None:
    wrong = chapter(tree, code("0 + 1") + code("2"))
    assert make(tree)[0] == 0
    wrong.notebook.write_text(wrong.notebook.read_text().replace('"1"', '"7"'))
    status, said = verdict(tree, "-x")
    assert status != 0
    assert "1 failed" in said
    assert "passed" not in said
    assert diary(tree)[2:] == ["entered", "left"]


def test_no_two_chapters_have_a_dag_of_the_same_name() -> None:
    """A reader who does both has both files, and Airflow refuses the second."""
    chapters: dict[str, set[str]] = {}
    for path in sorted((repo_root() / "book").glob("[0-9]*.md")):
        for cell in re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", path.read_text(), re.M | re.S):
            if "%%dag" in cell:
                for found in re.findall(r'\bDAG\(\s*"(\w+)"|@dag\b[^\n]*\ndef (\w+)', cell):
                    chapters.setdefault("".join(found), set()).add(path.name)
    assert len(chapters) > 50
    assert {name: where for name, where in chapters.items() if len(where) > 1} == {}
