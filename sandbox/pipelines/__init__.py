"""What the course's DAGs compute: plain functions over data frames and files, without Airflow."""
