"""The built site in a real browser: nothing leaves this machine, nothing complains, everything is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from booksite import Site

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def is_outside(url: str) -> bool:
    return urlsplit(url).hostname not in {"127.0.0.1", None}  # None: data: and blob: addresses


class Visit:
    """A page opened in a browser, and what it asked for and complained of."""

    def __init__(self, page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("response", lambda r: r.status >= 400 and self.complaints.append(f"{r.status}: {r.url}"))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("console", lambda m: m.type == "error" and self.complaints.append(f"console: {m.text}"))

    @property
    def outside(self) -> list[str]:
        return [url for url in self.requests if is_outside(url)]


@contextmanager
def visit(browser, url: str, size: str = "desktop", theme: str = "light") -> Iterator[Visit]:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.set_default_timeout(15_000)
    context.route(is_outside, lambda route: route.abort())  # recorded, and not let out
    opened = Visit(context.new_page())
    opened.page.goto(url, wait_until="networkidle")
    # Diagrams are drawn after the load event; a page without any is done at once.
    opened.page.wait_for_function(
        "[...document.querySelectorAll('pre.mermaid')].every(pre => pre.querySelector('svg'))"
    )
    try:
        yield opened
    finally:
        context.close()


@pytest.fixture
def specimen_page(specimen_url: str) -> str:
    return f"{specimen_url}/notebooks/specimen.html"


@pytest.mark.parametrize(("theme", "sizes"), [("light", list(SIZES)), ("dark", list(reversed(SIZES)))])
def test_every_page_of_the_book_is_quiet_fits_the_screen_and_stays_local(
    browser, real_site: Site, real_url: str, theme: str, sizes: list[str]
) -> None:
    """Loaded at one size, then seen at the other."""
    assert real_site.pages
    for name in real_site.pages:
        with visit(browser, f"{real_url}/{name}", sizes[0], theme) as opened:
            for size in sizes:
                width, height = SIZES[size]
                opened.page.set_viewport_size({"width": width, "height": height})
                assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, (name, size)
            assert opened.outside == [], name
            assert opened.complaints == [], name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_with_one_of_everything_is_quiet_fits_the_screen_and_stays_local(
    browser, specimen_page: str, size: str, theme: str
) -> None:
    with visit(browser, specimen_page, size, theme) as opened:
        opened.page.wait_for_selector("mjx-container")
        opened.page.wait_for_selector(".widget-subarea .progress-bar")
        assert opened.outside == []
        assert opened.complaints == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_both_spellings_of_a_mermaid_block_become_pictures(browser, specimen_page: str) -> None:
    with visit(browser, specimen_page) as opened:
        boxes = [svg.bounding_box() for svg in opened.page.locator("pre.mermaid > svg").all()]
        assert len(boxes) == 2
        assert all(box["width"] > 100 and box["height"] > 40 for box in boxes)
        assert "Syntax error" not in opened.page.inner_text("article")


def test_formulas_are_typeset_and_amounts_of_money_are_not(browser, specimen_page: str) -> None:
    with visit(browser, specimen_page) as opened:
        opened.page.wait_for_selector("mjx-container[display=true]")
        assert opened.page.locator("mjx-container").count() == 2
        assert "from $5 to $7 is money" in opened.page.inner_text("article")


def test_a_saved_widget_is_drawn_without_a_kernel(browser, specimen_page: str) -> None:
    with visit(browser, specimen_page) as opened:
        bar = opened.page.wait_for_selector(".widget-subarea .progress-bar")
        assert bar.evaluate("bar => bar.style.width").startswith("66.6")
        assert opened.page.inner_text(".widget-subarea").strip() == "4 of 6 tasks"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_outputs_are_readable_in_both_themes(browser, specimen_page: str, theme: str) -> None:
    with visit(browser, specimen_page, theme=theme) as opened:
        assert opened.page.evaluate(CONTRASTS) == []


# Texts of outputs whose contrast with what is painted behind them is under 4.5 (WCAG AA), as "ratio: text".
# Colours are painted on a canvas: so the browser itself resolves color-mix() and transparency.
CONTRASTS = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const paint = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const layers = (element) => {
    const colours = [];
    for (let e = element; e; e = e.parentElement) colours.unshift(getComputedStyle(e).backgroundColor);
    return ["white", ...colours];
  };
  const bad = [];
  const printed = ".cell_output :is(p, td, th, caption, span, pre, label, code), .cell_output svg text";
  for (const element of document.querySelectorAll(printed)) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const svg = element.closest("svg");
    const box = element.closest(".wt-node")?.querySelector("rect");
    const behind = layers(svg ? svg.parentElement : element).concat(box ? [getComputedStyle(box).fill] : []);
    const [a, b] = [paint(behind), paint([...behind, svg ? style.fill : style.color])].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(1)}: ${element.textContent.trim().slice(0, 40)}`);
  }
  return bad;
}
"""
