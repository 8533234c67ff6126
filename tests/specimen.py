"""A page with one of everything that a chapter may hold, as a notebook with saved outputs."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

TEXT = r"""
# Specimen

Two jobs, one night. At 02:00 cron starts `load_orders`; files such as `orders.py` or orders.py are no links,
and from $5 to $7 is money. A [link](https://example.org/) goes out when it is clicked.

## Pictures

```mermaid
flowchart LR
  extract --> transform --> load
```

:::{mermaid}
sequenceDiagram
  scheduler->>worker: run it
  worker-->>scheduler: done
:::

Mean of $n$ values:

$$\bar{x} = \frac{1}{n}\sum_{i=1}^{n} x_i$$

## Asides

:::{note}
A note with `code`.
:::

:::{warning}
A warning.
:::

:::{tip}
:class: dropdown
A folded hint.
:::

::::{tab-set}
:::{tab-item} Airflow 3
`schedule=`
:::
:::{tab-item} Airflow 2
`schedule_interval=`
:::
::::

| setting | unit | default |
|---|---|--:|
| `retry_delay` | seconds | 300 |
| `retries` | tries | 0 |

> The report is green and empty. Nothing failed, so nobody was told.

## Cells
"""

DAG = """
%%dag
from airflow.sdk import dag, task

@dag(schedule="@daily", start_date=datetime(2026, 3, 1))
def orders():
    @task
    def extract() -> list[int]:  # three orders
        return [1, 2, 3]

    extract()


orders()
"""

STATES = [
    *("success", "failed", "running", "queued", "scheduled", "skipped", "upstream_failed"),
    *("up_for_retry", "up_for_reschedule", "deferred", "restarting", "removed", "none"),
]

ROWS = "".join(
    f'<tr><td><code>task_{number}</code></td><td><span class="wt-state wt-{state}">{state}</span></td>'
    f'<td class="wt-num">{number * 137}</td></tr>'
    for number, state in enumerate(STATES, 1)
)

TABLE = f"""
<div class="wt-scroll"><table class="wt-table">
<caption>orders, 2026-03-01</caption>
<thead><tr><th>task</th><th>state</th><th class="wt-num">rows</th></tr></thead>
<tbody>{ROWS}</tbody></table></div>
"""

CARDS = """
<div class="wt-card wt-ok"><p class="wt-title">3 of 3 points</p>
<p>A second run left 41 rows, as the first.</p></div>
<div class="wt-card wt-bad"><p class="wt-title">A second run doubled the rows</p>
<p>Seen 82, expected 41: <code>INSERT</code> adds to what is there.
<span class="wt-muted">criterion: idempotent</span></p></div>
<div class="wt-card wt-note"><p class="wt-title">Your bet</p><pre>a preformatted line</pre></div>
<div class="wt-card">
<p>Plain, with <span class="wt-ok">good</span> and <span class="wt-bad">bad</span>.</p></div>
"""

GRAPH = """
<svg class="wt-graph" viewBox="0 0 420 90" width="420" role="img" aria-label="extract, transform, load">
<path class="wt-edge" d="M140 45H170M280 45H310"/>
<path class="wt-arrow" d="M168 41l8 4-8 4zM308 41l8 4-8 4z"/>
<g class="wt-node wt-success"><rect x="36" y="25" width="104" height="40" rx="6"/>
<text x="88" y="49" text-anchor="middle">extract</text></g>
<g class="wt-node wt-failed"><rect x="176" y="25" width="104" height="40" rx="6"/>
<text x="228" y="49" text-anchor="middle">transform</text></g>
<g class="wt-node wt-upstream_failed"><rect x="316" y="25" width="104" height="40" rx="6"/>
<text x="368" y="49" text-anchor="middle">load</text></g>
</svg>
"""

GANTT = """
<svg class="wt-gantt" viewBox="0 0 420 96" width="420" role="img" aria-label="three bars">
<line class="wt-grid" x1="120" x2="120" y1="6" y2="76"/>
<line class="wt-grid" x1="260" x2="260" y1="6" y2="76"/>
<text x="8" y="24">extract</text>
<rect class="wt-bar wt-success" x="120" y="12" width="90" height="16" rx="3"/>
<text x="8" y="46">transform</text>
<rect class="wt-bar wt-queued" x="210" y="34" width="30" height="16" rx="3"/>
<rect class="wt-bar wt-failed" x="240" y="34" width="60" height="16" rx="3"/>
<text x="8" y="68">load</text>
<rect class="wt-bar wt-upstream_failed" x="300" y="56" width="4" height="16" rx="2"/>
<text class="wt-axis" x="120" y="90">02:00</text><text class="wt-axis" x="260" y="90">02:10</text>
</svg>
"""

FRAME = """
<table border="1" class="dataframe">
<thead><tr style="text-align: right;"><th></th><th>segment</th><th>customers</th><th>revenue</th></tr></thead>
<tbody><tr><th>0</th><td>VIP</td><td>12</td><td>9840.50</td></tr>
<tr><th>1</th><td>regular</td><td>230</td><td>18400.00</td></tr></tbody></table>
"""

# A picture of one opaque blue pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGPQnnwEAAJvAYObW3UbAAAAAElFTkSuQmCC"

TRACEBACK = [
    "\x1b[31mZeroDivisionError\x1b[39m                 Traceback (most recent call last)",
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[2]\x1b[39m, line 1",
    "\x1b[31mZeroDivisionError\x1b[39m: division by zero",
]


def specimen() -> NotebookNode:
    """The notebook, valid and with deterministic cell ids."""
    widget = {"model_id": "progress", "version_major": 2, "version_minor": 0}
    cells = [
        new_markdown_cell(TEXT.strip()),
        code(DAG.strip(), new_output("stream", name="stdout", text="orders: 1 task, no import error\n")),
        code("run.states()", html(TABLE)),
        code("check()", html(CARDS)),
        code("run.graph()", html(GRAPH)),
        code("run.gantt()", html(GANTT)),
        code("report", html(FRAME)),
        code("plot(report)", new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})),
        code(
            "1 / 0",
            new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=TRACEBACK),
        ),
        code(
            "print(*log)",
            new_output("stream", name="stdout", text="[2026-03-01 02:00:00] " + "a long line " * 20 + "\n"),
            new_output("stream", name="stderr", text="a word on stderr\n"),
        ),
        code("code_is_folded()", html("<p>out</p>"), tags=["hide-input"]),
        code("output_is_folded()", html("<p>folded output</p>"), tags=["hide-output"]),
        code("cell_is_not_on_the_page()", html("<p>absent</p>"), tags=["remove-cell"]),
        code("code_is_not_on_the_page()", html("<p>output alone</p>"), tags=["remove-input"]),
        code("output_is_compared_by_nobody()", html("<p>ignored by nbval</p>"), tags=["nbval-ignore-output"]),
        code(
            "run.watch()",
            new_output(
                "display_data", {"application/vnd.jupyter.widget-view+json": widget, "text/plain": "…"}
            ),
        ),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
            "widgets": {"application/vnd.jupyter.widget-state+json": progress_at_4_of_6()},
        },
    )


def code(source: str, *outputs: NotebookNode, tags: list[str] | None = None) -> NotebookNode:
    """A code cell that was run."""
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata={"tags": tags or []})


def html(text: str) -> NotebookNode:
    """An output in HTML, with its plain-text fallback."""
    return new_output("execute_result", {"text/html": text.strip(), "text/plain": "…"}, execution_count=1)


def progress_at_4_of_6() -> dict[str, Any]:
    """What a kernel saves for a progress bar with a label."""

    def model(name: str, package: str, state: dict[str, Any]) -> dict[str, Any]:
        module = f"@jupyter-widgets/{package}"
        return {"model_name": name, "model_module": module, "model_module_version": "2.0.0", "state": state}

    bar = {
        "value": 4,
        "max": 6,
        "description": "4 of 6 tasks",
        "bar_style": "success",
        "layout": "IPY_MODEL_layout",
        "style": "IPY_MODEL_style",
    }
    return {
        "version_major": 2,
        "version_minor": 0,
        "state": {
            "progress": model("IntProgressModel", "controls", bar),
            "layout": model("LayoutModel", "base", {}),
            "style": model("ProgressStyleModel", "controls", {"description_width": "initial"}),
        },
    }
