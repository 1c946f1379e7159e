"""Building a planned model, with what it needs of the items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.data.dataset import Dataset

from recbole_specgr.building.collaborative import collaborative_of
from recbole_specgr.building.plan import Plan, plan_model
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.items.items import Items
from recbole_specgr.items.make import make_items
from recbole_specgr.models.contract import LIST_SETTINGS, Part
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


def make_planned_items(plan: Plan, view: Dataset) -> dict[str, Items]:
    """What the model and each of its parts need of the items, made from the train view `view` and kept in the run's
    folder; by the names of `Plan.named`. Raises what `make_items` raises."""
    return {
        name: make_items(part.config, view, part.model_class.needs, collaborative_of(part.config, view), part.ids_from)
        for name, part in plan.named().items()
    }


def build_model(plan: Plan, dataset: Dataset | Catalogue, items: Mapping[str, Items], name: str = "") -> Any:
    """The planned model: new parameters, drawn from torch's global generator, but for what it takes over from finished
    runs.

    Args:
        dataset: the train view, or the items of a finished run that stand in for it.
        items: of the model and each of its parts, by the names of `Plan.named`.
        name: of this plan among them.

    Raises:
        UserError: settings that don't fit each other; a finished run whose parameters don't fit.
    """
    parts = {}
    for key, part in plan.parts.items():
        built = build_model(part, dataset, items, f"{name}/{key}" if name else key)
        parts[key] = Part(built, part.config, part.taken)
    try:
        model = plan.model_class.build(plan.config, dataset, items[name], parts)
    except UserError:
        raise
    except ValueError as error:  # sizes that do not fit each other, such as a width and a number of attention heads
        raise UserError(f"[{plan.config['model']}] can't be built with these settings: {error}.") from error
    if plan.model_class.compares_items and not name:  # lists of a part are what the whole is made of
        model.change_decoding({key: plan.config[key] for key in LIST_SETTINGS})
    if plan.trained_before:
        model.trained_before = True
    if plan.checkpoint:
        restore_model(model, load_checkpoint(plan.checkpoint), plan.checkpoint, plan.trained_as)
    return model


def model_of(config: Config, view: Dataset) -> Any:
    """The model of the settings, from the train view `view`: planning, items and building in one step."""
    plan = plan_model(config, view)
    return build_model(plan, view, make_planned_items(plan, view))
