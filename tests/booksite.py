"""Builds the book's site for the tests, without network and without Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from specimen import specimen

ROOT = Path(__file__).resolve().parents[1]

# Python runs `sitecustomize` at start-up when it is on the path: the build has neither network nor Airflow.
GUARD = """
import socket, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError("the book is built without Airflow")

def no_network(*args, **kwargs):
    raise OSError("the book is built without network")

sys.meta_path.insert(0, NoAirflow())
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = no_network
"""


@dataclass(frozen=True)
class Site:
    """A built site: where its files are and what the build printed."""

    html: Path
    log: str

    @property
    def pages(self) -> list[str]:
        """Paths in the site of the pages with text, so without Sphinx's own (search, index, redirect)."""
        own = {"search.html", "genindex.html", "index.html"}
        found = {page.relative_to(self.html).as_posix() for page in self.html.rglob("*.html")}
        return sorted(page for page in found - own if not page.startswith("_static/"))


def build(source: Path, output: Path) -> Site:
    """Build the book in `source` as `make book` does; fail the test with the build's own words."""
    output.mkdir(parents=True, exist_ok=True)
    guard = output / "guard"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD)
    nowhere = "http://127.0.0.1:9"
    env = os.environ | {
        "PYTHONPATH": str(guard),
        **dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"], nowhere),
        "no_proxy": "",
        "NO_COLOR": "1",
    }
    tool = str(Path(sys.executable).with_name("jupyter-book"))
    command = [tool, "build", str(source), "-W", "-n", "--keep-going", "--all"]
    done = subprocess.run(
        [*command, "--path-output", str(output)],
        env=env,
        cwd=output,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"`jupyter-book build -W` failed:\n{done.stdout}", pytrace=False)
    return Site(output / "_build" / "html", done.stdout)


def build_once(factory: pytest.TempPathFactory, name: str) -> Site:
    """The site called `name`, built by the first test (of any xdist worker) that asks for it."""
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    output = shared / f"book-{name}"
    log = output / "build.log"
    with FileLock(shared / f"book-{name}.lock"):
        if not log.exists():
            source = ROOT if name == "real" else specimen_book(shared / "specimen-source")
            log.write_text(build(source, output).log)
    return Site(output / "_build" / "html", log.read_text())


def specimen_book(folder: Path) -> Path:
    """A book of one page with the real book's configuration and assets."""
    (folder / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_static", folder / "book" / "_static")
    shutil.copytree(ROOT / "book" / "_ext", folder / "book" / "_ext")
    shutil.copy(ROOT / "_config.yml", folder)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: notebooks/specimen\n")
    nbformat.write(specimen(), folder / "notebooks" / "specimen.ipynb")
    return folder


class _Loads(HTMLParser):
    """Collects what a browser fetches when it opens the page (not what a click on a link would)."""

    SOURCES = frozenset({"script", "img", "iframe", "video", "audio", "source", "embed", "track", "input"})
    PASSIVE = frozenset(
        {"canonical", "author", "license", "next", "prev", "search", "index", "alternate", "help"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in self.SOURCES:
            self.urls += [values[name] for name in ("src", "poster") if name in values]
            self.urls += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
        elif tag == "object":
            self.urls.append(values.get("data", ""))
        elif tag == "link" and not self.PASSIVE.issuperset(values.get("rel", "").lower().split()):
            self.urls.append(values.get("href", ""))


def loads(html: str) -> Iterator[str]:
    """Addresses that the page fetches by itself."""
    parser = _Loads()
    parser.feed(html)
    yield from parser.urls
