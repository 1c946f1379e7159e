"""Ranking users: TIGER's beam search, SpecGR++'s draft and verify, and their parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.bench import Bench, K, Times
from recbole_specgr.backbones.transformers_weights import to_transformers
from recbole_specgr.decoding.beam_search import Beams, beam_search, step
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import DraftVerifyResult, draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.replay import Replay
from recbole_specgr.decoding.token_verification import TokenVerification
from recbole_specgr.models.generative_recommender import DECODING_PRECISIONS

ALL, NONE = -1e9, 0.0  # thresholds by which everything or nothing is accepted


def verify(model, users, index, settings: DraftVerifySettings) -> DraftVerifyResult:
    """Draft-verify of encoded users, without what a model does around it."""
    static = users.draft_scores.device.type != "cpu"
    width = settings.num_beams + settings.draft_size
    prefixes = PrefixStore(model.backbone, users.memory, index, model.digit_columns, width, static)
    verification = TokenVerification(prefixes, model.seen, settings.for_verification(K))
    pool = DraftPool.of_candidates(index.items, users.draft_scores)
    result = draft_verify(verification, pool, K, settings, users_leave=not static)
    result.check()
    return result


def speculate(model, batch, index, settings: DraftVerifySettings) -> DraftVerifyResult:
    return verify(model, model.encode_users(batch), index, settings)


def thresholds(model, batch, index) -> dict[str, float]:
    """How many drafts are accepted, and a threshold by which it is so for these users."""
    first, best = (
        speculate(model, batch, index, DraftVerifySettings(K, K, ALL, adaptive_exit=exits)).scores.flatten()
        for exits in (True, False)
    )
    few, half = float(best.quantile(0.5)), float(first.quantile(0.5))
    return {"none accepted": NONE, "few accepted": few, "half accepted": half, "all accepted": ALL}


def generate(model, batch, index) -> Tensor:
    return beam_search(model.backbone, model.read(batch).memory, index, model.digit_columns, K, K).items


def recorded(model, run: Callable[[], object]) -> Callable[[], object]:
    """`run`, the decoding in it being replayed as a CUDA graph."""
    replay = Replay()

    def replayed() -> object:
        model.replay = replay
        try:
            return run()
        finally:
            model.replay = None

    replayed()  # what comes once is not recorded
    return replayed


def rank(model, batch, candidates, settings: DraftVerifySettings) -> Tensor:
    """The lists of `speculate`, by the model's own method."""
    model.change_decoding(
        {
            "draft_size": settings.draft_size,
            "num_beams": settings.num_beams,
            "accept_threshold": settings.accept_threshold,
        }
    )
    return model.full_sort_topk(batch, K, candidates)


def speed(users: int, taken: Times) -> list[str]:
    """Users a second, and milliseconds of a median and of a late batch."""
    return [f"{users / taken.median:.1f}", f"{1000 * taken.median:.0f}", f"{1000 * taken.late:.0f}"]


@torch.no_grad()
def tiger_decoding(bench: Bench):
    """Users a second of TIGER's beam search (50 beams, K = 50) against `generate` of transformers."""
    model, _, test = bench.model("TIGER")
    theirs = to_transformers(model.eval().backbone).to(bench.device)
    index = model.index(test.candidates.to(bench.device))
    rows, digits = [], len(model.digit_columns)
    options = {"num_beams": K, "num_return_sequences": K, "min_new_tokens": digits, "max_new_tokens": digits}
    for precision, dtype in DECODING_PRECISIONS.items():
        model.decode_in(precision)
        theirs.to(dtype)
        runs = {}
        for size in (1, 16, 32, 64):
            batch = bench.users(test, size)
            runs[f"TIGER, {precision}", size] = lambda b=batch: generate(model, b, index)
            if bench.device.type == "cuda":
                run = lambda b=batch: model.beam_search(model.read(b), index, K, K)  # noqa: E731
                runs[f"TIGER, {precision}, CUDA graph", size] = recorded(model, run)
        for size in (1, 4, 16):
            tokens = model.history_tokens(bench.users(test, size))
            inputs = {"input_ids": tokens, "attention_mask": (tokens > 0).long()}
            runs[f"transformers generate, {precision}", size] = lambda i=inputs: theirs.generate(**i, **options)
        best = {}
        for (name, size), taken in zip(runs, bench.times(*runs.values()), strict=True):
            best[name] = max(best.get(name, 0.0), size / taken.median)
            rows.append([name, size, *speed(size, taken)])
        *ours, their_best = best.values()
        rows.append(["ours / theirs, each at its best batch", "", f"{max(ours) / their_best:.1f} x", "", ""])
    return "TIGER, 50 beams, K = 50", ["what", "batch", "users/s", "p50 ms", "p95 ms"], rows


@torch.no_grad()
def specgr_decoding(bench: Bench):
    """SpecGR++ against our own TIGER on the same weights, by acceptance, draft size and batch."""
    model, _, test = bench.model("SpecGRPP")
    model.eval()
    candidates = test.candidates.to(bench.device)
    index, rows = model.index(candidates), []
    chosen = thresholds(model, bench.users(test, 32), index)
    for precision, size in itertools.product(DECODING_PRECISIONS, (1, 32)):
        model.decode_in(precision)
        batch = bench.users(test, size)
        draft_sizes = (50,) if bench.quick or precision != "fp32" else (20, 50, 100)
        settings = {
            (name, draft_size): DraftVerifySettings(draft_size, K, threshold)
            for draft_size, (name, threshold) in itertools.product(draft_sizes, chosen.items())
        }
        runs = {
            (name, own): lambda b=batch, s=own: speculate(model, b, index, s) for (name, _), own in settings.items()
        }
        if bench.device.type == "cuda":
            for (name, _), own in settings.items():
                run = lambda b=batch, s=own: rank(model, b, candidates, s)  # noqa: E731
                runs[f"{name}, CUDA graph", own] = recorded(model, run)
        base, *taken = bench.times(lambda b=batch: generate(model, b, index), *runs.values(), repeats=2 * bench.repeats)
        rows.append([f"TIGER, {precision}", "", size, *speed(size, base), "", "", "1.00"])
        for (name, own), times in zip(runs, taken, strict=True):
            result = speculate(model, batch, index, own)
            rounds = int(result.rounds.max())
            share = (result.accepted.sum(0) / result.drafted.sum(0).clamp(min=1))[:rounds].tolist()
            rows.append([
                f"SpecGR++, {name}", own.draft_size, size, *speed(size, times),
                " ".join(f"{part:.2f}" for part in share),
                f"{float(result.rounds.float().mean()):.1f}", f"{base.median / times.median:.2f}",
            ])  # fmt: skip
    header = ["what", "draft", "batch", "users/s", "p50 ms", "p95 ms", "accepted by round", "rounds", "x TIGER"]
    return "SpecGR++ against TIGER, 50 beams, K = 50", header, rows


@torch.no_grad()
def digits(bench: Bench):
    """Users a second by the length of the ids (the appendix' first figure)."""
    rows = []
    for number in (2, 4, 8) if bench.quick else (2, 4, 8, 16):
        tokenizer = {"method": "rqkmeans", "levels": number - 1, "codebook_size": 64}
        model, _, test = bench.model("SpecGRPP", tokenizer=tokenizer)
        index, batch = model.eval().index(test.candidates.to(bench.device)), bench.users(test, 32)
        runs = [lambda m=model, b=batch, i=index: generate(m, b, i)]
        for threshold in (NONE, ALL):
            own = DraftVerifySettings(K, K, threshold)
            runs.append(lambda m=model, b=batch, i=index, s=own: speculate(m, b, i, s))
        tiger, *ours = bench.times(*runs, repeats=3)
        rows.append([number, f"{32 / tiger.median:.1f}", *(f"{tiger.median / own.median:.2f} x" for own in ours)])
    return "by digits of an id, batches of 32", ["digits", "TIGER users/s", "none accepted", "all accepted"], rows


@torch.no_grad()
def subsets(bench: Bench):
    """Ranking inside a subset of the items: three ways (the appendix' second figure)."""
    model, _, test = bench.model("SpecGRPP")
    model.eval()
    batch, rows = bench.users(test, 32), []
    everything = test.candidates.nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(0)
    for size in (50, 200, len(everything)):
        chosen = everything[torch.randperm(len(everything), generator=generator)[:size]]
        subset = torch.zeros_like(test.candidates)
        subset[chosen] = True
        subset = subset.to(bench.device)
        index = model.index(subset)
        items = index.items.expand(32, -1)
        ways = (
            lambda c=subset, y=items: model.score_items(batch, y, c).topk(min(K, y.size(1))),
            lambda x=index: generate(model, batch, x),
            lambda x=index: speculate(model, batch, x, DraftVerifySettings(K, K, ALL)),
        )
        rows.append([f"{size:,}", *(f"{32 / taken.median:.1f}" for taken in bench.times(*ways, repeats=3))])
    header = ["items", "score all", "constrained beam search", "SpecGR++, all accepted"]
    return "users/s within a subset, batches of 32", header, rows


@torch.no_grad()
def phases(bench: Bench):
    """Where the time of a batch goes (Table A6): encoding, drafting, verifying."""
    model, _, test = bench.model("SpecGRPP")
    model.eval()
    index, batch = model.index(test.candidates.to(bench.device)), bench.users(test, 32)
    users = model.encode_users(batch)
    parts = (
        ("encode histories", lambda: model.read(batch)),
        ("draft", lambda: model.draft_scores(batch, users).topk(K)),
        ("verify, one round", lambda: verify(model, users, index, DraftVerifySettings(K, K, ALL))),
        ("verify and guide, all rounds", lambda: verify(model, users, index, DraftVerifySettings(K, K, NONE))),
    )
    rows = [[name, f"{1000 * bench.median(run) / 32:.2f}"] for name, run in parts]
    width = min(K, index.levels[1].nodes)
    nodes = torch.rand(32, index.levels[1].nodes, device=bench.device).topk(width, dim=1).indices
    beams = Beams(nodes, torch.zeros_like(nodes), torch.zeros(32, width, device=bench.device))
    columns = model.digit_columns[1]
    log_probs = torch.randn(32, width, columns.stop - columns.start, device=bench.device).log_softmax(2)
    seconds = bench.median(lambda: step(beams, log_probs, index, 1, columns.start, K))
    rows.append(
        [
            f"one constrained top-k, {width} beams, up to {index.levels[1].max_children} children",
            f"{1000 * seconds / 32:.2f}",
        ]
    )
    return "SpecGR++, ms a user in a batch of 32", ["phase", "ms/user"], rows
