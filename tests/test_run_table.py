"""Tables of runs: read from what people write, shown as what Airflow made."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.run_table import MIME, expect, table

PLAIN = """
    run_after        | logical_date     | ds
    2026-03-01 06:00 | 2026-02-28 06:00 | 2026-02-28
    2026-03-02 06:00 | 2026-03-01 06:00 | 2026-03-01
"""
BERLIN = timezone(timedelta(hours=1))


def test_a_table_reads_as_it_is_shown():
    assert repr(table("orders", PLAIN)).splitlines() == [
        "orders: 2 runs",
        "run_after         logical_date      ds",
        "----------------  ----------------  ----------",
        "2026-03-01 06:00  2026-02-28 06:00  2026-02-28",
        "2026-03-02 06:00  2026-03-01 06:00  2026-03-01",
    ]


@pytest.mark.parametrize(
    "same",
    [
        # another order of lines and of columns, other spaces
        "ds|run_after|logical_date\n2026-03-01|2026-03-02 06:00|2026-03-01 06:00\n"
        "2026-02-28|2026-03-01 06:00|2026-02-28 06:00",
        # a table of Markdown, a comment, zones, seconds
        """
        | run_after                 | logical_date         | ds         |
        |---------------------------|:--------------------:|------------|
        # the first
        | 2026-03-01T07:00+01:00    | 2026-02-28T06:00Z    | 2026-02-28 |
        | 2026-03-02 06:00:00       | 2026-03-01T06:00     | 2026-03-01 |
        """,
        [
            {
                "run_after": datetime(2026, 3, day, 7, tzinfo=BERLIN),
                "logical_date": before,
                "ds": before.date(),
            }
            for day, before in ((1, datetime(2026, 2, 28, 6)), (2, datetime(2026, 3, 1, 6, tzinfo=UTC)))
        ],
    ],
)
def test_the_same_runs_are_the_same_table(same):
    assert table("orders", same) == table("orders", PLAIN)


def test_what_a_run_does_not_have_is_none():
    same = [table("orders", f"logical_date | ds\n{nothing} | {nothing}") for nothing in ("none", "-", "—")]
    assert len(set(same)) == 1
    assert same[0] == table("orders", [{"logical_date": None, "ds": None}])
    assert same[0].rows == (("none", "none"),)


def test_no_runs_and_no_answer_are_two_things():
    none, unanswered = table("orders", "run_after | ds\nnone"), table("orders", "run_after | ds\n# TODO")
    assert none.rows == ()
    assert unanswered.rows is None
    assert repr(unanswered) == "orders: no line yet"
    assert none._repr_mimebundle_()[MIME] == {"dag_id": "orders", "runs": []}
    assert unanswered._repr_mimebundle_()[MIME] == {"dag_id": "orders", "runs": None}
    assert table("orders", []).rows == ()


def test_a_run_that_is_there_twice_stays_twice():
    assert len(table("orders", "ds\n2026-03-01\n2026-03-01").rows) == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "there is no line that names the columns"),
        ("run after | ds\n2026-03-01 | 2026-03-01", "'run after' is no column; there are run_after"),
        ("run_after | ds\n2026-03-01", "run 1 has 1 value"),
        ("run_after\n6 o'clock", 'the run_after of run 1 is "6 o\'clock"; it is written 2026-03-01 06:00'),
        (
            "ds\n2026-03-01\n2026-03-01 06:00",
            "the ds of run 2 is '2026-03-01 06:00'; it is written 2026-03-01",
        ),
        ([{"run_after": 6}], "the run_after of run 1 is '6'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_place(rows, words):
    with pytest.raises(WindtunnelError) as refused:
        table("orders", rows)
    assert words in refused.value.message


def test_expect_shows_the_table(capsys):
    expect("orders", [{"ds": date(2026, 3, 1)}])  # without a notebook it is printed
    assert capsys.readouterr().out == "orders: 1 run\nds\n----------\n2026-03-01\n"


def test_expect_shows_why_a_table_cannot_be_read(capsys):
    expect("orders", "ds\nyesterday")
    assert capsys.readouterr().out.startswith("The table of orders: the ds of run 1 is 'yesterday'")
