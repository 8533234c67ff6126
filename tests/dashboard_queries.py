"""The dashboard's queries, and a trial of each on a running Prometheus.

    python tests/dashboard_queries.py http://127.0.0.1:9090

asks that Prometheus every query of sandbox/observability's dashboard and prints what each panel would show now. The
exit code is 1 when one has nothing to show, 2 when there is no answer. Standard library only.
"""

from __future__ import annotations

import json
import math
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

DASHBOARDS = Path(__file__).parents[1] / "sandbox/observability/grafana/dashboards"
# What Grafana puts in for its variables: "All", half an hour, and a panel's shortest step.
VARIABLES = {"$dag_id": ".*", "$pool": ".*", "$__range": "30m", "$__interval": "1m"}


def dashboards() -> dict[str, dict]:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS.glob("*.json")}


def queries() -> Iterator[tuple[str, str]]:
    """Panel and PromQL of every query, Grafana's variables filled in."""
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield panel["title"], expression


def ask(prometheus: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every series that the expression gives now. Raises OSError."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in result]


def main(prometheus: str) -> int:
    empty = 0
    for title, expression in queries():
        try:
            series = ask(prometheus.rstrip("/"), expression)
        except OSError as error:
            reason = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
            print(
                f"{title}: Prometheus at {prometheus} gave no answer to\n  {expression}\n  {reason}",
                file=sys.stderr,
            )
            return 2
        shown = [(labels, value) for labels, value in series if not math.isnan(value)]
        empty += not shown
        print(f"{title}{'' if shown else ': NOTHING TO SHOW'}")
        for labels, value in shown:
            print(f"  {value:10.3f}  {' '.join(f'{k}={v}' for k, v in sorted(labels.items()))}")
        if not shown:
            print(f"  {expression}")
    return 1 if empty else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Say which Prometheus: python tests/dashboard_queries.py http://127.0.0.1:9090")
    sys.exit(main(sys.argv[1]))
