"""The engine behind every verdict: it runs answers, and only looks at what came of it.

``client`` is how the package asks for a check. ``server`` keeps Airflow imported and forks a ``judge`` for each.
The judge runs the criteria and never the answer. For each question it has a ``bench`` forked, which is a small
scheduler on a database of its own; the bench forks one ``learner`` process for each task, locked in by ``jail``,
with nothing but the pipe that Airflow's own supervisor gives a task.
"""
