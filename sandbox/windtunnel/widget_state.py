"""Widgets in a committed notebook: kept, so that the book draws them, under names that every run gives again.

ipywidgets names each model by a random uuid. A view (in an output) names its model; a model's state names
other models as ``IPY_MODEL_<id>``. Models are renamed in the order in which a reader meets them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from nbformat import NotebookNode

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"

# Links tie two models together and are named by neither.
_LINKS = {"LinkModel", "DirectionalLinkModel"}


def rename(nb: NotebookNode) -> None:
    """Rename the widgets of ``nb`` in place, and drop the models that no output shows.

    The n-th model met has the id ``n`` in 32 hexadecimal digits, the form of the ids it replaces.
    """
    widgets = nb.metadata.get("widgets", {}).get(STATE)
    if not widgets:
        nb.metadata.pop("widgets", None)
        return
    models: dict[str, Any] = widgets["state"]
    for model in models.values():
        if model.get("model_name") == "OutputModel":
            # The id of the message being captured; only meaningful to the kernel that ran it.
            model["state"]["msg_id"] = ""
        if model.get("model_name") == "LayoutModel":
            # Forty properties, nearly all null, which is also what a missing one means.
            model["state"] = {key: value for key, value in model["state"].items() if value is not None}
    any_id = re.compile("|".join(sorted(map(re.escape, models)))) if models else re.compile(r"(?!)")

    order: list[str] = []

    def meet(thing: object) -> None:
        for found in any_id.findall(json.dumps(thing, sort_keys=True)):
            if found not in order:
                order.append(found)
                meet(models[found])

    for cell in nb.cells:
        for output in cell.get("outputs", []):
            meet(output.get("data", {}).get(VIEW))
    for link in _links(models, order, any_id):
        if link not in order:
            order.append(link)
            meet(models[link])

    names = {old: f"{number:032x}" for number, old in enumerate(order, start=1)}

    def renamed(thing: object) -> Any:
        text = any_id.sub(lambda match: names.get(match[0], match[0]), json.dumps(thing))
        return json.loads(text)

    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if VIEW in output.get("data", {}):
                output.data[VIEW] = renamed(output.data[VIEW])
    if order:
        widgets["state"] = {names[old]: renamed(models[old]) for old in order}
    else:
        del nb.metadata["widgets"]


def _links(models: dict[str, Any], order: list[str], any_id: re.Pattern[str]) -> list[str]:
    """Links between models already met, sorted by what they tie together, not by their random ids."""
    place = {model: f"{number:08d}" for number, model in enumerate(order)}
    found = []
    for name, model in models.items():
        text = json.dumps(model, sort_keys=True)
        if model.get("model_name") in _LINKS and any(known in place for known in any_id.findall(text)):
            found.append((any_id.sub(lambda match: place.get(match[0], ""), text), name))
    return [name for _, name in sorted(found)]
