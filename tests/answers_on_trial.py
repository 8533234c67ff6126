"""What the engine makes of a text that is handed in as an answer."""

import json
import textwrap
from pathlib import Path

from windtunnel.engine.client import judged

_CRITERIA = """
import json
from dataclasses import asdict
from windtunnel.evidence import Case, NotJudged

def test_it(submission):
    \"\"\"What is seen\"\"\"
    cases = json.loads({cases!r})
    if cases is None:
        seen = asdict(submission.dag)
    else:
        seen = [asdict(run) for run in submission.runs(*(Case(**case) for case in cases))]
    raise AssertionError("seen " + json.dumps(seen, default=sorted))
"""


def on_trial(
    folder: Path, text: str | bytes, *cases: dict, seconds: float = 20.0, shape: bool = False, **order
):
    """The evidence as data: one entry for each case, or the DAG's ``shape``. A text says why there is none."""
    folder.mkdir(exist_ok=True)
    answer, criteria = folder / "answer.py", folder / "test_criteria.py"
    answer.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
    asked = None if shape else json.dumps(cases or [{"date": "2026-03-02"}])
    criteria.write_text(_CRITERIA.format(cases=asked if asked else "null"))
    full = {
        "answer": str(answer),
        "criteria": str(criteria),
        "only": None,
        "time_limit": 120.0,
        "seconds": seconds,
        "jobs": 1,
    } | order
    found = judged(full)
    assert not found["broken"], found["broken"]
    [criterion] = found["criteria"]
    message = criterion["message"]
    return json.loads(message.removeprefix("seen ")) if message.startswith("seen ") else message
