"""The book builds from what is committed, without network and Airflow, and loads nothing from outside."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import yaml

from booksite import ROOT, Site, build, build_once, loads, specimen_book
from windtunnel import brief
from windtunnel.exercises import exercises

STATIC = ROOT / "book" / "_static"
OUTSIDE = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)
IMPORTS = re.compile(r"""(?:\bimport|\bfrom|\bimportScripts\()\s*\(?\s*["'`]((?:https?:)?//[^"'`]+)""")
STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build_once(tmp_path_factory, "real")


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build_once(tmp_path_factory, "specimen")


def listed_pages() -> list[str]:
    """The pages that _toc.yml lists, as paths without an ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = [toc, *toc.get("parts", [])]
    chapters = [chapter for part in parts for chapter in part.get("chapters", [])]
    entries = [*chapters, *(section for chapter in chapters for section in chapter.get("sections", []))]
    pages = [toc["root"], *(entry["file"] for entry in entries if "file" in entry)]
    for entry in entries:
        found = ROOT.glob(f"{entry['glob']}.md") if "glob" in entry else ()
        pages += [path.relative_to(ROOT).as_posix() for path in found]
    return sorted(page.removesuffix(".md").removesuffix(".ipynb") for page in pages)


def test_every_page_of_the_table_of_contents_is_built_and_no_other(site: Site) -> None:
    assert site.pages == [f"{page}.html" for page in listed_pages()]


def test_every_chapter_brief_and_text_page_is_in_the_table_of_contents() -> None:
    briefs = {f"exercises/{exercise.slug}/exercise" for exercise in exercises()}
    chapters = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    texts = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md") if not path.stem[0].isdigit()}
    assert sorted(chapters | texts | briefs) == listed_pages()


def test_the_site_opens_at_its_root(site: Site) -> None:
    assert "book/index.html" in (site.html / "index.html").read_text()


def test_the_source_of_a_chapter_is_no_page(tmp_path: Path) -> None:
    source = specimen_book(tmp_path / "source")
    (source / "book" / "01-specimen.md").write_text("# Not a page\n")
    assert build(source, tmp_path / "out").pages == ["notebooks/specimen.html"]


def test_a_page_that_nothing_lists_fails_the_build(tmp_path: Path) -> None:
    source = specimen_book(tmp_path / "source")
    (source / "book" / "forgotten.md").write_text("# Forgotten\n")
    with pytest.raises(pytest.fail.Exception, match="forgotten"):
        build(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["site", "specimen"])
def test_no_page_loads_anything_from_outside(name: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(name)
    pages = sorted(site.html.rglob("*.html"))
    found = [(page.name, url) for page in pages for url in loads(page.read_text()) if OUTSIDE.match(url)]
    found += [(page.name, url) for page in pages for url in STYLES.findall(page.read_text())]
    for path in sorted(site.html.rglob("*")):
        if path.suffix in {".js", ".mjs", ".html"}:
            found += [(path.name, url) for url in IMPORTS.findall(path.read_text())]
        elif path.suffix == ".css":
            found += [(path.name, url) for url in STYLES.findall(path.read_text())]
    assert found == []


def test_the_scan_sees_what_a_browser_would_load() -> None:
    page = """
      <script src="https://a/x.js"></script><link rel="stylesheet" href="//b/x.css"><link rel="canonical" href="https://c/">
      <img src="x.png" srcset="https://d/x.png 2x"><a href="https://e/">a link</a><object data="https://f/x.svg"></object>
    """
    assert [url for url in loads(page) if OUTSIDE.match(url)] == [
        "https://a/x.js",
        "//b/x.css",
        "https://d/x.png",
        "https://f/x.svg",
    ]
    script = """import m from "https://a/m.mjs"; await import('//b/n.mjs'); import o from "./c.mjs" """
    assert IMPORTS.findall(script) == ["https://a/m.mjs", "//b/n.mjs"]
    assert STYLES.findall('@import "https://a/x.css"; src: url(https://b/x.woff2); url(x.png)') == [
        "https://a/x.css",
        "https://b/x.woff2",
    ]


def test_the_page_of_all_exercises_has_each_with_the_title_and_points_of_its_brief(site: Site) -> None:
    page = (site.html / "book" / "exercises.html").read_text()
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    for exercise in exercises():
        [row] = [row for row in rows if f'href="../exercises/{exercise.slug}/exercise.html"' in row]
        points = re.search(r"\*\*Total\*\* \| \*\*(\d+)\*\*", exercise.brief.read_text())
        assert points
        cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        assert cells[:2] == [exercise.slug[:2], brief.title(exercise)]
        assert cells[3] == points[1]
        assert cells[2]


def test_hints_are_folded_on_the_page_of_an_exercise_and_not_in_its_table_of_contents(site: Site) -> None:
    for exercise in exercises():
        page = (site.html / "exercises" / exercise.slug / "exercise.html").read_text()
        boxes = re.findall(
            r'<div class="[^"]*\bdropdown\b[^"]*admonition[^"]*">\s*<p class="admonition-title">', page
        )
        assert len(boxes) == len(brief.hints(exercise))
        assert '<a class="reference internal nav-link" href="#hints">' in page
        assert len(re.findall(r"<h3>", page)) == 0


def test_tags_hide_and_remove_what_they_say(specimen: Site) -> None:
    text = (specimen.html / "notebooks" / "specimen.html").read_text()
    assert "cell_is_not_on_the_page" not in text
    assert "code_is_not_on_the_page" not in text
    assert "output alone" in text
    assert "folded output" in text
    assert "ignored by nbval" in text
    assert len(re.findall(r"<details[^>]*\bhide\b", text)) == 2


def test_every_vendored_file_is_the_recorded_one() -> None:
    record = (STATIC / "VENDORED.md").read_text()
    recorded = dict(re.findall(r"^\| `([^`]+)` .*\| `([0-9a-f]{64})` \|$", record, re.MULTILINE))
    vendored = {
        path.relative_to(STATIC / "vendor").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").rglob("*")
        if path.is_file()
    }
    assert recorded == vendored


def test_vendored_scripts_name_no_content_network() -> None:
    hosts = re.compile(rb"https?://[^\s\"'`]*(?:cdn|/npm/)|^//# sourceMappingURL=", re.MULTILINE)
    scripts = [path for path in (STATIC / "vendor").rglob("*") if path.suffix in {".js", ".mjs"}]
    assert scripts
    assert [path.name for path in scripts if hosts.search(path.read_bytes())] == []
