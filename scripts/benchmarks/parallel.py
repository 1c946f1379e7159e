"""Ranking by digits that are predicted all at once: RPG, its graph-guided search, and SpecGR that it verifies."""

from __future__ import annotations

import time

import torch

from benchmarks.bench import Bench, K
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings

USERS = 256
TOKENIZER = {"method": "opq", "levels": 32, "codebook_size": 256, "opq": {"components": 128, "whiten": True}}


@torch.no_grad()
def parallel_digits(bench: Bench):
    """Users a second of RPG with 32 digits on catalogues of made-up codes, batches of 256."""
    model, _, test = bench.model("RPG", sizes={}, tokenizer=TOKENIZER)
    model.eval()
    batch, rows = bench.users(test, USERS), []
    for n in (12_000,) if bench.quick else (12_000, 100_000):
        rows += _catalogue(bench, model, batch, n)
    return "32 digits predicted at once, K = 50", ["items", "what", "users/s", "build s"], rows


def _catalogue(bench: Bench, model, batch, n: int) -> list[list[str]]:
    generator = torch.Generator().manual_seed(0)
    digits, size, _ = model.digit_embedding.shape
    model.codes = torch.randint(size, (n + 1, digits), generator=generator).to(bench.device)
    model.seen = (torch.rand(n + 1, generator=generator) < 0.9).to(bench.device)
    model.items_changed()
    candidates = torch.arange(n + 1, device=bench.device) > 0
    drafter = torch.randn(USERS, n + 1, generator=generator).to(bench.device)
    settings = DraftVerifySettings(draft_size=K, accept_threshold=-1e9)
    started = time.perf_counter()
    model.graph(candidates)
    build = time.perf_counter() - started

    def rank(graph_search: bool):
        model.change_decoding({"graph_search": graph_search})
        return model.rank_users(model.encode_users(batch), K, candidates)

    def speculate(threshold: float):
        own = DraftVerifySettings(draft_size=K, accept_threshold=threshold)
        verification = model.verification(model.read(batch).memory, candidates, settings.for_verification(K))
        pool = DraftPool.of_candidates(model.candidate_items(candidates), drafter)
        return draft_verify(verification, pool, K, own, users_leave=True)

    runs = {
        "read histories": lambda: model.encode_users(batch),
        "RPG, exactly": lambda: rank(False),
        "RPG, graph-guided search": lambda: rank(True),
        "SpecGR, all accepted": lambda: speculate(-1e9),
        "SpecGR, none accepted": lambda: speculate(0.0),
    }
    return [
        [f"{n:,}", name, f"{USERS / taken.median:,.0f}", f"{build:.1f}" if "graph" in name else ""]
        for name, taken in zip(runs, bench.times(*runs.values(), repeats=3), strict=True)
    ]
