import ast
from textwrap import dedent

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.starter import derive


def test_a_block_in_a_function_becomes_a_todo_that_raises():
    solution = dedent('''\
        def double(x):
            """Twice x."""
            # BEGIN SOLUTION return "twice" x
            y = x
            return x + y
            # END SOLUTION
        ''')
    assert derive(solution) == dedent('''\
        def double(x):
            """Twice x."""
            raise NotImplementedError("TODO: return \\"twice\\" x")
        ''')


def test_a_block_outside_functions_becomes_a_comment_so_that_the_import_works():
    solution = "a = 1\n# BEGIN SOLUTION add b\nb = 2\n# END SOLUTION\nc = 3\n"
    assert derive(solution) == "a = 1\n# TODO: add b\nc = 3\n"


def test_a_with_block_is_no_function():
    solution = "with dag():\n    first()\n    # BEGIN SOLUTION second\n    second()\n    # END SOLUTION\n"
    assert derive(solution) == "with dag():\n    first()\n    # TODO: second\n"


def test_a_function_inside_a_with_block_is_one():
    solution = dedent("""\
        with dag():

            @task
            async def first(
                a,
            ):
                if a:
                    # BEGIN SOLUTION go
                    go()
                    # END SOLUTION
        """)
    assert 'raise NotImplementedError("TODO: go")' in derive(solution)


def test_text_without_markers_stays_as_it_is():
    assert derive("x = 1\n\n\ny = 'BEGIN SOLUTION'\n") == "x = 1\n\n\ny = 'BEGIN SOLUTION'\n"


def test_two_blocks_and_unicode():
    solution = (
        "def f():\n    # BEGIN SOLUTION über\n    1\n    # END SOLUTION\n"
        "def g():\n    # BEGIN SOLUTION 2\n    2\n    # END SOLUTION\n"
    )
    starter = derive(solution)
    assert starter.count("NotImplementedError") == 2
    assert '"TODO: über"' in starter
    ast.parse(starter)


def test_a_block_with_a_starter_becomes_that_code_and_no_todo():
    solution = dedent("""\
        def recency(last, day):
            # BEGIN SOLUTION subtract the earlier day from the later one
            return (day - last).days
            # STARTER
            # | days = last - day
            # |
            # | if days:
            # |     return days.days  # | with a comment
            # END SOLUTION
        """)
    assert derive(solution) == dedent("""\
        def recency(last, day):
            days = last - day

            if days:
                return days.days  # | with a comment
        """)


def test_a_starter_without_code_takes_the_block_away():
    solution = "a = 1\n# BEGIN SOLUTION add b\nb = 2\n# STARTER\n# END SOLUTION\nc = 3\n"
    assert derive(solution) == "a = 1\nc = 3\n"


def test_a_starter_ends_with_its_block():
    solution = dedent("""\
        def f():
            # BEGIN SOLUTION first
            one()
            # STARTER
            # | two()
            # END SOLUTION
            # | a comment of the solution's
            # BEGIN SOLUTION second
            three()
            # END SOLUTION
        """)
    assert derive(solution) == dedent("""\
        def f():
            two()
            # | a comment of the solution's
            raise NotImplementedError("TODO: second")
        """)


def test_the_word_starter_elsewhere_is_text():
    solution = "# STARTERS are served at 19:00\nx = 'STARTER'  # STARTER\n"
    assert derive(solution) == solution


@pytest.mark.parametrize(
    ("solution", "problem"),
    [
        (
            "# BEGIN SOLUTION a\n# BEGIN SOLUTION b\n# END SOLUTION\n",
            "s.py:2: .*inside the block that line 1",
        ),
        ("x = 1\n# BEGIN SOLUTION a\ny = 2\n", "s.py:2: .*never closed"),
        ("x = 1\n# END SOLUTION\n", "s.py:2: END SOLUTION without"),
        ("# BEGIN SOLUTION\n# END SOLUTION\n", "s.py:1: .*does not say what is to do"),
        ("# BEGIN SOLUTION a\n# END SOLUTION a\n", "s.py:2: END SOLUTION takes no text"),
        ("x = 1  # BEGIN SOLUTION a\n", "s.py:1: .*line of its own"),
        ("x = 1\n# STARTER\n# | y = 2\n", "s.py:2: STARTER needs a SOLUTION block to itself"),
        (
            "# BEGIN SOLUTION a\n# STARTER\n# STARTER\n# END SOLUTION\n",
            "s.py:3: STARTER needs a SOLUTION block",
        ),
        ("# BEGIN SOLUTION a\n# STARTER b\n# END SOLUTION\n", "s.py:2: STARTER takes no text"),
        ("# BEGIN SOLUTION a\n# STARTER\nx = 1\n# END SOLUTION\n", "s.py:3: after STARTER every line"),
        ("# BEGIN SOLUTION a\n# STARTER\n\n# END SOLUTION\n", "s.py:3: after STARTER every line"),
        ("# BEGIN SOLUTION a\n# STARTER\n# |x = 1\n# END SOLUTION\n", "s.py:3: after STARTER every line"),
        ("# BEGIN SOLUTION a\n# STARTER\n# | x = 1\n", "s.py:1: .*never closed"),
        (
            "# BEGIN SOLUTION a\n# STARTER\n# BEGIN SOLUTION b\n# END SOLUTION\n",
            "s.py:3: .*inside the block that line 1",
        ),
    ],
)
def test_misplaced_markers_are_refused_with_their_line(solution, problem):
    with pytest.raises(WindtunnelError, match=problem):
        derive(solution, "s.py")
