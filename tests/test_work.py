"""The reader's folder: what is brought, what is updated, and that nothing of theirs is lost."""

import os

import pytest

from windtunnel import work
from windtunnel.errors import WindtunnelError


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with one chapter and one exercise."""
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks/01-first.ipynb").write_text("chapter, version 1")
    (root / "exercises/01-first").mkdir(parents=True)
    (root / "exercises/01-first/starter.py").write_text("starter, version 1")
    monkeypatch.setattr(work, "repo_root", lambda: root)
    monkeypatch.setenv("WINDTUNNEL_WORK", str(tmp_path / "work"))
    return root


@pytest.fixture
def mine(clone):
    """The reader's folder, prepared once."""
    assert work.prepare() == []
    return clone.parent / "work"


def files(folder):
    """Name and content of every file the reader sees."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def update(clone, version):
    """A new version of both comes with ``git pull``."""
    (clone / "notebooks/01-first.ipynb").write_text(f"chapter, version {version}")
    (clone / "exercises/01-first/starter.py").write_text(f"starter, version {version}")


def test_chapters_and_starters_are_copied(mine):
    assert files(mine) == {
        "notebooks/01-first.ipynb": "chapter, version 1",
        "answers/01-first.py": "starter, version 1",
    }


def test_briefs_lie_where_the_chapters_links_point(clone, mine):
    (clone / "exercises/01-first/exercise.md").write_text("brief, version 1")
    assert work.prepare() == []
    linked = mine / "notebooks" / "../exercises/01-first/exercise.md"
    assert linked.read_text() == "brief, version 1"


def test_a_second_time_nothing_is_touched(mine):
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*.*") if path.name != ".copied.json"}
    assert work.prepare() == []
    after = {path: path.stat().st_mtime_ns for path in mine.rglob("*.*") if path.name != ".copied.json"}
    assert after == before


def test_what_the_reader_did_not_touch_is_updated_in_place_and_they_are_told(clone, mine):
    update(clone, 2)
    assert work.prepare() == ["notebooks/01-first.ipynb was updated.", "answers/01-first.py was updated."]
    assert set(files(mine).values()) == {"chapter, version 2", "starter, version 2"}
    assert work.prepare() == []


def test_what_the_reader_changed_stays_and_the_update_comes_beside_it(clone, mine):
    (mine / "answers/01-first.py").write_text("my answer")
    assert work.prepare() == []
    update(clone, 2)
    notes = work.prepare()
    assert any("yours was kept, the new one is 01-first.updated.py" in note for note in notes)
    assert files(mine)["answers/01-first.py"] == "my answer"
    assert files(mine)["answers/01-first.updated.py"] == "starter, version 2"
    assert work.prepare() == [], "told once"


def test_a_further_update_replaces_the_one_beside_it(clone, mine):
    (mine / "answers/01-first.py").write_text("my answer")
    for version in (2, 3):
        update(clone, version)
        work.prepare()
    assert files(mine)["answers/01-first.py"] == "my answer"
    assert files(mine)["answers/01-first.updated.py"] == "starter, version 3"


def test_an_update_in_which_the_reader_went_on_working_is_theirs_too(clone, mine):
    (mine / "answers/01-first.py").write_text("my answer")
    update(clone, 2)
    work.prepare()
    (mine / "answers/01-first.updated.py").write_text("my second answer")
    update(clone, 3)
    work.prepare()
    found = files(mine)
    assert found["answers/01-first.py"] == "my answer"
    assert found["answers/01-first.updated.py"] == "my second answer"
    assert found["answers/01-first.updated2.py"] == "starter, version 3"


def test_without_its_record_every_file_counts_as_the_readers(clone, mine):
    for record in ("", "[1]", None):
        if record is None:
            (mine / ".copied.json").unlink()
        else:
            (mine / ".copied.json").write_text(record)
        update(clone, 2)
        work.prepare()
        assert files(mine)["notebooks/01-first.ipynb"] == "chapter, version 1"
        assert files(mine)["notebooks/01-first.updated.ipynb"] == "chapter, version 2"


def test_a_deleted_copy_comes_back_and_files_of_the_readers_own_stay(clone, mine):
    (mine / "answers/01-first.py").unlink()
    (mine / "notebooks/my-notes.ipynb").write_text("mine")
    work.prepare()
    assert files(mine)["answers/01-first.py"] == "starter, version 1"
    assert files(mine)["notebooks/my-notes.ipynb"] == "mine"


def test_a_chapter_withdrawn_from_the_book_stays_with_the_reader(clone, mine):
    (clone / "notebooks/01-first.ipynb").unlink()
    assert work.prepare() == []
    assert "notebooks/01-first.ipynb" in files(mine)


def test_a_file_in_the_folders_place_is_one_message(clone):
    (clone.parent / "work").write_text("mine")
    with pytest.raises(WindtunnelError) as refused:
        work.prepare()
    assert "cannot be written" in refused.value.message
    assert "WINDTUNNEL_WORK" in refused.value.next_step
    assert (clone.parent / "work").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_message(clone):
    (clone.parent / "work").mkdir(mode=0o500)
    with pytest.raises(WindtunnelError, match="cannot be written: Permission denied"):
        work.prepare()
