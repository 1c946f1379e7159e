"""Collaborative vectors of the items for a tokenizer: of a finished run, or of the training interactions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from recbole.config import Config

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.items.collaborative import from_interactions, reduced
from recbole_specgr.runs.checkpoint import load_checkpoint
from recbole_specgr.runs.folder import check_finished, checkpoint_of, read_config, read_settings, why_no_run
from recbole_specgr.system.errors import UserError

EMBEDDING = "item_embedding.weight"  # what RecBole's models and HSTU call it


def collaborative_of(config: Config, view: InductiveDataset) -> Callable[[int], np.ndarray]:
    """A function from a width to float32 `[n_items, width]`. It makes the vectors when it is called.

    Args:
        config: of the model that the tokenizer is for. `collaborative` in the group of settings of its
            `tokenizer.method` names a finished run of a model with item embeddings; without it, the training
            interactions are decomposed.
        view: the train view.
    """

    def vectors(width: int) -> np.ndarray:
        method = config["tokenizer"]["method"]
        run = config["tokenizer"][method].get("collaborative")
        if run is None:
            return from_interactions(view, width)
        return _of_run(Path(run), view, width, f"[tokenizer.{method}.collaborative]")

    return vectors


def _of_run(run: Path, view: InductiveDataset, width: int, setting: str) -> np.ndarray:
    """The item embeddings of a run, reduced to `width`; 0 for items that it does not know.

    Raises:
        UserError: the run is not finished, is of other data, or has no item embeddings.
    """
    if (why := why_no_run(run)) is not None:
        raise UserError(f"{setting}: {why}")
    check_finished(run, read_settings(run)["model"], view, setting)
    settings = read_config(run)
    state = load_checkpoint(checkpoint_of(run, settings))["state_dict"]
    if EMBEDDING not in state or not (run / ITEMS).is_file():
        raise UserError(
            f"{setting}: {run} is a run of {settings['model']}, which has no item embeddings ({EMBEDDING}). Name a run "
            f"of SASRec, or leave the setting out."
        )
    table = state[EMBEDDING].float().numpy()
    row_of = {token: row for row, token in enumerate(Catalogue.load(run / ITEMS).item_tokens)}
    tokens = view.field2id_token[view.iid_field]
    rows = np.array([row_of.get(str(token), 0) for token in tokens])
    seen = view.seen.numpy() & (rows > 0) & (rows < len(table))
    vectors = np.zeros((len(tokens), width), dtype=np.float32)
    vectors[seen] = reduced(table[rows[seen]].T.astype(np.float64), width)
    return vectors
