"""An answer run as a notebook's cell: what it printed and displayed, in nbformat's form.

`shown` happens locked in, in a process of the answer's own; `show` reads its report without trusting it.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from windtunnel.engine import learner, limits
from windtunnel.engine.logs import one_line
from windtunnel.engine.scheduler import Place

Output = dict[str, Any]
_STREAMS = ("stdout", "stderr")
_DISPLAYS = ("display_data", "execute_result")


class Flooded(BaseException):
    """The cell has shown more than there is room for. No ``Exception``: an answer's ``except`` is not for it."""

    def __init__(self) -> None:
        super().__init__(f"it showed more than {limits.SHOWN >> 20} MB of text")


class _Page:
    """The outputs of the cell so far."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.error: dict[str, Any] | None = None
        self._left = limits.SHOWN

    def stream(self, name: str, text: str) -> None:
        self._take(text)
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == name:
            last["parts"].append(text)
        else:
            self.outputs.append({"output_type": "stream", "name": name, "parts": [text]})

    def display(self, kind: str, data: Any, metadata: Any) -> None:
        self._take(json.dumps([data, metadata], default=str))
        self.outputs.append({"output_type": kind, "data": data, "metadata": metadata})

    def _take(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise Flooded


class _Stream(io.TextIOBase):
    """Standard output or error, onto the page."""

    def __init__(self, page: _Page, name: str) -> None:
        self._page, self._name = page, name

    def write(self, text: str) -> int:
        self._page.stream(self._name, text)
        return len(text)


def shown(answer: Path) -> dict[str, Any]:
    """``{"outputs": […], "error": None or {"raised": text, "line": number}}``."""
    page = _Page()
    shell = _shell(page)
    sys.stdout, sys.stderr = _Stream(page, "stdout"), _Stream(page, "stderr")
    shell.run_cell(answer.read_text(encoding="utf-8"), store_history=False)
    for output in page.outputs:
        if "parts" in output:
            output["text"] = "".join(output.pop("parts"))
    return {"outputs": page.outputs, "error": page.error}


def _shell(page: _Page) -> Any:
    """IPython as a kernel has it, without its files and threads."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type
    from traitlets.config import Config

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, metadata: Any = None, *_: Any, update: bool = False, **__: Any) -> None:
            if not update:  # a display that changes is known by what it showed first
                page.display("display_data", data, metadata or {})

        def clear_output(self, wait: bool = False) -> None:
            del wait
            page.outputs.clear()

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            pass

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            page.display("execute_result", format_dict, md_dict or {})

        def finish_displayhook(self) -> None:
            pass

    class Shell(InteractiveShell):
        display_pub_class = Type(Publisher)
        displayhook_class = Type(Hook)

        def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
            del stb
            name = "Stopped" if isinstance(evalue, Flooded) else etype.__name__
            page.error = {"raised": f"{name}: {evalue}"[: limits.LINE], "line": _line(evalue)}

    config = Config()
    config.HistoryManager.enabled = False
    return Shell.instance(config=config)


def _line(error: Any) -> int | None:
    """The line of the cell in which it raised."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<ipython-input"):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1] if lines else None


def show(place: Place) -> list[Output]:
    """The outputs of the answer, run as a cell. Raises Stopped when it raises, shows too much, or takes too long."""
    doing = "running your cell"
    reply = learner.ask(lambda: shown(place.answer), place.cell, place.environment, doing, place.seconds)
    if "raised" in reply:  # by what runs the cell: the cell's own errors are in the report
        raise learner.Stopped(str(reply["raised"]))
    report = reply["returned"]
    error = report.get("error") if isinstance(report, dict) else None
    if isinstance(error, dict):
        line = f" (line {error['line']} of {place.answer.name})" if isinstance(error.get("line"), int) else ""
        raise learner.Stopped(f"{one_line(str(error.get('raised')))}{line}")
    outputs = report.get("outputs") if isinstance(report, dict) else None
    if not isinstance(outputs, list) or not all(map(_is_output, outputs)):
        raise learner.Stopped("What the cell showed is not what a notebook can hold.")
    return outputs


def _is_output(output: Any) -> bool:
    if not isinstance(output, dict):
        return False
    if output.get("output_type") == "stream":
        keys = {"output_type", "name", "text"}
        return set(output) == keys and output["name"] in _STREAMS and isinstance(output["text"], str)
    if output.get("output_type") in _DISPLAYS:
        data, metadata = output.get("data"), output.get("metadata")
        return (
            set(output) == {"output_type", "data", "metadata"}
            and isinstance(metadata, dict)
            and isinstance(data, dict)
            and all(isinstance(value, str) or mime.endswith("json") for mime, value in data.items())
        )
    return False
