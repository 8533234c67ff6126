"""From a folder to who handed in what, and whatever can be wrong with it."""

import io
import json
import os
import stat
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grading_course import GREET, PART, RIGHT, only, put, students
from sandboxes import ROOT
from windtunnel.errors import WindtunnelError
from windtunnel.grading import archive, submissions
from windtunnel.grading.answers import open_answer
from windtunnel.grading.archive import Broken, unpacked
from windtunnel.grading.submissions import find

pytest_plugins = "grading_fixtures"
KNOWN = [GREET, PART]


def opened(folder, exercise=GREET):
    return open_answer(only(folder, exercise), KNOWN)


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "/"), text)


def tarred(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as packed:
        for member, data in members:
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))


def notebook(path, *cells, **metadata):
    path.write_text(nbformat.writes(new_notebook(cells=list(cells), metadata=metadata)))


# --- who, and to which exercise


def test_files_folders_and_archives_are_a_student_each(folder):
    put(folder, alice=RIGHT)
    notebook(folder / "bob.ipynb", new_code_cell(f"%%exercise {GREET}\n{RIGHT}"))
    (folder / "carol").mkdir()
    put(folder / "carol", work=RIGHT)
    zipped(folder / "dave.zip", **{"home__answer.py": RIGHT})
    tarred(folder / "erin.tar.gz", (tarfile.TarInfo("erin/01-greet.py"), RIGHT.encode()))
    found = find(folder, "01")
    assert students(found) == dict.fromkeys(["alice", "bob", "carol", "dave", "erin"], GREET)
    assert {open_answer(each, KNOWN).source for each in found.submissions} == {RIGHT}
    assert found.skipped == ()


def test_what_editors_and_systems_leave_is_nobodys(folder):
    put(folder, alice=RIGHT)
    for name in ("__pycache__", ".ipynb_checkpoints", "__MACOSX", ".git"):
        (folder / name).mkdir()
        put(folder / name, junk="x")
    (folder / ".DS_Store").touch()
    (folder / "bob").mkdir()
    put(folder / "bob", answer=RIGHT)
    (folder / "bob/__pycache__").mkdir()
    put(folder / "bob/__pycache__", answer="x")
    assert students(find(folder, GREET)) == {"alice": GREET, "bob": GREET}
    assert open_answer(find(folder, GREET).submissions[1], KNOWN).source == RIGHT


def test_what_is_no_submission_is_named_and_not_forgotten(folder):
    put(folder, alice=RIGHT)
    (folder / "roster.txt").write_text("alice, bob")
    (folder / PART).mkdir()
    put(folder, **{"bob-02-part": RIGHT})
    assert find(folder, GREET).skipped == (
        f"{PART} (submissions to {PART})",
        f"bob-{PART}.py (an answer to {PART})",
        "roster.txt (no .py, .ipynb, folder or archive)",
    )


def test_names_tell_the_exercise(folder):
    (folder / GREET).mkdir()
    put(folder / GREET, alice=RIGHT, bob=RIGHT)
    (folder / "carol").mkdir()
    put(folder / "carol", **{GREET: RIGHT, "02_part": RIGHT, "helper": "x"})
    put(folder, **{"02-Part_dave": RIGHT})
    zipped(folder / "erin.zip", **{f"erin__{PART}__main.py": RIGHT})
    notebook(folder / "frank.ipynb", new_code_cell("%%exercise 02\nx"), new_code_cell("%%exercise 01\ny"))
    found = {(each.student, each.exercise) for each in find(folder).submissions}
    assert found == {
        *{(name, GREET) for name in ("alice", "bob", "carol", "frank")},
        *{(name, PART) for name in ("carol", "dave", "erin", "frank")},
    }
    assert {each.student for each in find(folder, PART).submissions} >= {"carol", "dave", "erin", "frank"}


def test_a_students_own_folder_can_be_graded(course):
    (course / "alice").mkdir()
    put(course / "alice", **{GREET: RIGHT})
    assert students(find(course / "alice")) == {"alice": GREET}


def test_when_nothing_tells_the_exercise_the_error_says_how_to(folder):
    put(folder, alice=RIGHT)
    with pytest.raises(WindtunnelError) as error:
        find(folder)
    assert "cannot be told" in error.value.message
    assert "--exercise SLUG" in error.value.next_step
    assert "FOLDER/alice/SLUG.py" in error.value.next_step


def test_one_untold_among_several_exercises_is_an_error_of_its_own(folder):
    put(folder, **{f"alice-{GREET}": RIGHT, f"bob-{PART}": RIGHT, "carol": RIGHT})
    [carol] = [each for each in find(folder).submissions if each.student == "carol"]
    assert carol.exercise == ""
    assert "cannot be told" in carol.problem


def test_two_submissions_of_one_student_are_left_to_the_teacher(folder):
    put(folder, alice=RIGHT)
    zipped(folder / "alice.zip", **{"a.py": RIGHT})
    assert only(folder).problem == "handed in more than once: alice.py, alice.zip; leave one of them"


@pytest.mark.parametrize("make", ["nothing", "empty", "file", "text"])
def test_a_folder_with_nothing_to_grade_is_a_clear_error(course, make):
    place = course / "class"
    if make == "file":
        place.touch()
    elif make != "nothing":
        place.mkdir()
    if make == "text":
        (place / "notes.txt").touch()
    words = {"nothing": "is not there", "empty": "It is empty", "file": "is a file", "text": "notes.txt"}
    with pytest.raises(WindtunnelError, match=words[make]):
        find(place, GREET)


def test_names_that_are_no_text_are_shown_all_the_same(folder):
    (Path(os.fsdecode(os.fsencode(folder) + b"/ren\xe9\n.py"))).write_text(RIGHT)
    submission = only(folder)
    assert submission.student == "ren\N{REPLACEMENT CHARACTER}"
    assert json.loads(json.dumps(submission.file).encode()) == submission.file
    assert open_answer(submission, KNOWN).source == RIGHT


# --- which file


def test_the_file_named_like_the_exercise_is_taken(folder):
    (folder / "alice").mkdir()
    put(folder / "alice", helper="x", **{GREET: RIGHT})
    assert opened(folder).source == RIGHT


def test_an_answer_to_another_exercise_is_not_taken_for_the_only_file(folder):
    (folder / "alice").mkdir()
    put(folder / "alice", **{PART: RIGHT})
    assert (
        opened(folder).problem == f"alice holds no answer to {GREET}: there is no .py or .ipynb file for it"
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a", "b"], f"alice holds 2 files, none named {GREET}: a.py, b.py"),
        ([f"x-{GREET}", f"y-{GREET}"], f"alice holds several answers: x-{GREET}.py, y-{GREET}.py"),
    ],
)
def test_a_choice_between_files_is_not_made_for_the_student(folder, files, words):
    (folder / "alice").mkdir()
    put(folder / "alice", **dict.fromkeys(files, RIGHT))
    assert opened(folder).problem == words


# --- broken ones: each a reason in one line, never an exception


def the_folder(folder):
    (folder / "alice").mkdir()
    (folder / f"alice/{GREET}.py").mkdir()


def large(folder):
    with (folder / "alice.py").open("wb") as file:
        file.truncate(100 * 2**20)


def pipe(folder):
    os.mkfifo(folder / "alice.py")


def out_of(folder):
    (folder.parent / "secret.py").write_text("secret = 1")
    (folder / "alice.py").symlink_to(folder.parent / "secret.py")


def out_of_inner(folder):
    (folder.parent / "other.py").write_text("secret = 1")
    (folder / "alice").mkdir()
    (folder / "alice/answer.py").symlink_to("../../other.py")


def folder_out_of(folder):
    (folder.parent / "elsewhere").mkdir()
    put(folder.parent / "elsewhere", answer=RIGHT)
    (folder / "alice").symlink_to(folder.parent / "elsewhere")


def circle(folder):
    (folder / "alice.py").symlink_to("alice.py")


BROKEN = {
    "empty": (lambda f: put(f, alice="  \n"), "alice.py is empty"),
    "latin-1": (
        lambda f: (f / "alice.py").write_bytes(b"x = 1\n# caf\xe9\n"),
        "alice.py is not text in UTF-8: see line 2",
    ),
    "null bytes": (lambda f: (f / "alice.py").write_bytes(b"x\0"), "alice.py is not text: it holds null bytes"),
    "no json": (lambda f: (f / "alice.ipynb").write_text("{"), "alice.ipynb is not a notebook: "),
    "other json": (lambda f: (f / "alice.ipynb").write_text("[1]"), "alice.ipynb is not a notebook: "),
    "odd cells": (lambda f: (f / "alice.ipynb").write_text('{"cells": [7], "nbformat": 4, "nbformat_minor": 5}'),
                  "alice.ipynb is not a notebook: "),
    "deep json": (lambda f: (f / "alice.ipynb").write_text("[" * 200000), "alice.ipynb is not a notebook: "),
    "no answer": (
        lambda f: notebook(f / "alice.ipynb", new_code_cell("1")),
        f"alice.ipynb has no cell that begins with `%%exercise {GREET}` and none tagged `answer`",
    ),
    "empty answer": (
        lambda f: notebook(f / "alice.ipynb", new_code_cell(f"%%exercise {GREET}\n ")),
        "the answer cell of alice.ipynb is empty",
    ),
    "a folder named so": (the_folder, f"{GREET}.py is a folder, not a file"),
    "itself a folder": (lambda f: (f / "alice.py").mkdir(), "alice.py is a folder, not a file"),
    "an empty folder": (lambda f: (f / "alice").mkdir(), f"alice holds no answer to {GREET}"),
    "dangling": (lambda f: (f / "alice.py").symlink_to("gone.py"), "alice.py is a symbolic link to nowhere"),
    "dangling folder": (lambda f: (f / "alice").symlink_to("gone"), "alice is a symbolic link to nowhere"),
    "circle": (circle, "alice.py "),
    "out of the folder": (out_of, "alice.py is a symbolic link to a place outside the folder"),
    "out of theirs": (out_of_inner, "answer.py is a symbolic link to a place outside the folder"),
    "folder elsewhere": (folder_out_of, "alice is a symbolic link to a place outside the folder"),
    "large": (large, "alice.py has 100 MB; at most 1 MB are read"),
    "a pipe": (pipe, "alice.py is not an ordinary file"),
    "no zip": (lambda f: (f / "alice.zip").write_text("x"), "alice.zip cannot be unpacked: File is not a zip file"),
    "no tar": (lambda f: (f / "alice.tar.gz").write_text("x"), "alice.tar.gz cannot be unpacked: "),
    "rar": (lambda f: (f / "alice.rar").touch(), "alice.rar cannot be unpacked here: hand in a .zip or a .tar.gz"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_submission_is_a_reason_in_one_line(folder, case):
    make, words = BROKEN[case]
    make(folder)
    answer = opened(folder)
    assert answer.problem.startswith(words)
    assert "\n" not in answer.problem
    assert str(folder) not in answer.problem
    assert (answer.source, answer.notebook) == ("", None)
    assert answer.digest


def test_a_file_that_may_not_be_read_is_a_reason_too(plain_user):
    code = (
        f"import sys; sys.path[:0] = ['{ROOT}/sandbox']; from pathlib import Path\n"
        "from windtunnel.grading import submissions\n"
        "closed = Path('closed.py'); closed.touch(); closed.chmod(0)\n"
        "try: submissions.read(closed, Path('.'), 10)\n"
        "except submissions.Broken as broken: print(broken)\n"
    )
    done = plain_user.run([sys.executable, "-c", code], PATH=os.environ["PATH"])
    assert done.stdout == "closed.py cannot be read: Permission denied\n", done.stderr


def test_a_mark_of_windows_editors_is_no_part_of_the_answer(folder):
    (folder / "alice.py").write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert opened(folder).source == RIGHT


# --- notebooks


def test_the_last_cell_of_the_exercise_is_the_answer(folder):
    notebook(
        folder / "alice.ipynb",
        new_code_cell("%load_ext windtunnel"),
        new_code_cell(f"%%exercise {GREET}\nfirst = 1"),
        new_code_cell(f"%%exercise {GREET}\nlast = 1\n"),
        new_code_cell(f"%%exercise {GREET}"),
        new_code_cell(f"%%exercise {PART}\nother = 1"),
        new_markdown_cell(f"%%exercise {GREET}\ntext"),
        new_code_cell("tagged", metadata={"tags": ["answer"]}),
    )
    assert opened(folder).source == "last = 1\n"
    assert opened(folder, PART).source == "other = 1"


def test_a_tagged_cell_is_the_answer_where_no_magic_is(folder):
    notebook(folder / "alice.ipynb", new_code_cell("x"), new_code_cell("y", metadata={"tags": ["answer"]}))
    answer = opened(folder)
    assert answer.source == "y"
    assert answer.notebook == (folder / "alice.ipynb").read_bytes()


# --- archives


def member(name, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def zip_with_mode(path, name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(info, "/etc/passwd")


def refused(path):
    before = set(path.parent.parent.rglob("*"))
    with pytest.raises(Broken) as broken, unpacked(path):
        pass
    assert set(path.parent.parent.rglob("*")) == before, "something was written outside"
    return str(broken.value)


@pytest.mark.parametrize(
    "name", ["../up.py", "/tmp/up.py", "a/../../up.py", "..\\up.py", "C:\\up.py", "\\up.py"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_unpacked_outside(folder, kind, name):
    path = folder / f"alice.{kind}"
    if kind == "zip":
        zipped(path, **{name: "x"})
    else:
        tarred(path, (member(name), b"x"), mode="w")
    assert "an absolute path" in (said := refused(path)) or "a path out of the archive" in said


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(folder, kind):
    path = folder / "alice.tar"
    tarred(path, (member("answer.py", kind, "/etc/passwd"), b""), mode="w")
    assert refused(path) == "alice.tar holds what is no ordinary file: 'answer.py'"


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(folder, mode):
    path = folder / "alice.zip"
    zip_with_mode(path, "answer.py", mode)
    assert refused(path) == "alice.zip holds what is no ordinary file: 'answer.py'"


def test_a_bomb_is_told_before_it_goes_off(folder):
    began = time.monotonic()
    zipped(folder / "alice.zip", **{"zeros.py": "0" * 150 * 2**20})
    made = time.monotonic() - began
    assert refused(folder / "alice.zip") == "alice.zip unpacks to more than 100 times its size"
    tarred(folder / "bob.tar.gz", (member("zeros.py"), b"0" * 150 * 2**20))
    assert "100 times" in refused(folder / "bob.tar.gz")
    assert time.monotonic() - began < 60 + 3 * made


def test_a_size_that_is_a_lie_is_not_believed(folder, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    zipped(folder / "alice.zip", **{"a.py": os.urandom(800).hex()})
    assert refused(folder / "alice.zip") == "alice.zip unpacks to more than 0 MB"


def test_too_many_files_are_refused(folder):
    zipped(folder / "alice.zip", **{f"{n}.txt": "" for n in range(1001)})
    assert refused(folder / "alice.zip") == "alice.zip holds more than 1000 files"


def test_an_archive_that_is_too_large_is_not_even_opened(folder):
    with (folder / "alice.zip").open("wb") as file:
        file.truncate(archive.MAX_PACKED + 1)
    assert "at most 20 MB" in opened(folder).problem


def test_a_torn_archive_is_refused(folder):
    zipped(folder / "whole.zip", **{"a.py": os.urandom(5000).hex()})
    data = bytearray((folder / "whole.zip").read_bytes())
    data[200:300] = os.urandom(100)
    (folder / "alice.zip").write_bytes(data)
    assert "alice.zip cannot be unpacked" in refused(folder / "alice.zip")
    tarred(folder / "whole.tar.gz", (member("a.py"), os.urandom(50000)))
    (folder / "bob.tar.gz").write_bytes((folder / "whole.tar.gz").read_bytes()[:-2000])
    assert "bob.tar.gz cannot be unpacked" in refused(folder / "bob.tar.gz")


def test_what_was_unpacked_goes_with_the_block_and_is_private(folder):
    zipped(folder / "alice.zip", **{"a__b.py": "x"})
    with unpacked(folder / "alice.zip") as place:
        assert (place / "a/b.py").read_text() == "x"
        assert place.stat().st_mode & 0o077 == 0
    assert not place.exists()


def test_a_slug_is_found_in_names_whatever_their_case_and_dashes():
    for name, rest in {
        "alice-01-greet": "alice", "01_Greet (alice)": "alice", "01 greet": "",
        "alice": "alice", "x01-greets": "x01-greets",
    }.items():  # fmt: skip
        assert submissions.slug_in(name, KNOWN)[1] == rest
