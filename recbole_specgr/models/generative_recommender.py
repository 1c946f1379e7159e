"""What every model over semantic ids shares: the ids, the backbone, what it reads, and the candidates' index."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor

from recbole_specgr.backbones.architectures import ARCHITECTURES
from recbole_specgr.backbones.contract import Backbone, TrainingPass
from recbole_specgr.backbones.token_tree import Memory
from recbole_specgr.decoding.beam_search import BeamSearchResult, beam_search
from recbole_specgr.decoding.digit_scale import AS_TRAINED, DigitScale
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.replay import BUCKET, Replay
from recbole_specgr.decoding.token_verification import TokenVerification
from recbole_specgr.decoding.verification import VerificationSettings
from recbole_specgr.models.contract import ModelContract, RankedList, RanksByList, Users
from recbole_specgr.models.explaining import Digit, Reasons
from recbole_specgr.models.histories import ReadsHistories
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.verifying import ReadUsers, Verifier, likelihoods
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex
from recbole_specgr.settings.registry import get_model
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.precisions import DTYPES

SIZES = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "dropout_rate")  # settings that a backbone is built from
DECODING_PRECISIONS = {name: DTYPES[name] for name in ("fp32", "bf16")}


@dataclass
class EncodedUsers(ReadUsers):
    """The histories of B users as the backbone has read them.

    Attributes:
        tokens: what it read `[B, S]`.
        encoded: what it made of them `[B, S, width]`.
        backbone: that read them.
    """

    tokens: Tensor
    encoded: Tensor
    backbone: Backbone

    @functools.cached_property
    def memory(self) -> Memory:
        """What decoding reads of them."""
        return self.backbone.memory(self.tokens, self.encoded)

    @functools.cached_property
    def vectors(self) -> Tensor:
        """Unit vectors of the users `[B, d_model]`."""
        return self.backbone.vectors(self.tokens, self.encoded)


class GenerativeRecommender(ItemTables, Verifier, RanksByList, ReadsHistories):
    """A backbone over semantic ids.

    Subclasses give a loss and a ranking; this gives them

    Attributes:
        architectures: the backbones that it can be built on, by the names of `ARCHITECTURES`.
        tokens: semantic ids as vocabulary tokens `[n_items, n_digits]`, row 0 padding.
        seen: items of the training data `[n_items]`.
        digit_columns: each digit's part of the vocabulary.
        backbone: of the setting `architecture`.
        decoding: the settings of inference, which may change without training: those of `decoding_keys`.
        scores_digits: an item's score is the likelihood of its digits.
        replay: records decoding as CUDA graphs; None: it runs as it is.
    """

    inductive = True
    needs: tuple[str, ...] = ("semantic_ids",)
    input_type = InputType.POINTWISE
    decoding_keys: tuple[str, ...] = ("num_beams",)
    scores_digits = True
    compares_items = True
    item_tables: tuple[str, ...] = ("tokens", "seen")
    architectures: tuple[str, ...] = tuple(ARCHITECTURES)

    @classmethod
    def check_parts(cls, config: Config, part_classes: Mapping[str, type[ModelContract]]) -> None:
        """Raise UserError where `backbone` names a model with a network of its own: only its ids and sizes would be
        taken, and another network built."""
        super().check_parts(config, part_classes)
        if not config["backbone"] or config.of_a_run:
            return
        named = get_model(config["backbone"])
        if issubclass(named, GenerativeRecommender) and named.build_backbone is not cls.build_backbone:
            raise UserError(
                f"[backbone: {config['backbone']}] has a network of its own, and {cls.__name__} would build a T5 or a "
                f"decoder in its place. SpecGR_Aux verifies by any model; for {cls.__name__} on this network, derive a "
                f"class that overrides build_backbone as well."
            )

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds) -> None:
        super().__init__(config, dataset)
        self.bos, self.eos = semantic_ids.bos, semantic_ids.eos
        self.digit_columns = [slice(first, end) for first, end in semantic_ids.level_slices]
        self.register_buffer("tokens", semantic_ids.tokens)
        self.register_buffer("seen", dataset.seen.clone())
        self.decoding = {key: config[key] for key in self.decoding_keys}
        self.list_length = max(config["topk"])
        self.backbone = self.build_backbone(config, semantic_ids.vocab_size)
        self.trains_on = self.backbone.trains_on
        self.prepare_decoding(config)
        if config["torch_compile"] and config["device"].type == "cpu":
            getLogger().warning(
                "[torch_compile] is for GPUs: on a CPU nothing is compiled, as our own kernels are faster."
            )
        elif config["torch_compile"]:
            self.backbone.compile_layers()
        self._index: tuple[Tensor, PrefixIndex] | None = None

    def build_backbone(self, config: Config, vocab_size: int) -> Backbone:
        """A network of the setting `architecture`. Raises UserError for one that the model can't be built on."""
        architecture = config["architecture"] or "encoder_decoder"  # a model of a user's own may not have the setting
        if architecture not in self.architectures:
            raise UserError(
                f"[architecture: {architecture}]: {type(self).__name__} can't be built on it. Take --architecture="
                f"{' or '.join(self.architectures)}."
            )
        missing = [key for key in SIZES if config[key] is None]
        if missing:
            raise UserError(
                f"[{config['model']}] needs the settings {', '.join(missing)} to build its {architecture} backbone. "
                f"Give them in its property or baseline file; properties/model/TIGER.yaml has TIGER's."
            )
        return ARCHITECTURES[architecture]({key: config[key] for key in SIZES}, vocab_size)

    def prepare_decoding(self, config: Config) -> None:
        """Take over the precision, and record decoding as CUDA graphs where `cuda_graphs` says so and there is a
        GPU."""
        self.decode_in(config["decoding_precision"] or "fp32")  # a model of a user's own may not have the setting
        wanted = config["cuda_graphs"] and config["device"].type == "cuda"
        self.replay: Replay | None = Replay() if wanted else None

    @property
    def records_decoding(self) -> bool:
        return self.replay is not None

    def decode_in(self, precision: str) -> None:
        """Let the backbone compute matrix products in `precision`, one of `DECODING_PRECISIONS`, when it ranks."""
        self.backbone.decoding_dtype = DECODING_PRECISIONS[precision]

    def train(self, mode: bool = True) -> GenerativeRecommender:
        if mode and self.replay is not None:
            self.replay.clear()  # training wants the memory back
        return super().train(mode)

    # -- what the backbone reads ---------------------------------------------------------------------------------------

    def longest(self, length: Tensor) -> int:
        """Rounded up where decoding is recorded, so that there are few shapes to record."""
        longest = super().longest(length)
        records = self.replay is not None and not self.training
        return -(-longest // BUCKET) * BUCKET if records else longest

    def history_tokens(self, interaction: Interaction) -> Tensor:
        """Eq. 1: the items of the histories as tokens, padded to the longest history of the batch, `[B, S]`."""
        return self.history_ids(*self.history(interaction))

    def history_ids(self, items: Tensor, length: Tensor) -> Tensor:
        """`[bos, ids of the first `length` items]` for items `[B, n]`, and eos where the backbone's histories end with
        it, right-padded: `[B, 1 + n * digits]` or one longer."""
        body = self.tokens[items].flatten(1)
        tokens = torch.nn.functional.pad(body, (1, int(self.backbone.ends_histories)))
        tokens[:, 0] = self.bos
        if self.backbone.ends_histories:
            tokens.scatter_(1, (1 + length * self.tokens.size(1))[:, None], self.eos)
        return tokens

    def encode(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """The histories' tokens `[B, S]` and what the backbone makes of them `[B, S, width]`."""
        tokens = self.history_tokens(interaction)
        return tokens, self.backbone.encode(tokens)

    def tokens_of(self, interaction: Interaction) -> Tensor:
        """Digits of the semantic ids."""
        return self.tokens.size(1) * interaction[self.ITEM_SEQ_LEN].sum()

    def training_pass(self, interaction: Interaction) -> tuple[TrainingPass, Tensor]:
        """One pass over a batch of rows or windows, and its targets `[N]`."""
        items, length = self.history(interaction)
        targets = interaction[self.ITEM_ID]
        if targets.dim() == 2:  # a process may have the shorter windows of a batch only
            targets = targets[:, : items.size(1)]
        learned = self.backbone.training_pass(self.history_ids(items, length), self.tokens[targets])
        return learned, targets[targets > 0]

    # -- inference -----------------------------------------------------------------------------------------------------

    def read(self, interaction: Interaction) -> EncodedUsers:
        """The users of a batch, encoded once."""
        return EncodedUsers(*self.encode(interaction), self.backbone, interaction=interaction)

    def run_decoding(
        self,
        decode: Callable[..., tuple[Tensor, ...]],
        users: ReadUsers,
        constants: Sequence[Hashable],
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        assert isinstance(users, EncodedUsers)
        if self.replay is None:
            return super().run_decoding(decode, users, constants, *inputs)

        def run(tokens: Tensor, encoded: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
            return decode(self.backbone.memory(tokens, encoded), *inputs)

        constants = (*constants, self.backbone.decoding_dtype)
        return self.replay(run, self.get_submodule("backbone"), constants, (users.tokens, users.encoded, *inputs))

    @property
    def digit_scale(self) -> DigitScale:
        """On which its own lists compare ids. Verification compares them as the model was trained."""
        return AS_TRAINED

    def beam_search(
        self,
        users: EncodedUsers,
        index: PrefixIndex,
        k: int,
        num_beams: int,
        *settings: Any,
        left_out: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The k most probable items that the beams reach and their log-probabilities, `[B, k]`; the further `settings`
        are those of `beam_search`, in its order."""

        def decode(memory: Memory, *without: Tensor) -> tuple[Tensor, ...]:
            given, sizes = without[0] if without else None, (k, num_beams, *settings)
            found = beam_search(self.backbone, memory, index, self.digit_columns, *sizes, left_out=given)
            return found.items, found.scores, found.is_nan

        constants = "beam_search", index, k, num_beams, *settings
        inputs = () if left_out is None or not left_out.size(1) else (left_out,)
        result = BeamSearchResult(*self.run_decoding(decode, users, constants, *inputs))
        result.check()
        return result.items, result.scores

    def verification(
        self, memory: Memory, candidates: Tensor, settings: VerificationSettings, static: bool = False
    ) -> TokenVerification:
        return self.verification_on(AS_TRAINED, memory, candidates, settings, static)

    def verification_on(
        self,
        scale: DigitScale,
        memory: Memory,
        candidates: Tensor,
        settings: VerificationSettings,
        static: bool = False,
    ) -> TokenVerification:
        """`verification` on another scale than the model was trained on."""
        width = settings.num_beams + settings.draft_size
        prefixes = PrefixStore(self.backbone, memory, self.index(candidates), self.digit_columns, width, static, scale)
        return TokenVerification(prefixes, self.seen, settings)

    @property
    def item_codes(self) -> Tensor:
        return self.tokens[:, :-1]

    def alike(self, items: Tensor) -> Tensor:
        """Shares of leading digits that are the same; the identification digit does not count."""
        codes = self.item_codes[items.clamp(min=0)]
        shared = (codes[:, :, None] == codes[:, None]).to(torch.uint8).cumprod(3)
        return shared.to(self.backbone.embedding.weight.dtype).mean(3)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        raise NotImplementedError

    @torch.no_grad()
    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        """The likelihoods of the items' ids `[B, n]`, on the scale of its lists; -inf beside -1."""
        n = items.size(1)
        settings = VerificationSettings(k=n, draft_size=n, num_beams=0, score_adjustment=False, unseen_bonus=0.0)
        memory = self.read(interaction).memory
        return likelihoods(self.verification_on(self.digit_scale, memory, candidates, settings), items)

    def ranking_steps(self, k: int, candidates: Tensor) -> dict[str, Callable[[Interaction, Any], Any]]:
        return {
            "encode": lambda interaction, _: self.encode_users(interaction),
            "decode": lambda _, users: self.rank_users(users, k, candidates),
        }

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        return Reasons(self.digits(self.read(interaction), item, False), self.shared_digits(item))

    def digits(self, users: ReadUsers, item: int, score_adjustment: bool) -> list[Digit]:
        assert isinstance(users, EncodedUsers)
        counted = len(self.digit_columns) if self.scores_digits else 0
        if score_adjustment and not self.seen[item]:
            counted -= 1
        tokens = self.tokens[item][None]
        log_probs = self.backbone.decode(users.encoded, users.tokens, tokens)[0].log_softmax(-1)
        digits = []
        for position, columns in enumerate(self.digit_columns):
            token, level = int(tokens[0, position]), log_probs[position, columns]
            own = log_probs[position, token]
            digits.append(
                Digit(
                    code=token - columns.start,
                    log_prob=float(own),
                    rank=int((level > own).sum()) + 1,
                    codes=len(level),
                    counts=position < counted,
                )
            )
        return digits

    def shared_digits(self, item: int) -> Tensor:
        """How many leading digits each item's id has in common with the item's."""
        shared = (self.tokens == self.tokens[item]).long().cumprod(1).sum(1)
        shared[0] = 0
        return shared

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        assert new.tokens is not None
        return {"tokens": new.tokens, "seen": torch.zeros(len(new), dtype=torch.bool)}

    def items_changed(self) -> None:
        self._index = None

    def candidate_items(self, candidates: Tensor) -> Tensor:
        return self.index(candidates).items

    def index(self, candidates: Tensor) -> PrefixIndex:
        """The prefix index of the candidates `[n_items]`; the last one is kept."""
        if self._index is None or not (self._index[0] is candidates or torch.equal(self._index[0], candidates)):
            self._index = candidates, PrefixIndex(self.tokens, candidates)
        return self._index[1]
