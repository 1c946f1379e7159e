"""What the folder of a finished run keeps of its items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from recbole.config import Config

from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.items.items import Items
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.semantic_ids.fit import IDS
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.features import FEATURES, read_kept


class NotKept(Exception):
    """A run's folder does not have all that its model is built from. The message names what it lacks."""


def items_of_run(config: Config, catalogue: Catalogue, needs: Iterable[str]) -> Items:
    """What a model of a finished run (or of a part of one) needs of the items, as the run's folder keeps it.

    Args:
        config: of the run, whose `run_dir` is read.
        catalogue: the run's items.
        needs: names of attributes of `Items`.

    Raises:
        NotKept: it has to be made from the data set.
        UserError: a file is damaged, of another run, or gone.
    """
    folder = Path(config["run_dir"])
    readers: dict[str, Callable[[Path, Catalogue], Any]] = {
        "text_vectors": _text_vectors,
        "semantic_ids": _semantic_ids,
    }
    for name in needs:
        if name not in readers:
            raise NotKept(f"the items' {name.replace('_', ' ')}")
    return Items(**{name: readers[name](folder, catalogue) for name in needs})


def _text_vectors(folder: Path, catalogue: Catalogue) -> np.ndarray:
    path = folder / FEATURES
    if not path.is_file():
        raise NotKept("the items' text vectors")
    vectors = read_kept(folder)
    if len(vectors) != len(catalogue.item_tokens):
        raise UserError(
            f"{path} holds {len(vectors):,} text vectors, but the run has {len(catalogue.item_tokens):,} items: one of "
            f"the two files comes from another run."
        )
    return vectors


def _semantic_ids(folder: Path, catalogue: Catalogue) -> SemanticIds:
    if not (folder / IDS).is_file():  # the model knows no other ids
        raise UserError(f"{folder / IDS} is gone: without its semantic ids the run can't be used. Train again.")
    return SemanticIds.load(folder / IDS, catalogue.item_tokens.astype(str))
