"""Grade a class on as many machines as there are: one mapped task for each submission.

The same grades as `windtunnel grade`, for classes that outgrow one machine. This file says what runs after what;
what the steps do is in windtunnel/grading/mapped.py. Workers must see both folders under the same paths. Airflow
maps over at most 1024 submissions unless [core] max_map_length says otherwise.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, task


@dag(
    schedule=None,
    params={
        "folder": Param("", type="string", minLength=1, description="What the class handed in"),
        "exercise": Param("", type="string", description="Empty: names tell"),
        "output": Param("", type="string", description="Empty: FOLDER-grades"),
    },
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    tags=["grading"],
)
def grade_submissions():
    """Who handed in what -> a grade each -> the report."""

    @task
    def find_submissions(params=None):
        """Who handed in what -> one small dict for each, to be mapped over."""
        from windtunnel.grading import mapped

        return mapped.find_submissions(params["folder"], params["exercise"], params["output"])

    @task(map_index_template="{{ task.op_kwargs['submission']['student'] }}")
    def grade_one(submission, params=None):
        """One submission -> the path of its grade."""
        from windtunnel.grading import mapped

        return mapped.grade_one(submission, params["folder"], params["output"])

    # A submission whose task failed is told in the report, and holds up nobody's grade.
    @task(trigger_rule="all_done", retries=0)
    def write_report(params=None):
        """All grades -> the report. Fails, once it is written, when somebody could not be graded."""
        from windtunnel.grading import mapped

        written = mapped.write_report(params["folder"], params["output"])
        if written["not_graded"]:
            raise RuntimeError(f"{written['not_graded']} could not be graded: see {written['report']}")
        return written

    grade_one.expand(submission=find_submissions()) >> write_report()


grade_submissions()
