"""The engine behind every verdict: it runs answers, and only looks at what came of it.

``client`` is how the package asks for a check. ``server`` keeps Airflow imported (``preload``, ``warming``) and
forks a ``judge`` for each; ``cold`` is the same in a process of its own. The judge runs the criteria and never the
answer. It has a ``bench`` or two forked from a ``nursery`` that has not seen the criteria. A bench answers the
judge's questions: it has an ``outside`` world, a database, and a small ``scheduler`` on them, and it forks the
processes that an answer's code runs in. These are locked in by ``jail`` (with ``kernel``, ``memory``, ``limits``):
a ``learner`` process imports the answer, calls a function of it, or runs it as a notebook's ``cell``; a ``worker``
runs its tasks, one after the other, behind nothing but the pipe that Airflow's own supervisor gives a ``task``.
When a DAG would run, Airflow tells: its timetable by ``planned``, its queue of updated assets by ``updates``.
"""
