"""What is measured: one subject a module, each with a ``SUBJECT``."""

ALL = {
    "first_run": "From a fresh clone to the first green run",
    "ready": "Ready after a start",
    "visible": "A saved DAG, visible",
    "runs": "From trigger to success",
    "verdict": "From an edit to a verdict",
    "grading": "Grading a class",
    "month": "A month of daily runs",
    "book": "The book",
    "memory": "Memory and idle CPU",
    "compose": "In containers",
    "learner": "One learner of a class",
    "growth_airflow": "How cost grows: DAG files and mapped tasks",
    "growth_grading": "How cost grows: submissions",
    "growth_book": "How cost grows: chapters",
}
"""The subjects with their titles, in the order in which they are measured and shown."""

HEADLINES = [
    "first-run",
    "ready-warm",
    "visible-new",
    "visible-edited",
    "run-chain",
    "run-fan-out",
    "verdict",
    "grading",
    "month",
    "memory",
    "idle",
]
"""The comparisons whose figures the README gives, as far as they have been measured."""
