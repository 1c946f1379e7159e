"""Random backbones, catalogues and users for the tests of decoding."""

from __future__ import annotations

from typing import Any

import decoding_oracles as oracle
import torch
from torch import Tensor

from recbole_specgr.backbones import T5, DecoderOnly, DecoderOnlyConfig, T5Config
from recbole_specgr.backbones.token_tree import Memory
from recbole_specgr.decoding.beam_search import BeamSearchResult, beam_search
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import DraftVerifyResult, draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.token_verification import TokenVerification
from recbole_specgr.semantic_ids import SemanticIds, build_tokenizer
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

ARCHITECTURES = ("encoder_decoder", "decoder_only")


def small_backbone(architecture: str, vocab_size: int) -> T5 | DecoderOnly:
    sizes = {"vocab_size": vocab_size, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_heads": 2}
    if architecture == "decoder_only":
        return DecoderOnly(DecoderOnlyConfig(num_layers=2, **sizes))
    return T5(T5Config(num_layers=1, num_decoder_layers=2, **sizes))


class World:
    """A random backbone, catalogue and batch of users, in float64 so that no near tie can hide a difference."""

    architecture = "encoder_decoder"

    def __init__(
        self,
        seed: int,
        n_items: int = 60,
        digits: int = 4,
        codes: int = 5,
        users: int = 5,
        architecture: str = "encoder_decoder",
    ) -> None:
        self.architecture = architecture
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        distinct = torch.randperm(codes**digits, generator=generator)[:n_items]
        raw = torch.stack([distinct // codes**i % codes for i in range(digits)], dim=1)
        raw = torch.cat([torch.zeros(1, digits, dtype=torch.long), raw])
        self.build(SemanticIds(raw, (codes,) * digits), users, generator)

    def build(self, ids: SemanticIds, users: int, generator: torch.Generator) -> None:
        self.tokens = ids.tokens
        self.slices = [slice(*level) for level in ids.level_slices]
        self.backbone = small_backbone(self.architecture, ids.vocab_size).double().eval()
        with torch.no_grad():  # sharp distributions, so that some items are accepted and some are not
            self.backbone.embedding.weight *= 3
        self.histories = torch.randint(1, ids.vocab_size, (users, 9), generator=generator)
        self.histories[1, 3:] = 0
        self.draft_scores = torch.randn(users, len(self.tokens), generator=generator, dtype=torch.float64)
        self.seen = torch.rand(len(self.tokens), generator=generator) < 0.6
        self.subset = torch.rand(len(self.tokens), generator=generator) < 0.7
        self.users = [oracle.OneUser(self.backbone, history) for history in self.histories]

    @property
    def memory(self) -> Memory:
        return self.backbone.memory(self.histories)

    def beam_search(
        self, index: PrefixIndex, k: int, num_beams: int, *settings: Any, left_out: Tensor | None = None
    ) -> BeamSearchResult:
        sizes = k, num_beams, *settings
        result = beam_search(self.backbone, self.memory, index, self.slices, *sizes, left_out=left_out)
        result.check()
        return result

    def draft_verify(
        self,
        index: PrefixIndex,
        k: int,
        settings: DraftVerifySettings,
        pool: DraftPool | None = None,
        users_leave: bool = True,
        left_out: Tensor | None = None,
    ) -> DraftVerifyResult:
        pool = pool or DraftPool.of_candidates(index.items, self.draft_scores)
        pool = pool.favouring(~self.seen, settings.drafting_bonus)
        if not settings.inductive_drafting:
            pool = pool.without(~self.seen)
        prefixes = PrefixStore(self.backbone, self.memory, index, self.slices, 10, static=not users_leave)
        verification = TokenVerification(prefixes, self.seen, settings.for_verification(k))
        if left_out is not None:
            verification = verification.without(left_out)
        result = draft_verify(verification, pool, k, settings, users_leave)
        result.check()
        return result


class DSIWorld(World):
    """Ids from hierarchical k-means: leaves at different depths, levels of different sizes."""

    def __init__(self, seed: int, levels: int, branching: int | None, n_items: int = 60, users: int = 4) -> None:
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        features = torch.randn(n_items + 1, 6, generator=generator).numpy()
        features[3] = features[4]  # one leaf, told apart by the identification digit
        group = {"method": "hierarchical_kmeans", "levels": levels, "codebook_size": 8}
        tokenizer = build_tokenizer({**group, "hierarchical_kmeans": {"branching": branching}})
        tokenizer.fit(features[1:40], seed)
        seen = torch.arange(n_items + 1) < 40
        ids = SemanticIds.from_codes(tokenizer.encode(features), tokenizer.codebook_sizes, seen.numpy())
        self.build(ids, users, generator)
        self.seen = seen
