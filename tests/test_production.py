"""The page on production, and the Helm values it explains, keep to the chapters, the sandbox and Airflow's settings.

Whether the official chart takes the values is not tested here: neither the chart nor Helm comes with the course. What
was done with them once stands on the page.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from windtunnel.airflow_env import PATIENT, QUICK, SAFE

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "production.md"
VALUES = ROOT / "sandbox" / "helm" / "values.yaml"

ROW = re.compile(
    r"^\| `\[(?P<section>\w+)\] (?P<option>\w+)`<br>(?P<here>`.*`), (?P<upstream>\S+) \|", re.MULTILINE
)
INCLUDE = re.compile(r"```\{literalinclude\} (?P<path>\S+)\n(?P<options>(?::.+\n)*)```")

# Keys of the chart that hold a secret itself; the names of Secrets end in SecretName, secretName, secret or Secret.
HOLDS_A_SECRET = re.compile(
    r"(?i)(password|passwd|pass|fernetKey|secretKey|jwtSecret|token|sshKey|privateKey|brokerUrl|connection)$"
)
A_URL_WITH_A_PASSWORD = re.compile(r"\w+://[^/\s:@]+:[^/\s@]+@")
# 20 characters and more of base64, with letters in both cases and a digit: no name looks like that.
A_KEY = re.compile(r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9+/_-]{20,}={0,2}$")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    loaded = yaml.safe_load(VALUES.read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every value that is neither a mapping nor a list, with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def secrets_in(values: object) -> list[str]:
    """What looks like a secret in the clear, as dotted paths."""
    found = []
    for path, value in leaves(values):
        # `secret` lists the names of Secrets and of keys in them, not the keys.
        suspicious = HOLDS_A_SECRET.search(path[-1]) and path[0] != "secret"
        if isinstance(value, str) and (
            suspicious or A_URL_WITH_A_PASSWORD.search(value) or A_KEY.match(value)
        ):
            found.append(".".join(path))
    return found


def upstream() -> dict[str, dict[str, Any]]:
    """Airflow's own options by section. Read from its file, since importing Airflow takes seconds."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None and spec.origin is not None
    described = yaml.safe_load((Path(spec.origin).parent / "config_templates" / "config.yml").read_text())
    return {section: what["options"] for section, what in described.items()}


def test_the_values_hold_no_secret_only_the_names_of_secrets(values: dict[str, Any]) -> None:
    assert secrets_in(values) == []
    for name in ("fernetKeySecretName", "jwtSecretName", "apiSecretKeySecretName"):
        assert values[name], f"without {name} the chart makes the key up"
    assert values["data"] == {"metadataSecretName": "airflow-metadata"}
    assert values["createUserJob"]["enabled"] is False


@pytest.mark.parametrize(
    "slip",
    [
        {"fernetKey": "anything"},
        {"createUserJob": {"defaultUser": {"password": "admin"}}},
        {"data": {"metadataConnection": {"pass": "postgres"}}},
        {"env": [{"name": "A", "value": "postgresql://airflow:airflow@db/airflow"}]},
        {"env": [{"name": "A", "value": "8gVqX0bYkz3mJt5uPr7wQe1sLd2fHc4n"}]},
    ],
)
def test_a_secret_in_the_values_would_be_found(slip: dict[str, Any]) -> None:
    assert len(secrets_in(slip)) == 1


def test_the_values_are_for_the_airflow_of_this_course(values: dict[str, Any]) -> None:
    version = importlib.metadata.version("apache-airflow")
    assert values["airflowVersion"] == version
    assert values["defaultAirflowTag"].startswith(f"{version}-")


def test_every_image_has_a_tag_that_is_not_latest(values: dict[str, Any], page: str) -> None:
    tags = [str(value) for path, value in leaves(values) if path[-1].lower().endswith("tag")]
    assert tags
    assert not [tag for tag in tags if "latest" in tag or not re.search(r"\d", tag)]
    assert re.search(r"--version \d+\.\d+\.\d+ ", page), "the page installs a chart of no certain version"


def test_each_task_is_a_pod_with_limits(values: dict[str, Any]) -> None:
    assert values["executor"] == "KubernetesExecutor"
    assert values["workers"]["kubernetes"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    "component",
    ["apiServer", "dagProcessor", "migrateDatabaseJob", "pgbouncer", "scheduler", "statsd", "triggerer"],
)
def test_each_component_says_what_it_needs(values: dict[str, Any], component: str) -> None:
    resources = values[component]["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("component", ["apiServer", "pgbouncer", "scheduler", "triggerer"])
def test_there_are_two_of_each_and_never_both_away(values: dict[str, Any], component: str) -> None:
    assert values[component]["replicas"] == 2
    assert values[component]["podDisruptionBudget"]["enabled"] is True


def test_tasks_may_call_the_api_server(values: dict[str, Any]) -> None:
    """With network policies and an empty list, the chart's own policy shuts out every task."""
    assert values["networkPolicies"]["enabled"] is True
    callers = values["apiServer"]["networkPolicy"]["ingress"]["from"]
    assert {"podSelector": {"matchLabels": {"tier": "airflow"}}} in callers


def test_the_tables_have_every_setting_of_the_sandbox_with_its_value_and_upstreams(page: str) -> None:
    options = upstream()
    told = {}
    for row in ROW.finditer(page):
        # A value too long for a line stands in two pieces.
        here = row["here"].replace("` `", "").strip("`")
        told[f"{row['section']}__{row['option']}".upper()] = (here, row["upstream"].strip("`"))
    meant = {}
    for key, value in (QUICK | PATIENT | SAFE).items():
        section, option = key.lower().split("__", 1)
        meant[key] = (value, str(options[section][option]["default"] or "none"))
    assert told == meant


def test_the_containers_have_the_same_settings_and_listen_where_they_reach_each_other() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    there = {
        key.removeprefix("AIRFLOW__"): str(value)
        for key, value in compose["x-environment"].items()
        if key.startswith("AIRFLOW__")
    }
    sandbox = QUICK | PATIENT | SAFE | {"API__HOST": "0.0.0.0"}
    assert {key: there.get(key) for key in sandbox} == sandbox


def test_every_chapter_that_the_page_links_to_exists(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", page)
    chapters = [target for target in targets if target.endswith((".ipynb", ".md"))]
    assert len(set(chapters)) > 5
    assert not [chapter for chapter in chapters if not (PAGE.parent / chapter).resolve().is_file()]
    inside = [target for target in targets if "/" not in target and not target.endswith((".ipynb", ".md"))]
    assert not [target for target in inside if f"({target})=\n" not in page]


def test_every_part_of_the_values_is_shown_once_and_none_is_empty(page: str) -> None:
    text = VALUES.read_text()
    shown = []
    for include in INCLUDE.finditer(page):
        assert (PAGE.parent / include["path"]).resolve() == VALUES
        options = dict(re.findall(r":([a-z-]+): \"?([^\"\n]+)\"?\n", include["options"]))
        start, end = options["start-after"], options["end-before"]
        assert text.count(start) == text.count(end) == 1
        assert text.split(start)[1].split(end)[0].strip()
        shown.append(start)
    assert sorted(shown) == sorted(re.findall(r"# \[\w+\]", text))
