"""The Monday report without pandas: csv, and SQL in a database that lives as long as the task."""

import csv
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Asset, dag, get_current_context, task


class Monday:
    """The date of the run under way, and its folder."""

    def __init__(self):
        run = get_current_context()["dag_run"]
        self.day = (run.logical_date or run.run_after).date()
        self.folder = Path(os.environ["WINDTUNNEL_DATA"], "segmentation", str(self.day))

    @property
    def year_before(self):
        if (self.day.month, self.day.day) == (2, 29):
            return self.day.replace(year=self.day.year - 1, day=28)
        return self.day.replace(year=self.day.year - 1)

    def put(self, name, write):
        """Let `write` fill the file `name`, out of sight until it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        hidden = self.folder / f".{name}"
        with hidden.open("w", newline="") as file:
            write(file)
        hidden.replace(self.folder / name)
        return os.fspath(self.folder / name)

    def put_rows(self, name, header, rows):
        def write(file):
            table = csv.writer(file)
            table.writerow(header)
            table.writerows(rows)

        return self.put(name, write)


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def extract(what, header, **question):
    rows = HttpHook("GET", "shop_api").run(what, data=question).json()[what]
    return Monday().put_rows(f"{what}.csv", header, ([row.get(key) for key in header] for row in rows))


def complaints(people, sales):
    """One sentence for each thing that is wrong."""
    known = {row["customer_id"] for row in people}
    for rows, key in ((people, "customer_id"), (sales, "transaction_id")):
        seen = set()
        for row in rows:
            if "" in row.values():
                yield f"{row[key] or 'a row without an id'} has a gap: {row}"
            if row[key] in seen:
                yield f"{row[key]} is there twice"
            seen.add(row[key])
    for row in sales:
        if row["amount"] and float(row["amount"]) <= 0:
            yield f"{row['transaction_id']} is about {row['amount']} EUR"
        if row["customer_id"] not in known:
            yield f"{row['transaction_id']} was paid by {row['customer_id']}, whom nobody knows"


RFM = """
    with measured as (
        select
            c.customer_id,
            cast(julianday(:today) - julianday(coalesce(max(t.day), c.registered)) as integer) as recency,
            count(t.day) filter (where t.day >= :since) as frequency,
            round(coalesce(sum(t.amount) filter (where t.day >= :since), 0), 2) as monetary,
            count(t.day) as purchases
        from customers c left join transactions t using (customer_id)
        group by c.customer_id
    )
    select
        customer_id, recency, frequency, monetary, purchases,
        1 + 5 * (rank() over (order by recency desc) - 1) / count(*) over () as recency_score,
        1 + 5 * (rank() over (order by frequency) - 1) / count(*) over () as frequency_score,
        1 + 5 * (rank() over (order by monetary) - 1) / count(*) over () as monetary_score
    from measured
"""


@dag(
    "customer_segmentation_pipeline",
    schedule="0 6 * * 1",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
)
def segmentation():
    @task(retries=2)
    def extract_customers():
        header = ["customer_id", "registration_date", "email"]
        return extract("customers", header, as_of=str(Monday().day))

    @task(retries=2)
    def extract_transactions():
        header = ["transaction_id", "customer_id", "amount", "transaction_date"]
        return extract("transactions", header, end=Monday().day)

    @task(retries=2)
    def validate_data(people, sales):
        found = list(complaints(rows_of(people), rows_of(sales)))
        if found:
            raise RuntimeError("\n".join([f"{len(found)} problems:", *found]))

    @task(retries=2, multiple_outputs=False)
    def calculate_rfm(people, sales):
        monday = Monday()
        with closing(sqlite3.connect(":memory:")) as memory:
            memory.execute("create table customers (customer_id text, registered text)")
            memory.execute("create table transactions (customer_id text, amount real, day text)")
            memory.executemany(
                "insert into customers values (:customer_id, :registration_date)", rows_of(people)
            )
            memory.executemany(
                "insert into transactions values (:customer_id, :amount, :transaction_date)", rows_of(sales)
            )
            window = {"today": str(monday.day), "since": str(monday.year_before)}
            answer = memory.execute(RFM, window)
            return monday.put_rows("rfm.csv", [column[0] for column in answer.description], answer)

    @task(retries=2)
    def segment_customers(path):
        rows = rows_of(path)
        spent = sorted((float(row["monetary"]) for row in rows), reverse=True)
        least = spent[(len(spent) + 4) // 5 - 1] if spent else 0

        def segment(row):
            if int(row["recency"]) >= 90:
                return "At Risk"
            if row["purchases"] == "1":
                return "New Customers"
            return "High Value" if float(row["monetary"]) >= max(least, 0.01) else "Regular"

        header = ["segment", "customer_id", "recency", "monetary"]
        return Monday().put_rows(
            "segments.csv", header, ([segment(row), *(row[key] for key in header[1:])] for row in rows)
        )

    @task(retries=2, outlets=[Asset("segmentation-report")])
    def generate_report(path):
        members = {"At Risk": [], "New Customers": [], "High Value": [], "Regular": []}
        for row in rows_of(path):
            members[row["segment"]].append((float(row["monetary"]), int(row["recency"])))
        total = sum(money for rows in members.values() for money, _ in rows)

        def entry(name, rows):
            revenue = sum(money for money, _ in rows)
            return {
                "name": name,
                "customers": len(rows),
                "revenue": round(revenue, 2),
                "revenue_share": round(revenue / (total or 1), 4),
                "mean_recency": round(sum(days for _, days in rows) / len(rows), 1) if rows else None,
            }

        monday = Monday()
        content = {
            "run_date": str(monday.day),
            "customers": sum(map(len, members.values())),
            "revenue_12m": round(total, 2),
            "segments": [entry(name, rows) for name, rows in members.items()],
        }
        monday.put("report.json", lambda file: json.dump(content, file))

    people, sales = extract_customers(), extract_transactions()
    validate_data(people, sales) >> (measured := calculate_rfm(people, sales))
    generate_report(segment_customers(measured))


segmentation()
