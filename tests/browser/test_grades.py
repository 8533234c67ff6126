"""The pages of `windtunnel grade` in a real browser, from the disk, as a teacher opens them."""

import pytest

from windtunnel.check import Criterion
from windtunnel.grading import report
from windtunnel.grading.grades import ERROR, Grade, Results, graded

SCRIPT = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture
def page(browser, tmp_path):
    """The index of a class of four, open; fails at the end if the page had anything to complain about."""

    def grade(student, points):
        criteria = [Criterion(f"c{n}", SCRIPT, 1, n < points, SCRIPT) for n in range(12)]
        return graded(student, "01-greet", criteria, file=SCRIPT, source=SCRIPT, seconds=1)

    grades = (
        grade("Åsa", 2),
        grade("bob", 11),
        grade(SCRIPT, 9),
        Grade("zoe", "01-greet", ERROR, reason=SCRIPT),
    )
    index, *_ = report.write(tmp_path, Results("class", grades))
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(index.as_uri())
    yield page
    page.close()
    assert said == []


def column(page, place):
    return page.locator(f"tbody tr td:nth-child({place})").all_inner_texts()


def test_a_click_on_a_heading_sorts_and_another_turns_round(page):
    page.get_by_role("button", name="Points").click()
    assert column(page, 2) == ["not graded", "2 of 12", "9 of 12", "11 of 12"]
    page.get_by_role("button", name="Points").click()
    assert column(page, 2) == ["11 of 12", "9 of 12", "2 of 12", "not graded"]
    page.get_by_role("button", name="Student").click()
    assert column(page, 1)[1:] == ["Åsa", "bob", "zoe"]
    assert page.locator("th[aria-sort]").all_inner_texts() == ["Student"]


def test_nothing_a_student_wrote_runs_on_any_page(page):
    assert page.title() == "Grades: class"
    for link in page.locator("tbody a").all():
        assert link.inner_text()
    addresses = [link.get_attribute("href") for link in page.locator("tbody a").all()]
    index = page.url
    for address in addresses:
        page.goto(index.replace("index.html", address))
        assert page.title() != "run"
        page.get_by_role("link", name="← class").click()
        assert page.url == index
