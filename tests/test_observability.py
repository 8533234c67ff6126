"""The profile `observability`: what Airflow sends, how the exporter names it, what the dashboard asks for.

tests/data/statsd-lines.txt is what a real Airflow sent. `translated` reads the exporter's mapping as the exporter does;
where the exporter itself is on PATH it translates the same lines and must agree. `promtool` reads what is Prometheus'
where it is on PATH. Neither is part of the environment: without them those tests are skipped, and say so.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from dashboard_queries import dashboards, queries
from windtunnel.ports import HOST, any_free

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "sandbox/observability"
MAPPING = FOLDER / "statsd-mapping.yml"
LINES = [
    line
    for line in (ROOT / "tests/data/statsd-lines.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
EXPORTER = shutil.which("statsd_exporter") or shutil.which("prometheus-statsd-exporter")
PROMTOOL = shutil.which("promtool")
KINDS = {"c": "counter", "g": "gauge", "ms": "observer"}


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SERVICES = load(ROOT / "docker-compose.yaml")["services"]
RULES = load(MAPPING)["mappings"]
RECORDED = {rule["record"]: rule["expr"] for rule in load(FOLDER / "rules.yml")["groups"][0]["rules"]}


class Sample(NamedTuple):
    """One series as Prometheus gets it; of a histogram, its count stands for it, and the value is its sum."""

    name: str
    labels: frozenset[tuple[str, str]]
    kind: str
    value: float


def rule_for(name: str, kind: str) -> tuple[dict, list[str]]:
    """The mapping's rule for a StatsD name, and what its stars stood for: {} when no rule is for it."""
    globs = []
    for rule in RULES:
        if rule.get("match_metric_type", kind) != kind or rule.get("match_type") == "regex":
            continue
        pattern = r"\.".join(
            "([^.]*)" if part == "*" else re.escape(part) for part in rule["match"].split(".")
        )
        if found := re.fullmatch(pattern, name):
            globs.append((rule["match"].count("*"), rule, list(found.groups())))
    if globs:
        _stars, rule, captured = min(globs, key=lambda each: each[0])  # glob_disable_ordering
        return rule, captured
    for rule in RULES:
        if rule.get("match_type") == "regex" and re.search(rule["match"], name):
            return rule, []
    return {}, []


def translated(line: str) -> Sample | None:
    """What the exporter makes of a line; None when it drops it."""
    sent, value, kind = re.fullmatch(r"([^:]+):([^|]+)\|(\w+)", line).groups()
    name, *tags = sent.split(",")
    rule, captured = rule_for(name, KINDS[kind])
    if rule.get("action") == "drop":
        return None

    def filled(template: str) -> str:
        return re.sub(r"\$(\d)", lambda number: captured[int(number[1]) - 1], template)

    labels = dict(tag.split("=", 1) for tag in tags) | {
        k: filled(v) for k, v in rule.get("labels", {}).items()
    }
    number = float(value) * rule.get("scale", 1) / (1000 if kind == "ms" else 1)
    named = filled(rule["name"]) if rule else re.sub(r"[^A-Za-z0-9_]", "_", name)
    return Sample(named, frozenset(labels.items()), KINDS[kind], number)


def collected() -> list[Sample]:
    return [sample for line in LINES if (sample := translated(line))]


def family(metric: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", metric)


# --- from Airflow to Prometheus ----------------------------------------------------------------------
def test_every_rule_of_the_mapping_is_for_something_airflow_sends():
    (package,) = importlib.util.find_spec("airflow").submodule_search_locations
    registry = load(Path(package) / "_shared/observability/metrics/metrics_template.yaml")["metrics"]
    kinds = {"counter": "counter", "gauge": "gauge", "timer": "observer"}
    sent = {(f"airflow.{metric['name']}", kinds[metric["type"]]) for metric in registry}
    sent |= {(line.split(":")[0].split(",")[0], KINDS[line.rpartition("|")[2]]) for line in LINES}
    used = [rule_for(name, kind)[0] for name, kind in sent]
    assert [rule["match"] for rule in RULES if rule not in used] == []


def test_a_name_has_one_kind_and_one_set_of_labels():
    kinds: dict[str, set[str]] = {}
    labels: dict[str, set[frozenset[str]]] = {}
    for sample in collected():
        kinds.setdefault(sample.name, set()).add(sample.kind)
        labels.setdefault(sample.name, set()).add(frozenset(name for name, _value in sample.labels))
    assert {name for name, several in kinds.items() if len(several) > 1} == set()
    assert {name for name, several in labels.items() if len(several) > 1} == set()


def test_the_time_a_dag_file_takes_comes_in_seconds_and_stays_so():
    lines = [line for line in LINES if line.startswith("airflow.dag_processing.last_duration,")]
    assert lines
    for line in lines:
        assert translated(line).value == pytest.approx(float(line.split(":")[1].removesuffix("|ms")))


def test_other_times_come_in_milliseconds_and_become_seconds():
    line = next(line for line in LINES if line.startswith("airflow.task.duration,dag_id=press"))
    assert translated(line).value == pytest.approx(float(line.split(":")[1].removesuffix("|ms")) / 1000)


@pytest.mark.skipif(
    not EXPORTER, reason="no statsd_exporter on PATH: only the test's own rules read its mapping"
)
def test_the_exporter_itself_agrees(tmp_path):
    udp, web = any_free(2)
    ends = {"observer": "_count"}
    expected = {(sample.name + ends.get(sample.kind, ""), sample.labels) for sample in collected()}
    command = [
        EXPORTER,
        f"--statsd.mapping-config={MAPPING}",
        f"--statsd.listen-udp={HOST}:{udp}",
        "--statsd.listen-tcp=",
        f"--web.listen-address={HOST}:{web}",
    ]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stderr=log) as exporter,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        try:
            page = read(web)
            for line in LINES:
                sender.sendto(line.encode(), (HOST, udp))
            deadline = time.monotonic() + 20
            while shown(page) != expected and time.monotonic() < deadline:
                time.sleep(0.2)  # it collects what comes for as long
                page = read(web)
        finally:
            exporter.terminate()
    assert shown(page) == expected
    for sample in collected():
        if sample.name == "airflow_dag_file_parse_seconds":
            (file,) = [value for name, value in sample.labels if name == "file_name"]
            total = re.search(
                rf'^airflow_dag_file_parse_seconds_sum\{{.*file_name="{file}".*\}} (.*)', page, re.M
            )
            assert float(total[1]) == pytest.approx(sample.value)


def read(port: int) -> str:
    """The exporter's page, as soon as there is one."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the exporter does not answer")


def shown(page: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Names and labels of Airflow's series on the exporter's page; of a histogram, its count."""
    return {
        (name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels or "")))
        for name, labels in re.findall(r"^(airflow_\w+)(?:\{(.*)\})? ", page, re.MULTILINE)
        if not name.endswith(("_bucket", "_sum"))
    }


# --- the dashboard -----------------------------------------------------------------------------------
def underlying(name: str) -> str:
    """The metric that a rule of rules.yml reads; any other name is a metric already."""
    if name not in RECORDED:
        return name
    (metric,) = set(re.findall(r"\bairflow_\w+", RECORDED[name]))
    return metric


@pytest.mark.parametrize(
    "expression",
    [pytest.param(query, id=f"{number} {title}") for number, (title, query) in enumerate(queries())],
)
def test_a_query_asks_for_metrics_and_labels_that_airflow_gives(expression):
    kinds = {sample.name: sample.kind for sample in collected()}
    labels: dict[str, set[str]] = {}
    for sample in collected():
        labels.setdefault(sample.name, set()).update(name for name, _value in sample.labels)
    metrics = {underlying(name) for name in re.findall(r"\bairflow[_:][\w:]+", expression)}
    assert metrics
    wanted = set(re.findall(r"(\w+)=~?\"", expression))
    wanted |= {
        label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")
    }
    for metric in metrics:
        assert kinds.get(metric) != "observer", "of a histogram, Prometheus has the _bucket, _sum and _count"
        name = metric if metric in kinds else family(metric)
        assert name in kinds
        assert name == metric or kinds[name] == "observer"
        assert wanted - {"le"} <= labels[name]
        assert "le" not in wanted or metric.endswith("_bucket")


def test_every_rule_is_asked_for_and_keeps_the_name_of_what_it_reads():
    asked = " ".join(expression for _title, expression in queries())
    for record in RECORDED:
        assert f"{record}{{" in asked
        end = re.search(r"_(bucket|sum|count):", record)
        assert end is None or underlying(record).endswith(end[0].rstrip(":"))


def test_no_variable_of_grafana_is_left_in_a_query():
    assert [expression for _title, expression in queries() if "$" in expression] == []


def test_the_variables_ask_for_labels_that_airflow_gives():
    for dashboard in dashboards().values():
        for variable in dashboard["templating"]["list"]:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            found = {
                dict(sample.labels).get(label) for sample in collected() if sample.name == family(metric)
            }
            assert found - {None}


def test_everything_on_the_dashboard_asks_the_datasource_that_is_provisioned():
    (datasource,) = load(FOLDER / "grafana/datasources/prometheus.yml")["datasources"]
    for dashboard in dashboards().values():
        asked = [*dashboard["panels"], *dashboard["templating"]["list"]]
        asked += [target for panel in dashboard["panels"] for target in panel["targets"]]
        uids = {(each["datasource"]["type"], each["datasource"]["uid"]) for each in asked}
        assert uids == {(datasource["type"], datasource["uid"])}
    port = load(FOLDER / "prometheus.yml")["scrape_configs"][1]["static_configs"][0]["targets"][0].split(":")[
        1
    ]
    assert datasource["url"] == f"http://prometheus:{port}"
    assert (
        datasource["jsonData"]["timeInterval"] == load(FOLDER / "prometheus.yml")["global"]["scrape_interval"]
    )


def test_panels_have_numbers_of_their_own_and_do_not_overlap():
    for dashboard in dashboards().values():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: dict[tuple[int, int], str] = {}
        for panel in panels:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert taken.setdefault((x, y), panel["title"]) == panel["title"]


# --- Prometheus --------------------------------------------------------------------------------------
def promtool(*arguments: str | Path) -> None:
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


needs_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="no promtool on PATH: Prometheus did not read its own files"
)


@needs_promtool
def test_prometheus_accepts_its_settings():
    promtool("check", "config", FOLDER / "prometheus.yml")


@needs_promtool
def test_prometheus_understands_every_query(tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_title, expression) in enumerate(queries())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@needs_promtool
def test_what_came_is_counted_once_whatever_happened_to_the_series(tmp_path):
    """`increase()` would miss the first run: the series begins at 1, and nothing was there to grow from."""
    (finished,) = [expression for title, expression in queries() if title == "Runs finished"]

    def at(when: str, expression: str, value: int, labels: str) -> dict:
        return {"expr": expression, "eval_time": when, "exp_samples": [{"labels": labels, "value": value}]}

    labels = '{job="airflow", dag_id="orders", run_type="scheduled", state="success"}'
    record = f"airflow:runs_finished:new{labels}"
    trial = {
        "rule_files": [str(FOLDER / "rules.yml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                # None, one, three, no more, a scrape that failed, no more; then the exporter was started again, and
                # there came three; and again, between two scrapes: two.
                "input_series": [
                    {
                        "series": f"airflow_dagrun_duration_seconds_count{labels}",
                        "values": "_ 1 3 3 stale 3 stale 3 2",
                    },
                    {"series": 'process_start_time_seconds{job="airflow"}', "values": "-999x5 stale 100 115"},
                ],
                "promql_expr_test": [
                    at("15s", record, 1, record),
                    at("30s", record, 2, record),
                    at("45s", record, 0, record),
                    at("75s", record, 0, record),
                    at("105s", record, 3, record),
                    at("120s", record, 2, record),
                    at("120s", finished, 8, '{state="success"}'),
                ],
            }
        ],
    }
    (tmp_path / "trial.yml").write_text(yaml.safe_dump(trial))
    promtool("test", "rules", tmp_path / "trial.yml")


# --- the containers ----------------------------------------------------------------------------------
def test_airflow_sends_where_the_exporter_listens():
    exporter, scheduler = SERVICES["statsd-exporter"], SERVICES["scheduler"]["environment"]
    assert scheduler["AIRFLOW__METRICS__STATSD_HOST"] == "statsd-exporter"
    assert f"--statsd.listen-udp=:{scheduler['AIRFLOW__METRICS__STATSD_PORT']}" in exporter["command"]
    assert {line.split(".")[0] for line in LINES} == {scheduler["AIRFLOW__METRICS__STATSD_PREFIX"]}


def test_airflow_has_the_settings_by_the_names_they_have_here():
    (package,) = importlib.util.find_spec("airflow").submodule_search_locations
    options = load(Path(package) / "config_templates/config.yml")["metrics"]["options"]
    named = [name for name in SERVICES["scheduler"]["environment"] if name.startswith("AIRFLOW__METRICS__")]
    assert len(named) == 6
    assert {name.removeprefix("AIRFLOW__METRICS__").lower() for name in named} <= set(options)


def test_prometheus_looks_where_the_exporter_shows():
    targets = [
        each["static_configs"][0]["targets"][0] for each in load(FOLDER / "prometheus.yml")["scrape_configs"]
    ]
    assert "statsd-exporter:9102" in targets
    assert "--web.listen-address=:9102" in SERVICES["statsd-exporter"]["command"]


@pytest.mark.parametrize("name", ["statsd-exporter", "prometheus", "grafana"])
def test_a_service_is_pinned_watched_bounded_and_local(name):
    service = SERVICES[name]
    assert service["profiles"] == ["observability"]
    assert re.fullmatch(r"(prom|grafana)/[a-z-]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for volume in service["volumes"]:
        source, _target, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"]
            assert (ROOT / source).exists()
