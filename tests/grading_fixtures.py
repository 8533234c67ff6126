"""The fixtures of the tests of grading: a course, and a folder for a class's submissions."""

import pytest

from grading_course import make_course
from windtunnel import exercises


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The course, for this process."""
    monkeypatch.setattr(exercises, "repo_root", lambda: tmp_path)
    return make_course(tmp_path)


@pytest.fixture
def folder(course):
    """An empty folder for submissions."""
    handed_in = course / "class"
    handed_in.mkdir()
    return handed_in
