"""Making what models need of the items, from the data set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset

from recbole_specgr.items.items import Items
from recbole_specgr.semantic_ids import SemanticIds, load_semantic_ids
from recbole_specgr.semantic_ids.fit import Collaborative
from recbole_specgr.text.attribute_tokenizer import load_attribute_tokenizer
from recbole_specgr.text.features import load_text_features
from recbole_specgr.text.item_text import attribute_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def make_items(
    config: Config, view: Dataset, needs: Iterable[str], collaborative: Collaborative, ids_from: str | None = None
) -> Items:
    """What `needs` names of the items, from the run's folder or the cache where it was made before.

    The run's folder, if there is one, keeps what is made.

    Args:
        config: settings of the model that needs it.
        view: the train view.
        needs: names of attributes of `Items`.
        collaborative: makes what a tokenizer may want to know of the items from who used them.
        ids_from: where the semantic ids come from, in place of the setting `semantic_ids`.

    Raises:
        UserError: text that can't be encoded, settings that make no usable ids, ids of other items.
    """

    @functools.cache
    def text_vectors() -> np.ndarray:
        return load_text_features(config, view)

    def semantic_ids() -> SemanticIds:
        return load_semantic_ids(config, view, text_vectors, ids_from, collaborative)

    @functools.cache
    def attributes() -> dict[str, list[str]]:
        return attribute_texts(view, config["text_fields"])

    def attribute_tokenizer() -> Tokenizer:
        return load_attribute_tokenizer(config, attributes(), view.seen)

    makers: dict[str, Callable[[], Any]] = {
        "text_vectors": text_vectors,
        "semantic_ids": semantic_ids,
        "attributes": attributes,
        "attribute_tokenizer": attribute_tokenizer,
    }
    return Items(**{name: makers[name]() for name in needs})
