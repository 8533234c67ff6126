"""Fixtures of the browser tests: the built sites on loopback, and one headless Chromium."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # booksite.py lies one folder up

from booksite import Site, build_once

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]


def find_chromium() -> str | None:
    """The browser named by $CHROME, else the first Chromium or Chrome on PATH."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    candidates = [os.environ.get("CHROME", ""), *names]
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright (extra `dev`)")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("browser tests need Chromium: none on PATH, and CHROME names none")
    with api.sync_playwright() as playwright:
        # Its desktop library keeps a cache in the reader's home otherwise.
        own = {**os.environ, "XDG_CACHE_HOME": os.environ["XDG_CONFIG_HOME"]}
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, env=own)
        yield browser
        browser.close()


class Quiet(SimpleHTTPRequestHandler):
    """A file server that does not log."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def log_message(self, *args: object) -> None:
        pass


def serve(site: Site) -> Iterator[str]:
    """The site's address while the generator is open."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site.html))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def real_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build_once(tmp_path_factory, "real")


@pytest.fixture(scope="session")
def real_url(real_site: Site) -> Iterator[str]:
    yield from serve(real_site)


@pytest.fixture(scope="session")
def specimen_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from serve(build_once(tmp_path_factory, "specimen"))
