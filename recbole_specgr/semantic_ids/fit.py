"""Semantic ids of a data set: read from the run, or encoded by a tokenizer that is cached or fitted now."""

import json
from logging import getLogger
from pathlib import Path

import faiss
import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset

from recbole_specgr.cache import atomic_write, content_key
from recbole_specgr.distributed import first_rank_first
from recbole_specgr.errors import UserError
from recbole_specgr.semantic_ids import health
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.semantic_ids.tokenizer import Tokenizer, build_tokenizer, load_tokenizer

_FORMAT = 1  # raise it whenever a tokenizer computes other codes from the same input and settings


def load_semantic_ids(config: Config, dataset: Dataset, features: np.ndarray) -> SemanticIds:
    """Return the semantic ids of all items.

    A run directory that holds `semantic_ids.npz` keeps its own.  Otherwise the tokenizer that `config["tokenizer"]`
    describes is fitted on the seen items' features (or taken from the cache), encodes all items, and the run directory,
    if there is one, receives `semantic_ids.npz`, `tokenizer.npz` (encodes items that arrive later) and
    `semantic_ids.json` (the report of `health.measure`).

    Args:
        config: uses tokenizer, seed, run_dir, cache_path, device, show_progress.
        dataset: gives `seen` (bool tensor [n_items]) and the items' tokens.
        features: float32 [n_items, d]; row 0 is padding.

    Raises:
        CollapsedTokenizer: the codes tell the items apart too badly.
        UserError: wrong settings, more codes than seen items, or a run directory made for other items.
    """
    item_tokens = np.asarray(dataset.field2id_token[dataset.iid_field], dtype=str)
    run_dir = Path(config["run_dir"]) if config["run_dir"] else None
    with first_rank_first():
        if run_dir and (run_dir / "semantic_ids.npz").is_file():
            return SemanticIds.load(run_dir / "semantic_ids.npz", item_tokens)
        seen = np.asarray(dataset.seen, dtype=bool)
        tokenizer = _fitted(config, features[seen])
        ids = SemanticIds.from_codes(tokenizer.encode(features), tokenizer.codebook_sizes, seen, item_tokens)
        report = health.measure(ids, seen, features, tokenizer.possible_codes)
        getLogger().info(health.summary(report))
        health.check(report, config["tokenizer"]["min_utilisation"])
        if run_dir:
            tokenizer.save(run_dir / "tokenizer.npz")
            with atomic_write(run_dir / "semantic_ids.json") as temporary:
                temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            ids.save(run_dir / "semantic_ids.npz")
    return ids


def _fitted(config: Config, features: np.ndarray) -> Tokenizer:
    """The tokenizer fitted on `features` [n_seen, d], from the cache if the same one was fitted before."""
    tokenizer = build_tokenizer(config["tokenizer"])
    versions = torch.__version__, faiss.__version__
    key = content_key(_FORMAT, tokenizer, versions, config["seed"], np.asarray(features, dtype=np.float32))
    path = Path(config["cache_path"]) / "tokenizers" / f"{tokenizer.method}-{key}.npz"
    if path.is_file():
        try:
            tokenizer = load_tokenizer(path)
            getLogger().info(f"The {tokenizer.method} tokenizer comes from {path}.")
            return tokenizer
        except UserError as error:
            getLogger().warning(f"{error} It is fitted again.")
    tokenizer.fit(features, config["seed"], config["show_progress"], config["device"])
    tokenizer.save(path)
    return tokenizer
