"""Ranking catalogues of up to a million items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from scaling.model import batch, made_up, peak_of

from benchmarks.bench import PAPER, Bench, K

USERS = 32
SMALL = 1000  # items that a model is built with before it is given larger tables


@torch.no_grad()
def scale(bench: Bench):
    """Users a second, what the first list takes more, and memory beside the tables, on made-up catalogues."""
    rows = []
    for name, (enlarge, settings) in MODELS.items():
        for items in (10_000, 100_000) if bench.quick else (10_000, 100_000, 1_000_000):
            rows.append([name, f"{items:,}", *_measured(bench, name.split(",")[0], enlarge, settings, items)])
    header = ["model", "items", "users/s", "first list, s", "MB beside the tables"]
    return f"lists of {K} for {USERS} users", header, rows


def _measured(bench: Bench, name: str, enlarge: Callable, settings: dict[str, Any], items: int) -> list[str]:
    from recbole_specgr.settings.config import Config

    settings = {"use_gpu": bench.device.type == "cuda", "MAX_ITEM_LIST_LENGTH": 20, **settings}
    config = Config(name, "ml-100k", config_dict=settings)
    model, view = made_up(config, SMALL, text_width=256)
    model, users = model.to(bench.device).eval(), batch(config, USERS, view).to(bench.device)
    enlarge(model, items + 1, torch.Generator().manual_seed(0))
    candidates = torch.arange(items + 1, device=bench.device) > 0

    def rank() -> torch.Tensor:
        return model.rank_users(model.encode_users(users), K, candidates).items

    first = bench.seconds(rank)
    taken = bench.times(rank, repeats=3)[0].median
    return [f"{USERS / taken:,.0f}", f"{max(first - taken, 0):.1f}", f"{peak_of(rank) / 1e6:,.0f}"]


def _with_ids(model: Any, n: int, generator: torch.Generator) -> None:
    """Distinct random codes on all levels but the identification digit's."""
    levels = model.digit_columns[:-1]
    size = levels[0].stop - levels[0].start
    number = torch.randint(size ** len(levels), (2 * n,), generator=generator).unique()
    number = number[torch.randperm(len(number), generator=generator)[:n]]
    digits = [number // size**place % size + level.start for place, level in enumerate(levels)]
    tokens = torch.stack([*digits, torch.full((n,), model.digit_columns[-1].start)], dim=1)
    tokens[0] = 0
    model.tokens, model.seen = tokens.to(model.tokens), _seen(n, generator).to(model.seen.device)
    model.n_items = n
    model.items_changed()


def _with_ids_and_vectors(model: Any, n: int, generator: torch.Generator) -> None:
    _with_ids(model, n, generator)
    vectors = F.normalize(torch.randn(n, model.backbone.config.d_model, generator=generator), dim=1)
    model._item_vectors = vectors.to(model.tokens.device)


def _with_vectors(model: Any, n: int, generator: torch.Generator) -> None:
    model._table = torch.randn(n, model.hidden_size, generator=generator).to(model.features.device)
    model.n_items = n


def _with_codes(model: Any, n: int, generator: torch.Generator) -> None:
    digits, size, _ = model.digit_embedding.shape
    model.codes = torch.randint(size, (n, digits), generator=generator).to(model.codes.device)
    model.seen, model.n_items = _seen(n, generator).to(model.seen.device), n
    model.items_changed()


def _seen(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(n, generator=generator) < 0.9


_IDS = {**PAPER, "tokenizer": {"levels": 3, "codebook_size": 256}}
MODELS: dict[str, tuple[Callable, dict[str, Any]]] = {
    "TIGER": (_with_ids, _IDS),
    "SpecGRPP": (_with_ids_and_vectors, _IDS),
    "SpecGRPP, draft_pool 1000": (_with_ids_and_vectors, {**_IDS, "draft_pool": 1000}),
    "UniSRec": (_with_vectors, {"hidden_size": 64}),
    "RPG": (_with_codes, {"tokenizer": {"levels": 32, "codebook_size": 256}}),
}
