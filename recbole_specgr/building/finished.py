"""The model of a finished run, from what the run's folder keeps where that suffices."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_specgr.building.build import build_model, model_of
from recbole_specgr.building.plan import Plan, plan_model
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.items.items import Items
from recbole_specgr.items.kept import NotKept, items_of_run
from recbole_specgr.models.contract import ModelContract
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.record import RESULT
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


def build_finished(config: Config) -> tuple[Catalogue, Any]:
    """The items of the run that `config` is of, and its model with parameters that are not the run's yet.

    Raises:
        UserError: the data set is needed and not there, or has other items than the run, or a file of the run is
            damaged.
    """
    file = Path(config["run_dir"]) / ITEMS
    if not file.is_file():  # a run of an earlier version
        train, _, test = _views(config)
        return Catalogue.from_dataset(config, test), model_of(config, train)
    catalogue = Catalogue.load(file)
    plan = plan_model(config, catalogue)
    try:
        return catalogue, _from_run(plan, catalogue)
    except NotKept as reason:
        getLogger().info(f"{config['model']} is built from the data set: it reads {reason}, which no run keeps.")
        train = _views(config)[0]
        catalogue.check_same_items(train)
        if any(part.model_class.reads_interactions for part in plan.named().values()):
            _check_same_interactions(config, train)
        return catalogue, model_of(config, train)


def _from_run(plan: Plan, catalogue: Catalogue) -> Any:
    """Raises NotKept where the model reads more than the items that the run's folder keeps."""
    items: dict[str, Items] = {}
    for name, part in plan.named().items():
        if part.model_class.reads_interactions:
            raise NotKept("the interactions")
        items[name] = items_of_run(part.config, catalogue, part.model_class.needs)
    try:
        return build_model(plan, catalogue, items)
    except AttributeError as error:
        if all(issubclass(part.config.model_class, ModelContract) for part in plan.named().values()):
            raise
        # RecBole's classes do not say what they read of a data set: it shows when a catalogue does not have it.
        raise NotKept(f"more than the items ({error})") from error


def _check_same_interactions(config: Config, view: InductiveDataset) -> None:
    """Raise UserError where the data set has other interactions than those that the run was tested with."""
    result = Path(config["run_dir"]) / RESULT
    if result.is_file() and read_record(result)["protocol"].get("fingerprint") != view.fingerprint:
        raise UserError(
            f"The data set [{view.dataset_name}] is not as it was when the run was trained: it has the same items, but "
            f"other interactions, and {config['model']} ranks by these. Bring its file back as it was, or train again."
        )


def _views(config: Config) -> list[InductiveDataset]:
    config.check_data()
    return InductiveDataset(config).build()
