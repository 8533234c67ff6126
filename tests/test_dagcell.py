"""A ``%%dag`` cell: what reading it tells, and what the live Airflow makes of it."""

from __future__ import annotations

import os
import signal
import textwrap
from dataclasses import replace

import pytest

from windtunnel import dagcell
from windtunnel.dagcell import Cell, inspect
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect
from windtunnel.views.graph import Graph
from windtunnel.waiting import poll


def cell(source: str) -> Cell:
    return Cell(textwrap.dedent(source).lstrip("\n"))


def refused(source: str) -> WindtunnelError:
    with pytest.raises(WindtunnelError) as caught:
        inspect(cell(source))
    return caught.value


# --- reading the source ------------------------------------------------------------------------------


def test_a_dag_is_found_in_a_with_block_a_call_and_a_decorated_function() -> None:
    found = inspect(
        cell("""
        from airflow import sdk
        with sdk.DAG("one"): pass
        two = sdk.DAG(dag_id="two")
        @sdk.dag(schedule=None)
        def three(): pass
        three()
        @sdk.dag("four")
        def another(): pass
        another()
        @sdk.asset(schedule=None)
        def five(): pass
        """)
    )
    assert sorted(found.names) == ["five", "four", "one", "three", "two"]
    assert found.definitions == 5


@pytest.mark.parametrize(
    "definition",
    ["DAG(f'orders_{day}')", "DAG(dag_id=name)", "DAG(**settings)", "DAG(*settings)"],
)
def test_a_computed_id_is_no_name(definition: str) -> None:
    found = inspect(cell(f"with {definition}: pass"))
    assert (found.names, found.definitions) == ([], 1)


def test_a_computed_id_in_a_decorator_is_not_taken_for_the_functions_name() -> None:
    assert inspect(cell("@dag(dag_id=name)\ndef orders(): pass\norders()")).names == []


def test_a_syntax_error_is_shown_at_its_line_as_the_cell_is_numbered() -> None:
    error = refused("""
    from airflow.sdk import DAG
    with DAG("orders") print(1)
    x = 1
    """)
    assert "SyntaxError" in error.message
    assert "(line 3)" in error.message
    assert '→   3 │ with DAG("orders") print(1)' in error.message
    assert "    2 │ from airflow.sdk import DAG" in error.message


def test_what_only_the_compiler_sees_is_a_syntax_error_too() -> None:
    assert "'return' outside function (line 3)" in refused("import airflow\nreturn").message


def test_a_null_byte_is_refused_in_words() -> None:
    assert "null bytes" in refused("x = 1\0").message


def test_a_dag_function_that_is_never_called_is_pointed_at() -> None:
    error = refused("""
    @dag(schedule=None)
    def orders():
        pass
    """)
    assert "orders is decorated with @dag but never called" in error.message
    assert "→   3 │ def orders():" in error.message
    assert error.next_step.endswith("orders()")


def test_a_dag_function_that_is_called_under_another_name_is_not_refused() -> None:
    assert inspect(cell("@dag\ndef a(): pass\nfor make in (a,):\n    make()")).names == ["a"]


def test_an_excerpt_stays_inside_the_cell() -> None:
    assert Cell("a\nb").excerpt(9) == "    2 │ a\n→   3 │ b"
    assert Cell("").excerpt(1) == "→   2 │ "


def test_the_exceptions_own_words_survive_a_message_of_several_lines() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/x/orders.py", line 3, in <module>\n'
        "    raise airflow.exceptions.Broken(text)\n"
        "airflow.exceptions.Broken: first\nsecond\n"
    )
    assert dagcell._last_words(trace) == "Broken: first\nsecond"


# --- the live Airflow --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Session:
    return connect()


def save(session: Session, source: str, name: str | None = None, **options: bool) -> Graph:
    return dagcell.save(session, cell(source), name, **options)


def failure(session: Session, source: str, name: str | None = None, **options: bool) -> WindtunnelError:
    with pytest.raises(WindtunnelError) as caught:
        save(session, source, name, **options)
    return caught.value


CHAIN = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("{name}", schedule="@daily") as dag:
    EmptyOperator(task_id="first") >> EmptyOperator(task_id="second"){more}
"""


def test_a_good_cell_is_live_and_drawn(session: Session) -> None:
    graph = save(session, CHAIN.format(name="good", more=""))
    assert repr(graph) == "good  (schedule: 0 0 * * * · paused)\n  first → second\n  second"
    assert session.airflow.dag("good").relative_fileloc == f"{session.chapter}/good.py"


def test_an_edited_cell_is_live_as_a_new_version(session: Session) -> None:
    save(session, CHAIN.format(name="edited", more=""))
    session.airflow.trigger("edited", None, None)  # a version that no run used is replaced, not kept
    graph = save(session, CHAIN.format(name="edited", more=' >> EmptyOperator(task_id="third")'))
    assert graph.tasks == ["first", "second", "third"]
    assert session.airflow.dag("edited").latest_dag_version.version_number == 2


def test_the_same_cell_again_is_fine(session: Session) -> None:
    once = save(session, CHAIN.format(name="same", more=""))
    assert repr(save(session, CHAIN.format(name="same", more=""))) == repr(once)


def test_an_error_that_stays_is_shown_again(session: Session) -> None:
    source = "from airflow.sdk import DAG\n1 / 0\nwith DAG('stays'): pass"
    assert str(failure(session, source)) == str(failure(session, source))


def test_a_broken_edit_is_refused_and_mending_it_helps(session: Session) -> None:
    good = CHAIN.format(name="mended", more="")
    save(session, good)
    error = failure(session, good + "    undefined\n")
    assert "NameError: name 'undefined' is not defined (line 6)" in error.message
    assert "→   6 │     undefined" in error.message
    assert save(session, good).tasks == ["first", "second"]


def test_a_syntax_error_leaves_the_earlier_version_live(session: Session) -> None:
    source = CHAIN.format(name="kept", more="")
    save(session, source)
    assert "SyntaxError" in failure(session, source + "    )\n").message
    assert session.airflow.dag("kept").has_import_errors is False
    assert session.dags is not None
    assert (session.dags / "kept.py").read_text() == source.lstrip("\n")


def test_a_missing_module_is_shown_at_its_import(session: Session) -> None:
    error = failure(session, "from airflow.sdk import DAG\nimport pandaz\nwith DAG('missing'): pass")
    assert "ModuleNotFoundError: No module named 'pandaz' (line 3)" in error.message


def test_an_error_deep_inside_other_code_is_shown_at_the_line_of_the_cell(session: Session) -> None:
    error = failure(
        session,
        """
        import json
        from airflow.sdk import DAG

        def settings():
            return json.loads("{")

        def outer():
            return settings()

        with DAG("deep", **outer()): pass
        """,
    )
    assert "JSONDecodeError" in error.message
    assert '→   6 │     return json.loads("{")' in error.message
    assert "site-packages" not in str(error)


def test_an_argument_that_does_not_exist_is_shown_where_it_is_given(session: Session) -> None:
    error = failure(session, 'from airflow.sdk import DAG\nwith DAG("sched", sched="@daily"): pass')
    assert "TypeError" in error.message
    assert "(line 3)" in error.message


def test_a_cycle_is_named(session: Session) -> None:
    error = failure(
        session,
        """
        from airflow.sdk import DAG
        from airflow.providers.standard.operators.empty import EmptyOperator
        with DAG("ring"):
            a, b, c = (EmptyOperator(task_id=name) for name in "abc")
            a >> b >> c >> a
        """,
    )
    assert error.message == "The tasks of ring go round in a circle, through c: none of them could be first."


def test_two_dags_in_a_cell_are_refused_before_anything_is_saved(session: Session) -> None:
    error = failure(session, "from airflow.sdk import DAG\nwith DAG('p'): pass\nwith DAG('q'): pass")
    assert error.message == "This cell defines 2 DAGs: p, q."
    assert "--many" in error.next_step
    assert session.dags is not None
    assert not (session.dags / "p.py").exists()


MADE = "from airflow.sdk import DAG\nfor x in {names}:\n    with DAG(f'made_{{x}}'): pass"


def test_two_dags_that_only_running_the_cell_shows_are_refused_and_the_file_is_as_before(
    session: Session,
) -> None:
    assert save(session, MADE.format(names="'a'"), "maker").title == "made_a"
    error = failure(session, MADE.format(names="'ab'"), "maker")
    assert error.message == "This cell defines 2 DAGs: made_a, made_b."
    assert session.dags is not None
    assert "'ab'" not in (session.dags / "maker.py").read_text()


def test_many_lets_a_cell_define_several(session: Session) -> None:
    assert save(session, MADE.format(names="'yz'"), "several", many=True).title == "made_y"
    assert session.airflow.dag("made_z").relative_fileloc == f"{session.chapter}/several.py"


def test_a_computed_id_needs_a_name_for_its_file(session: Session) -> None:
    error = failure(session, MADE.format(names="'a'"))
    assert "computed" in error.message
    assert error.next_step == "name it: %%dag my_dags"


def test_a_cell_without_a_dag_is_refused(session: Session) -> None:
    error = failure(session, "from airflow.sdk import DAG\nprint('dag')")
    assert error.message == "This cell defines no DAG."


def test_a_named_cell_whose_dag_comes_from_elsewhere_is_live(session: Session) -> None:
    source = """
    import airflow.sdk
    make = getattr(airflow.sdk, "DA" + "G")  # a factory makes the dag, as far as reading tells
    with make("factory_made"): pass
    """
    assert save(session, source, "factory").title == "factory_made"


def test_a_file_that_airflow_would_not_open_is_refused(session: Session) -> None:
    assert "would not read" in failure(session, "from factories import make\nmake()", "unread").message


def test_a_named_cell_that_makes_no_dag_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagcell, "PARSE_TIMEOUT", 2.0)
    error = failure(session, "# no airflow DAG here\nx = 1", "empty")
    assert error.message == "Airflow has made no DAG of empty.py within 2 s."


def test_a_name_that_another_file_has_is_refused(session: Session) -> None:
    save(session, CHAIN.format(name="taken", more=""), "first_file")
    error = failure(session, CHAIN.format(name="taken", more=""), "second_file")
    assert "already defined in" in error.message
    assert "first_file.py" in error.message
    assert session.dags is not None
    assert not (session.dags / "second_file.py").exists()


def test_a_name_is_free_again_once_its_file_is_deleted(session: Session) -> None:
    assert session.dags is not None
    save(session, CHAIN.format(name="freed", more=""), "old_file")
    (session.dags / "old_file.py").unlink()
    assert save(session, CHAIN.format(name="freed", more=""), "new_file").title == "freed"


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_file_name_is_refused(session: Session, name: str) -> None:
    error = failure(session, f"from airflow.sdk import DAG\nwith DAG({name!r}): pass")
    assert "cannot be a file's name" in error.message


def test_an_edit_made_by_hand_is_kept(session: Session) -> None:
    assert session.dags is not None
    save(session, CHAIN.format(name="by_hand", more=""))
    path = session.dags / "by_hand.py"
    path.write_text(path.read_text() + "# my own note\n")
    save(session, CHAIN.format(name="by_hand", more=' >> EmptyOperator(task_id="third")'))
    kept = list(session.dags.glob("by_hand.py.*.bak"))
    assert [file.read_text().endswith("# my own note\n") for file in kept] == [True]


def test_what_a_cell_saved_is_not_kept(session: Session) -> None:
    assert session.dags is not None
    save(session, CHAIN.format(name="unkept", more=""))
    save(session, CHAIN.format(name="unkept", more=' >> EmptyOperator(task_id="third")'))
    assert list(session.dags.glob("unkept.py.*")) == []


def test_a_folder_that_cannot_be_written_is_named(session: Session) -> None:
    assert session.dags is not None
    blocked = session.dags.parent / "a-file"
    blocked.write_text("a file where the folder should be")
    error = failure(replace(session, dags=blocked), CHAIN.format(name="unwritten", more=""))
    assert f"{blocked}/unwritten.py cannot be written" in error.message
    assert "writable" in error.next_step


def test_without_a_folder_to_write_to_the_cell_says_what_to_set(session: Session) -> None:
    error = failure(replace(session, dags=None), CHAIN.format(name="nowhere", more=""))
    assert "WINDTUNNEL_DAGS" in error.next_step


def test_a_cell_that_takes_long_to_parse_is_waited_for(session: Session) -> None:
    source = "import time\nfrom airflow.sdk import DAG\ntime.sleep(3)\nwith DAG('slow'): pass"
    assert save(session, source).title == "slow"


def test_stopping_the_wait_says_that_the_file_is_saved(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dagcell._Parsing, "outcome", stop)
    error = failure(session, CHAIN.format(name="stopped", more=""))
    assert error.message == "Stopped waiting for Airflow to parse stopped.py; the file is saved."


def test_a_dead_dag_processor_is_named(
    session: Session, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = sandbox.status().components["dag-processor"]["pid"]
    os.kill(processor, signal.SIGSTOP)
    try:
        sick = poll(
            lambda: session.airflow.health().get("dag_processor") == "unhealthy" or None,
            timeout=90,
            every=0.5,
        )
        assert sick
        monkeypatch.setattr(dagcell, "PARSE_TIMEOUT", 2.0)
        error = failure(session, CHAIN.format(name="unparsed", more=""))
    finally:
        os.kill(processor, signal.SIGCONT)
    assert "DAG processor does not work (its health: unhealthy)" in error.message
    assert "The file is saved" in error.message
    assert "windtunnel status" in error.next_step
