"""Plain one-user implementations of what the decoding engine does in batches: slow, and easy to believe."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_specgr.backbones import T5, DecoderOnly


class OneUser:
    """log p(token | prefix) of one history, by a whole decoder pass for each prefix."""

    def __init__(self, backbone: T5 | DecoderOnly, history: Tensor) -> None:
        self.backbone, self.history = backbone, history[None]
        self.encoded = backbone.encode(self.history)
        self.known: dict[tuple[int, ...], Tensor] = {}

    def log_probs(self, prefix: tuple[int, ...]) -> Tensor:
        if prefix not in self.known:
            labels = torch.tensor([[*prefix, 1]])
            logits = self.backbone.decode(self.encoded, self.history, labels)[0, -1]
            self.known[prefix] = logits.double().log_softmax(-1)
        return self.known[prefix]

    def score(self, tokens: list[int], length: int) -> float:
        """Eq. 2: mean log-probability of the first `length` tokens."""
        return sum(self.log_probs(tuple(tokens[:i]))[tokens[i]].item() for i in range(length)) / length

    def step(
        self, beams: list[tuple[tuple[int, ...], float]], prefixes: set, width: int, level: slice | None = None
    ) -> list:
        """One constrained beam step; `prefixes` are those of the candidates that are one token longer.

        `level`: the tokens that probabilities add up to 1 over; an empty slice stands for those that may follow.
        """
        longer = []
        for prefix, score in beams:
            following = sorted({p[-1] for p in prefixes if p[:-1] == prefix})
            log_probs = self.log_probs(prefix)
            if level is not None:
                share = log_probs[following] if level.start == level.stop else log_probs[level]
                log_probs = log_probs - share.logsumexp(0)
            longer += [((*prefix, token), score + log_probs[token].item()) for token in following]
        return sorted(longer, key=lambda beam: -beam[1])[:width]


def beam_search(
    user: OneUser,
    tokens: Tensor,
    candidates: list[int],
    k: int,
    num_beams: int,
    levels: list[slice] | None = None,
) -> list[int]:
    ids = {tuple(tokens[item].tolist()): item for item in candidates}
    beams, n_digits = [((), 0.0)], tokens.size(1)
    for depth in range(1, n_digits + 1):
        level = levels[depth - 1] if levels else None
        beams = user.step(beams, {i[:depth] for i in ids}, k if depth == n_digits else num_beams, level)
    return [ids[prefix] for prefix, _ in beams]


def draft_verify(
    user: OneUser,
    tokens: Tensor,
    candidates: list[int],
    draft_scores: Tensor,
    seen: Tensor,
    k: int,
    draft_size: int,
    num_beams: int,
    accept_threshold: float,
    inductive_drafting: bool = True,
    score_adjustment: bool = True,
    guided_redrafting: bool = True,
    reranking: bool = True,
    adaptive_exit: bool = True,
    drafted_from: list[int] | None = None,
) -> tuple[list[int], list[float], int]:
    """SpecGR as the paper tells it: items, scores, rounds taken."""
    ids = {item: tuple(tokens[item].tolist()) for item in candidates}
    n_digits = tokens.size(1)

    def verify(item: int) -> float:
        short = score_adjustment and not seen[item]
        return user.score(list(ids[item]), n_digits - 1 if short else n_digits)

    pool = {item for item in drafted_from or candidates if inductive_drafting or seen[item]}
    beams, accepted, rounds = [((), 0.0)], [], 0
    for depth in range(n_digits):
        eligible = pool
        if depth and guided_redrafting:
            eligible = {item for item in pool if ids[item][:depth] in {prefix for prefix, _ in beams}}
        drafts = sorted(eligible, key=lambda item: -draft_scores[item].item())[:draft_size]
        pool -= set(drafts)
        accepted += [(item, verify(item)) for item in drafts if verify(item) > accept_threshold]
        rounds += 1
        if len(accepted) >= k and (adaptive_exit or depth == n_digits - 1):
            break
        width = max(num_beams, k) if depth == n_digits - 1 else num_beams
        beams = user.step(beams, {i[: depth + 1] for i in ids.values()}, width)
    if len(accepted) < k:
        item_of = {semantic_id: item for item, semantic_id in ids.items()}
        listed = {item for item, _ in accepted}
        fill = [item_of[prefix] for prefix, _ in beams if item_of[prefix] not in listed]
        accepted += [(item, verify(item)) for item in fill[: k - len(accepted)]]
    if reranking:
        accepted.sort(key=lambda pair: -pair[1])
    return [item for item, _ in accepted[:k]], [score for _, score in accepted[:k]], rounds


def tiger_c(
    generated: list[int], tokens: Tensor, candidates: list[int], unseen: Tensor, most: int, left_out: list[int]
) -> list[int]:
    """The first K - x generated items, then x unseen ones that share all digits but the last with a generated one."""
    ids = {item: tuple(tokens[item].tolist()) for item in candidates}
    found = []
    for item in generated:
        if item > 0:
            siblings = [other for other in candidates if unseen[other] and ids[other][:-1] == ids[item][:-1]]
            found += [other for other in sorted(siblings, key=ids.get) if other not in found + generated + left_out]
    found = found[:most]
    listed = [item for item in generated[: len(generated) - len(found)] if item > 0] + found
    return listed + [-1] * (len(generated) - len(listed))
