"""What tests of recommendations share: tiny runs, a run without its unseen items, and lists compared up to ties."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from recbole_specgr.quick_start import run_recbole
from recbole_specgr.serving import Recommendations, Recommender
from recbole_specgr.serving.changes import Changes

TINY = {
    "show_progress": False,
    "use_gpu": False,
    "text_dim": 16,
    "topk": [5, 10],
    "valid_metric": "NDCG@10",
    "eval_step": 0,
    "epochs": 3,
    "train_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 10,
}
TINY_SPECGR = {
    **TINY,
    "warmup_steps": 5,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "num_beams": 10,
    "draft_size": 10,
    "accept_threshold": -3.45,
    "tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 3},
    "stages": {"pretrain": {}, "finetune": {"epochs": 1}},
    "tune": None,
}
TINY_SASREC = {**TINY, "epochs": 1, "hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2}

HISTORIES = [[f"i{n * step % 80}" for step in range(1, 2 + n % 13)] for n in range(1, 90)]


def train(folder: Path, model: str, settings: dict) -> Path:
    """Train on `folder/dataset/tiny` and return the run."""
    places = {"data_path": "dataset", "runs_path": "runs", "cache_path": "cache"}
    places = {key: str(folder / name) for key, name in places.items()}
    return Path(run_recbole(model, "tiny", config_dict={**settings, **places})["run_dir"])


def content(run: Path) -> dict[str, str]:
    """Every file of a folder and a digest of what is in it."""
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.rglob("*"))
        if file.is_file()
    }


def forget_unseen(recommender: Recommender) -> list[str]:
    """Leave a recommender as if its run's data had never had the unseen items; returns them, in their order."""
    state = recommender._state
    unseen = [row for row in range(1, len(state.catalogue.seen)) if not state.catalogue.seen[row]]
    tokens = state.catalogue.item_tokens[unseen].tolist()
    as_if_added = replace(state, changes=replace(state.changes, n_trained=1))
    without = as_if_added.without_items(unseen)
    recommender._state = replace(without, changes=Changes.none(without.catalogue))
    return tokens


def assert_same(first: Recommendations, second: Recommendations) -> None:
    """The same to the last digit."""
    assert first.items == second.items
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.rounds, second.rounds)


def assert_same_up_to_ties(first: Recommendations, second: Recommendations, tolerance: float = 1e-6) -> None:
    """The same scores at every place, and the same items wherever no other item has the same score."""
    np.testing.assert_allclose(first.scores, second.scores, atol=tolerance)
    for ours, theirs, scores in zip(first.items, second.items, first.scores):
        assert len(ours) == len(theirs)
        scores = scores[: len(ours)]
        if np.isnan(scores).any():
            assert ours == theirs
            continue
        above_the_cut = scores > scores[-1] + 2 * tolerance if len(scores) else scores
        groups = np.cumsum(np.r_[False, np.abs(np.diff(scores)) > 2 * tolerance])[above_the_cut]
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            assert {ours[place] for place in places} == {theirs[place] for place in places}
