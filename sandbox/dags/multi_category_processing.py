"""Every night: yesterday's reviews, each category by itself, and a summary of all of them.

This file says what runs, when, and after what. What the steps compute is in pipelines/category_ratings.py.
"""

from datetime import UTC, datetime

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

from pipelines import category_ratings


def day_of(dag_run):
    """The day a run is about: the one that has ended."""
    return category_ratings.day_before(dag_run.logical_date or dag_run.run_after)


def get(endpoint, **parameters):
    """The shop's answer, decoded. HttpHook raises for a status of 400 or more, so the task fails."""
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters).json()


with DAG(
    "multi_category_processing",
    description="Ratings by category",
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 3, 31, 23, tzinfo=UTC),  # the course looks at one spring
    catchup=False,
    tags=["reviews"],
):

    @task
    def extract(category, dag_run=None):
        """One category. It is an argument: a name from the loop would be the last one's in every task."""
        day = day_of(dag_run)
        products = get("products", category=category)["products"]
        reviews = get("reviews", date=f"{day}")["reviews"]
        category_ratings.save(day, category_ratings.rated(category, products, reviews))

    @task
    def summarize_all_categories(dag_run=None):
        """All or nothing: a summary of four categories would look like one of five."""
        return category_ratings.summary(category_ratings.load(day_of(dag_run)))

    extracts = [
        extract.override(task_id=f"extract_{category}_data")(category)
        for category in category_ratings.CATEGORIES
    ]
    extracts >> summarize_all_categories()
