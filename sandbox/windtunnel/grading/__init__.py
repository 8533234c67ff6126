"""Batch grading: a folder of submissions in, points, pages and a class's picture out.

::

    submissions.py  who handed in what, to which exercise
    archive.py      a .zip or .tar unpacked where it can do no harm
    answers.py      the file to be checked, out of a file, a folder, an archive or a notebook
    rehearsal.py    a student's notebook, run from top to bottom and compared with the reference
    batch.py        grades one submission, and many side by side
    journal.py      what is finished, kept through Ctrl-C and kill -9
    grades.py       grades as data, and what a class's grades say together
    report.py       the output folder: CSV, JSON, JUnit, pages
    progress.py     what is shown meanwhile
    command.py      ``windtunnel grade``
    mapped.py       the same steps for ``sandbox/dags/grade_submissions.py``

The verdict itself is ``windtunnel.check``'s, as everywhere.
"""
