"""What the reader sees: pure functions of data, the same text every time."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.views.banner import Banner
from windtunnel.views.gantt import Bar, Gantt
from windtunnel.views.graph import Graph, order
from windtunnel.views.log import Log
from windtunnel.views.states import chip, colour, count, telling
from windtunnel.views.table import Table

DIAMOND = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]


def parsed(html: str) -> ElementTree.Element:
    """The HTML as a tree: fails unless every element is closed and every character escaped."""
    return ElementTree.fromstring(html)


# --- states ------------------------------------------------------------------------------------------


def test_an_unknown_state_is_grey_and_escaped() -> None:
    assert colour("on_fire") == colour("none")
    assert chip("<x>") == '<span class="wt-state wt-&lt;x&gt;">&lt;x&gt;</span>'


def test_the_most_telling_state_stands_for_a_group() -> None:
    assert telling(["success", "failed", "running"]) == "failed"
    assert telling(["success", "running"]) == "running"
    assert telling(["success", "skipped"]) == "success"


def test_states_are_counted_most_telling_first() -> None:
    assert list(count(["success", "failed", "success"]).items()) == [("failed", 1), ("success", 2)]


# --- tables ------------------------------------------------------------------------------------------


def test_a_table_is_aligned_text() -> None:
    table = Table("orders: success", ["task", "state"], [["extract", "success"], ["x", "failed"]])
    assert repr(table) == (
        "orders: success\n"
        "task     state\n"
        "-------  -------\n"
        "extract  success\n"
        "x        failed"
    )  # fmt: skip


def test_an_empty_table_still_has_its_columns() -> None:
    assert repr(Table("0 rows", ["a", "long"], [])) == "0 rows\na  long\n-  ----"
    assert repr(Table("nothing", [], [])) == "nothing\n\n"


def test_a_cell_of_several_lines_keeps_its_row() -> None:
    assert repr(Table("t", ["a"], [["x\ny"]])).splitlines()[-1] == "x y"


def test_a_table_escapes_what_it_shows() -> None:
    html = Table("<t>", ["<c>"], [["<&>"]])._repr_html_()
    assert [text.strip() for text in parsed(html).itertext()] == ["<t>", "<c>", "<&>"]


def test_only_a_column_of_states_has_coloured_labels() -> None:
    html = Table("t", ["run_type", "state"], [["scheduled", "failed"]])._repr_html_()
    assert chip("failed") in html
    assert "<td>scheduled</td>" in html


def test_columns_of_numbers_are_flush_right() -> None:
    html = Table("t", ["n", "word"], [["12", "x"], ["-3.5", "4"]])._repr_html_()
    assert html.count('class="wt-num"') == 3


# --- graphs ------------------------------------------------------------------------------------------


def test_a_graph_is_text_from_the_first_task_to_the_last() -> None:
    graph = Graph("orders", ["d", "c", "b", "a"], DIAMOND, {"a": "success"}, "run: failed", {"b": 3})
    assert repr(graph) == ("orders  (run: failed)\n  a  [success] → b, c\n  b ×3 → d\n  c → d\n  d")


def test_a_graph_is_the_same_whatever_the_order_it_came_in() -> None:
    one = Graph("orders", list("abcd"), DIAMOND)
    other = Graph("orders", list("dbca"), DIAMOND[::-1])
    assert one.svg() == other.svg()
    assert repr(one) == repr(other)


def test_names_break_ties_in_the_order() -> None:
    assert order(["z", "b", "a"], []) == ["a", "b", "z"]


def test_a_graph_escapes_what_it_shows() -> None:
    html = Graph("<g>", ["<t>"], [], {"<t>": "<s>"}, "<n>")._repr_html_()
    assert "<t>" not in html
    assert "<n>" not in html
    parsed(html)


@pytest.mark.parametrize(
    ("tasks", "edges"),
    [
        ([], []),
        (["alone"], []),
        ([f"t{n:03}" for n in range(200)], []),
        ([f"t{n:03}" for n in range(100)], [(f"t{n:03}", f"t{n + 1:03}") for n in range(99)]),
        (["x" * 250, "y"], [("x" * 250, "y")]),
    ],
    ids=["empty", "one", "tall", "wide", "long names"],
)
def test_every_box_of_a_graph_lies_inside_the_picture(tasks: list[str], edges: list[tuple[str, str]]) -> None:
    picture = parsed(Graph("g", tasks, edges)._repr_html_()).find(".//svg")
    assert picture is not None
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    boxes = picture.findall(".//rect")
    assert len(boxes) == len(tasks)
    for box in boxes:
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + w <= width
        assert y >= 0
        assert y + h <= height


def test_no_two_boxes_of_a_graph_overlap() -> None:
    tree = parsed(Graph("g", list("abcd"), DIAMOND)._repr_html_())
    boxes = [tuple(float(b.attrib[k]) for k in ("x", "y", "width", "height")) for b in tree.iter("rect")]
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[i + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


# --- Gantt -------------------------------------------------------------------------------------------


def test_a_gantt_is_text_with_a_bar_for_each_task() -> None:
    gantt = Gantt("orders: success", [Bar("a", "success", 0, 0, 2), Bar("bb", "failed", 2, 2, 4)])
    assert repr(gantt) == (
        "orders: success, 4.0 s\n"
        f"  a  |{'█' * 20}{' ' * 20}| 2.00 s success\n"
        f"  bb |{' ' * 20}{'█' * 20}| 2.00 s failed"
    )


@pytest.mark.parametrize(
    "bars",
    [[], [Bar("a", "success", 0, 0, 0)], [Bar("<a>", "x", 5, 5, 5), Bar("b", "x", 9, 3, 1)]],
    ids=["empty", "no time at all", "clocks that disagree"],
)
def test_a_gantt_of_odd_times_is_drawn_all_the_same(bars: list[Bar]) -> None:
    gantt = Gantt("t", bars)
    assert all(line.count("|") in (0, 2) for line in repr(gantt).splitlines())
    for box in parsed(gantt._repr_html_()).iter("rect"):
        assert float(box.attrib["width"]) >= 0


# --- logs --------------------------------------------------------------------------------------------

SITE = "/opt/x/lib/python3.11/site-packages/airflow/sdk/task_runner.py"
EVENTS = [
    {"event": "/state/logs/attempt=1.log"},
    {"event": "::group::Pre Execute", "logger": "task", "level": "info", "timestamp": "2026-03-01T00:00:00Z"},
    {
        "event": "Filling up the DagBag",
        "logger": "airflow.dag_processing.dagbag.BundleDagBag",
        "level": "info",
    },
    {"event": "logged", "logger": "unusual_prefix_1_orders", "level": "info"},
    {"event": "as documented", "logger": "airflow.task", "level": "warning"},
    {"event": "printed", "logger": "task.stdout", "level": "info"},
    {"event": "complained", "logger": "task.stderr", "level": "error"},
    {"event": "old spelling", "logger": "py.warnings", "level": "warning"},
    {
        "event": "no answer",
        "logger": "airflow.task.hooks.airflow.providers.http.hooks.http.HttpHook",
        "level": "error",
    },
    {
        "event": "Task failed with exception",
        "logger": "task",
        "level": "error",
        "timestamp": "2026-03-01T00:00:01Z",
        "error_detail": [
            {
                "exc_type": "ValueError",
                "exc_value": "no orders",
                "is_cause": False,
                "exc_notes": ["a note"],
                "frames": [
                    {"filename": SITE, "lineno": 1, "name": "run"},
                    {"filename": "/home/me/dags/02-x/orders.py", "lineno": 9, "name": "load"},
                    {"filename": "/home/me/pipelines/shop.py", "lineno": 4, "name": "orders"},
                ],
            },
            {"exc_type": "KeyError", "exc_value": "'x'", "is_cause": True, "frames": []},
        ],
    },
]


def test_a_log_shows_what_the_task_said_and_where_it_failed() -> None:
    assert repr(Log("load", EVENTS, "02-x/orders.py", 2)) == (
        "printed\n"
        "complained\n"
        "INFO logged\n"
        "WARNING as documented\n"
        "ERROR no answer\n"
        "ValueError: no orders\n"
        "a note\n"
        "  line 10 of the cell, in load\n"
        "  shop.py, line 4, in orders\n"
        "caused by KeyError: 'x'"
    )


def test_a_log_of_a_file_that_is_no_cell_names_the_file() -> None:
    assert "  orders.py, line 9, in load" in Log("load", EVENTS, "02-x/orders.py").lines()


def test_a_log_is_the_same_however_printed_and_logged_lines_were_mixed() -> None:
    printed = [event for event in EVENTS if event.get("logger") == "task.stdout"]
    others = [event for event in EVENTS if event.get("logger") != "task.stdout"]
    assert Log("load", printed + others).lines() == Log("load", others + printed).lines()


def test_the_full_log_shows_every_line_and_the_whole_traceback() -> None:
    full = Log("load", EVENTS).full
    assert repr(full) == str(full)
    for words in (
        "/state/logs/attempt=1.log",
        "::group::Pre Execute",
        "2026-03-01T00:00:01Z",
        SITE,
        "KeyError",
    ):
        assert words in full
    assert "no orders" in Log("load", EVENTS)
    assert "never said" not in Log("load", EVENTS)


def test_of_a_command_only_its_output_is_shown() -> None:
    hook = "airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook"
    said = [
        "Tmp dir root location: /tmp",
        "Running command: ['bash']",
        "Output:",
        "hi",
        "Output:",
        "Command exited with return code 0",
    ]
    events = [{"event": line, "logger": hook, "level": "info"} for line in said]
    assert Log("bash", events).lines() == ["hi", "Output:"]


def test_a_log_leaves_out_this_machines_folders() -> None:
    events = [{"event": "wrote /home/me/data/a.csv", "logger": "task.stdout"}]
    log = Log("load", events, without_paths=lambda line: line.replace("/home/me", "~"))
    assert log.lines() == ["wrote ~/data/a.csv"]
    assert "/home/me/data/a.csv" in log.full


def test_a_silent_task_says_so() -> None:
    assert repr(Log("load", [])) == "(load printed nothing)"
    assert repr(Log("load", []).full) == ""


# --- errors and the banner ----------------------------------------------------------------------------


def test_an_error_is_its_message_and_the_next_step_without_a_traceback() -> None:
    error = WindtunnelError("It broke (line 3)\n→   3 │ x", "mend it.")
    assert str(error) == "It broke (line 3)\n→   3 │ x\nNext: mend it."
    shown = "\n".join(error._render_traceback_())
    assert "Traceback" not in shown
    assert "It broke" in shown
    assert shown.endswith("mend it.")


def test_an_error_without_a_next_step_says_none() -> None:
    assert str(WindtunnelError("It broke.")) == "It broke."
    assert "Next" not in "\n".join(WindtunnelError("")._render_traceback_())


def test_a_built_page_names_no_address() -> None:
    assert "http" not in Banner("3.3.2")._repr_html_()
    assert 'href="http://127.0.0.1:8080"' in Banner("3.3.2", "http://127.0.0.1:8080")._repr_html_()
    assert (
        repr(Banner("3.3.2", "http://127.0.0.1:8080")) == "Airflow 3.3.2 is live, and fresh for this chapter."
    )
