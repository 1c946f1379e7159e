"""The contract of a model: every hook that the harness calls, with its default and its shapes, and who calls it when.

A model is a RecBole sequential recommender with the hooks below. RecBole's own models, and classes that know nothing of
this file, are given the defaults by `adapted`, so nobody has to ask whether a model has a hook. Of a model that one
writes, three things are usually said: how it ranks (`ScoresItems` or `RanksByList`), whether it is `inductive`, and
what it `needs` of the items.

A model that does more has further contracts: to take items that arrive later, `models.item_tables`; to verify what is
drafted, `models.verifying`, which gives a `decoding.verification`; to draft and verify by itself,
`models.speculative_recommender`. docs/api/contracts.md has all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.decoding.left_out import alike_in_number, among
from recbole_specgr.evaluation.ranking import EMPTY, blocks, check_ranked, rank_scores, scores_without
from recbole_specgr.models.explaining import Reasons
from recbole_specgr.system.errors import UserError

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.dataset import Dataset

    from recbole_specgr.items.items import Items

T = TypeVar("T")
LIST_SETTINGS = ("mmr_weight", "mmr_pool")  # of inference, of every model that compares items
RECBOLE = "recbole.model.sequential_recommender."  # where RecBole's own models are


@dataclass(kw_only=True)
class Users:
    """What `encode_users` gives of a batch, for `rank_users`. Models that encode more than this derive from it.

    Attributes:
        interaction: the batch.
        shared: what ranking the same users and candidates under several settings has in common; None keeps nothing.
    """

    interaction: Interaction
    shared: dict[Hashable, Any] | None = None

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed once where `shared` is kept."""
        if self.shared is None:
            return compute()
        if key not in self.shared:
            self.shared[key] = compute()
        kept: T = self.shared[key]
        return kept


@dataclass
class RankedList:
    """Items of B users, best first.

    Attributes:
        items: `[B, K]`, -1 where there are no more.
        scores: `[B, K]`, NaN for an item that has a place but no score of its own.
        round_of: round in which each was drafted and accepted, from 0; -1 for one of the verifier's own list. None from
            models that do not draft.
    """

    items: Tensor
    scores: Tensor
    round_of: Tensor | None = None

    def at(self, places: Tensor) -> RankedList:
        """The list that has only what stands at `places` `[B, k]`, in this order."""
        round_of = None if self.round_of is None else self.round_of.gather(1, places)
        return RankedList(self.items.gather(1, places), self.scores.gather(1, places), round_of)

    def without(self, left_out: Tensor, k: int) -> RankedList:
        """The first k of each list that are not among the user's `left_out` `[B, S]`: `[B, k]`."""
        stays = (self.items != EMPTY) & ~among(self.items, left_out)
        order = stays.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :k]
        left, gone, missing = self.at(order), ~stays.gather(1, order), (0, k - order.size(1))
        round_of = None if left.round_of is None else left.round_of.masked_fill(gone, -1)
        return RankedList(
            torch.nn.functional.pad(left.items.masked_fill(gone, EMPTY), missing, value=EMPTY),
            torch.nn.functional.pad(left.scores.masked_fill(gone, -torch.inf), missing, value=-torch.inf),
            None if round_of is None else torch.nn.functional.pad(round_of, missing, value=-1),
        )

    @classmethod
    def unscored(cls, items: Tensor) -> RankedList:
        """A list of items `[B, K]` without scores."""
        return cls(items, torch.full(items.shape, torch.nan, device=items.device))


@dataclass(frozen=True)
class Part:
    """A model that another is made of.

    Attributes:
        model: the model.
        config: its settings.
        taken: it is used as a finished run left it, and the trainer passes it over.
    """

    model: Any
    config: Config
    taken: bool


@dataclass(frozen=True)
class Pretrained:
    """Parameters to start from.

    Attributes:
        path: what the setting `pretrained` names, for messages.
        state: the parameters by name.
        settings: of the run that they come from; None for a file that no run left.
    """

    path: Path
    state: Mapping[str, Tensor]
    settings: Mapping[str, Any] | None


class ModelContract:
    """Mixin over RecBole's `SequentialRecommender`. Attributes and methods are the contract, with their defaults.

    Attributes:
        inductive: it can rank items that it was not trained with. Otherwise such items never stand in its lists, and
            `unseen_history` says whether they stay in the histories that it reads. Read by `models.ranking`.
        needs: what its constructor is handed of the items, by keyword: names of attributes of `items.Items`, such as
            `text_vectors`, `semantic_ids` and `attributes`. Read by `building`.
        reads_histories: its lists depend on what a user has had. One that recommends the same to everyone sets False,
            and then has a list for users of whom nothing is known. Read by `serving`.
        reads_interactions: its constructor reads the interactions of the train view, so that a finished run of it can't
            be loaded without its data set. Read by `building`.
        parts_in_order: names of the models that it is made of, as they are trained. The setting of the same name says
            which model each is. Read by `building`.
        inheriting_parts: those of them that take every setting that they know from the whole. Read by `building`.
        trained_as: the setting that names the model which it is trained as, such as `backbone`; the setting
            `backbone_run` then may name a finished run of that model, whose semantic ids and parameters are taken over.
            "" for a model that is trained as itself. Read by `building`.
        joins_datasets: the setting that names further data sets whose training rows it learns from; "" where there is
            none. Read by `building`.
        trainer: name of the trainer, one of `training.TRAINERS`.
        trains_on: what its batches may be: `rows`, one target each with its history; `windows`, stretches of a history
            in which every position is a target. The setting `train_on` chooses. Read by the trainer.
        history_columns: fields of its batches, beside the items, that have a value for each item of a history. Read by
            `models.ranking`, which takes items out of histories.
        compares_rows: the loss of the present stage compares the rows of a batch with each other, so a batch can't be
            taken in parts. Read by the trainer at the start of a stage.
        trained_before: its parameters come from a finished run and are not trained. Read by the trainer.
        compares_items: it has `alike`, so that its lists can be made of items that are not all alike. `building` then
            puts the settings of that (`LIST_SETTINGS`) into its `decoding`.
        decoding: settings of inference, by name, which may change without training: by `change_decoding`. Whoever ranks
            reads them at each call.
        part_configs: the settings of the models that it is made of, by name. The models themselves are in `parts`.
        approximation: how far the lists of an approximate index (`ranking_index`) are from the exact ones, as plain
            data for the record; empty where there is none. Searches by beams or by a graph are not measured.
    """

    inductive: bool = False
    needs: tuple[str, ...] = ()
    reads_histories: bool = True
    reads_interactions: bool = False
    parts_in_order: tuple[str, ...] = ()
    inheriting_parts: tuple[str, ...] = ()
    trained_as: str = ""
    joins_datasets: str = ""
    trainer: str = "Trainer"
    trains_on: tuple[str, ...] = ("rows",)
    history_columns: tuple[str, ...] = ()
    compares_rows: bool = False
    trained_before: bool = False
    compares_items: bool = False
    # A model without such settings has none that one could change.
    decoding: MutableMapping[str, Any] = cast("MutableMapping[str, Any]", MappingProxyType({}))
    part_configs: Mapping[str, Config] = MappingProxyType({})
    approximation: Mapping[str, Any] = MappingProxyType({})
    n_items: int
    ITEM_SEQ: str
    ITEM_SEQ_LEN: str

    # -- construction --------------------------------------------------------------------------------------------------

    @classmethod
    def check_parts(cls, config: Config, part_classes: Mapping[str, type[ModelContract]]) -> None:
        """Raise UserError for models that it can't be made of. Called by `building` before anything is made."""

    @classmethod
    def build(cls, config: Config, dataset: Dataset, items: Items, parts: Mapping[str, Part]) -> Any:
        """The model, with new parameters. Called by `building.build_model`.

        Args:
            config: its settings.
            dataset: the train view, or the items of a finished run that stand in for it.
            items: what it `needs` of the items.
            parts: the models that it is made of, by the names in `parts_in_order`.
        """
        handed: dict[str, Any] = items.chosen(cls.needs)
        if cls.parts_in_order:
            handed["parts"] = parts
        return cls(config, dataset, **handed)  # type: ignore[call-arg]

    # -- training ------------------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]:
        """The loss of a batch, a mean over its targets; a tuple or a mapping of several losses is added up. Called each
        step; never for a model without parameters.

        Args:
            interaction: of `rows`, each the history of one target: `item_id_list` `[B, L]`, items padded with 0 on the
                right; `item_length` `[B]`, how many they are; `timestamp_list` `[B, L]`, when they were, in whole
                seconds; `item_id` `[B]`, the target. Of `windows`, in which every position may have a target (see
                `training.windows`): `item_id_list` and `timestamp_list` `[B, S]`, S being the longest's; `item_length`
                `[B]`; `item_id` `[B, S]`, what came after each position, 0 where nothing is learned.
                `learned_positions` finds the states of either. Both have `user_id` `[B]`.
        """
        raise NotImplementedError

    def start_from(self, pretrained: Pretrained) -> None:
        """Take over the parameters of the file that the setting `pretrained` names. Called by `building` before the
        model is trained, and never for a finished run.

        Raises:
            UserError: they do not fit.
        """
        raise NotImplementedError

    def join(self, others: Sequence[tuple[Dataset, Items]]) -> None:
        """Take the train views of the data sets that `joins_datasets` names, each with its items. Called by `building`
        before the model is trained."""
        raise NotImplementedError

    def start_stage(self, stage: str) -> None:
        """Called by the trainer before a stage is trained (or skipped, on resuming), with its settings in place."""

    def training_rows(self, view: Dataset) -> Any:
        """What is trained on in place of the train view: anything that has `len` and
        `__getitem__(LongTensor [B], join=False) -> Interaction`. Called by the trainer at the start of a stage."""
        return view

    def tokens_of(self, interaction: Interaction) -> Tensor:
        """How many tokens the histories of a batch have, a scalar, for the throughput that is reported."""
        count: Tensor = interaction[self.ITEM_SEQ_LEN].sum()
        return count

    # -- ranking -------------------------------------------------------------------------------------------------------

    def change_decoding(self, changed: Mapping[str, Any]) -> None:
        """Rank by these settings of inference from now on; the others stay. Called by `building`, tuning, studies and
        whoever ranks under several. Who holds the `decoding` of before still has it as it was."""
        self.decoding = {**self.decoding, **changed}

    def encode_users(self, interaction: Interaction) -> Users:
        """All of a batch that `rank_users` needs and that no setting of `decoding` changes."""
        return Users(interaction=interaction)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The k best candidates of each user under the settings in `decoding`.

        Args:
            users: what `encode_users` gave.
            candidates: BoolTensor `[n_items]` of what may be ranked, never the padding item. For a model that is not
                inductive there are only seen items among them.
        """
        raise NotImplementedError

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """`rank_users` of lists that leave some items out, which differ from user to user.

        Where nothing is left out, these are the lists of `rank_users`. The default takes what is left of a longer list.
        A model whose list of k is not the beginning of its longer ones says how it is made: one that searches or
        speculates until it has k, or that is composed of two lists. Where a class changes `rank_users` alone, its lists
        are made by this default, whatever the class that it derives from does (`models.ranking`).

        Args:
            left_out: items `[B, S]`, 0 in places that are empty.
        """
        length = min(k + left_out.size(1), len(candidates) - 1)
        longer = self.rank_users(users, length, candidates)
        check_ranked(longer.items, len(users.interaction), length, candidates)
        return longer.without(left_out, k)

    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor | None:
        """What the model thinks of given candidates, whether they would stand in its list or not.

        Called by ensembles, explanations and studies.

        Args:
            items: `[B, n]`, -1 in places that are empty.
            candidates: as for `rank_users`.

        Returns:
            Scores `[B, n]`, -inf beside -1; None from a model that gives lists and no scores.
        """
        return None

    def alike(self, items: Tensor) -> Tensor:
        """How alike the items of each list `[B, n]` are, as the model knows them: `[B, n, n]`, at most 1. Called by
        `models.ranking` where `compares_items`."""
        raise NotImplementedError

    def score_all(self, interaction: Interaction) -> Tensor | None:
        """Scores of all items `[B, n_items]`; None from a model that gives lists. Whoever drafts needs them."""
        return None

    def ranking_steps(self, k: int, candidates: Tensor) -> dict[str, Callable[[Interaction, Any], Any]]:
        """The steps of ranking a batch, by name and in order, each from the batch and what the step before returned.
        Called by studies, which time them."""
        return {"rank": lambda interaction, _: self.rank_users(self.encode_users(interaction), k, candidates)}

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        """What it can say, beside the score, of `item` in the list of k of the one user in `interaction`. Called by
        serving's explanations."""
        return Reasons()


class ScoresItems(ModelContract):
    """Ranks by a score of every item: RecBole's `full_sort_predict(interaction) -> [B, n_items]` (or flat)."""

    def score_all(self, interaction: Interaction) -> Tensor:
        """Raises UserError where `full_sort_predict` returns something else than a line for each user."""
        scores: Tensor = self.full_sort_predict(interaction)  # type: ignore[attr-defined]
        users = len(interaction)
        if scores.dim() == 1 and users and len(scores) % users == 0:
            scores = scores.view(users, -1)
        if scores.dim() != 2 or len(scores) != users:
            raise UserError(
                f"full_sort_predict of {type(self).__name__} returned {list(scores.shape)} for {users} users. Wanted "
                f"are their scores of all items: {[users, self.n_items]}, or the same flat."
            )
        return scores if scores.is_floating_point() else scores.float()

    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        scores = []
        for part in blocks(len(interaction), self.n_items):  # no more users than there is room for their scores
            of_part = of_all_items(self, self.score_all(interaction[part]), len(candidates))
            scores.append(of_part.gather(1, items[part].clamp(min=0)))
        return torch.cat(scores).masked_fill(items < 0, -torch.inf)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        return self._ranked(users, k, candidates, None)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        return self._ranked(users, k, candidates, left_out)

    def _ranked(self, users: Users, k: int, candidates: Tensor, left_out: Tensor | None) -> RankedList:
        def ranked() -> RankedList:
            lists, scores = [], []
            for part in blocks(len(users.interaction), self.n_items):
                of_part = of_all_items(self, self.score_all(users.interaction[part]), len(candidates))
                of_part = scores_without(of_part, None if left_out is None else left_out[part])
                lists.append(rank_scores(of_part, k, candidates))
                scores.append(of_part.gather(1, lists[-1].clamp(min=0)))
            items = torch.cat(lists)
            return RankedList(items, torch.cat(scores).masked_fill(items == EMPTY, -torch.inf))

        return users.once(("list", k, left_out is None), ranked)  # users are asked without the same items always


def lists_without(listed: Callable[[Tensor, int], RankedList], k: int, left_out: Tensor) -> RankedList:
    """The first k of longer lists that are not left out, for searches whose lists depend on how long they are. How much
    longer depends on the user alone, and so no list on who else is in the batch.

    Args:
        listed: users' numbers `[b]` and a length -> their lists of that length.
        left_out: items `[B, S]`, 0 in places that are empty.
    """
    items = torch.full((len(left_out), k), EMPTY, device=left_out.device)
    found = None
    for rows, more in alike_in_number(left_out):
        part = listed(rows, k + more).without(left_out[rows], k)
        if found is None:
            found = RankedList(items, part.scores.new_full(items.shape, -torch.inf))
        found.items[rows], found.scores[rows] = part.items, part.scores
    return found or RankedList.unscored(items)


def of_all_items(model: ModelContract, scores: Tensor, n_items: int) -> Tensor:
    """The scores `[B, n_items]`. Raises UserError where they are of more or fewer items."""
    if scores.size(1) != n_items:
        raise UserError(
            f"full_sort_predict of {type(model).__name__} gives scores of {scores.size(1):,} items. Wanted are those "
            f"of all {n_items:,}, the padding item included."
        )
    return scores


class EmbedsItems(ModelContract):
    """Learns a vector for each item, `item_embedding`, as RecBole's models call it."""

    compares_items = True
    item_embedding: nn.Embedding

    def alike(self, items: Tensor) -> Tensor:
        """Cosines of the items' vectors. Raises UserError for one of RecBole's models that has none."""
        try:
            vectors = self.item_embedding.weight
        except AttributeError as error:
            raise UserError(
                f"[mmr_weight]: {type(self).__name__} has no item_embedding to compare items by."
            ) from error
        return cosines(vectors, items)


class RanksByList(ModelContract):
    """Ranks by a list of its own: `full_sort_topk(interaction, k, candidates) -> ids [B, k]`, -1 where it ends.

    A model that encodes users apart from ranking them, or whose list has scores, overrides `rank_users` instead.

    Attributes:
        list_length: of the list that `full_sort_predict` is made of, for RecBole's case studies.
    """

    list_length: int

    @torch.no_grad()
    def full_sort_topk(self, interaction: Interaction, k: int, candidates: Tensor) -> Tensor:
        """The k best candidates `[B, k]`; -1 where there are fewer."""
        return self.rank_users(self.encode_users(interaction), k, candidates).items

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        return RankedList.unscored(self.full_sort_topk(users.interaction, k, candidates))

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`; -inf for those that do not stand in the user's list. Those that stand in
        it without a score get the least of the others' less their place. Called by RecBole's case studies only."""
        candidates = torch.arange(self.n_items, device=interaction[self.ITEM_SEQ].device) > 0
        ranked = self.rank_users(self.encode_users(interaction), self.list_length, candidates)
        place = torch.arange(1, ranked.items.size(1) + 1, device=ranked.items.device)
        least = ranked.scores.masked_fill(~ranked.scores.isfinite(), torch.inf).amin(1, keepdim=True)
        listed = torch.where(ranked.scores.isnan(), least.nan_to_num(posinf=0) - place, ranked.scores)
        scores = listed.new_full((len(listed), self.n_items), -torch.inf)
        scores.scatter_(1, ranked.items.clamp(min=0), listed)
        scores[:, 0] = -torch.inf  # what is written there stands for the end of a list
        return scores


@functools.cache
def adapted(model_class: type) -> type:
    """The class with the contract's defaults below its own hooks; the class itself where it has the contract.

    RecBole's models, and a user's class that is only RecBole's `SequentialRecommender`, get them here. Their own
    methods go over the defaults. What derives from one of RecBole's models, or learns from pairs of a target and a
    negative, is trained by RecBole's own loop, which draws the negatives.

    Raises:
        UserError: the class can't rank: it has neither `full_sort_predict` nor `full_sort_topk`.
    """
    if issubclass(model_class, ModelContract):
        return model_class
    if "full_sort_topk" in vars_of(model_class):
        way: type = RanksByList
    elif model_class.full_sort_predict is not AbstractRecommender.full_sort_predict:  # type: ignore[attr-defined]
        way = ScoresItems
    else:
        raise UserError(
            f"[{model_class.__name__}] can't rank all items: it has neither full_sort_predict nor full_sort_topk."
        )
    hooks: dict[str, Any] = {"__module__": model_class.__module__, "__doc__": model_class.__doc__}
    bases: tuple[type, ...] = (model_class, way)
    if any(base.__module__.startswith(RECBOLE) for base in model_class.__mro__):
        hooks["trainer"] = "RecBoleTrainer"
        bases = (model_class, EmbedsItems, way)
    elif "input_type" in vars_of(model_class) and model_class.input_type == InputType.PAIRWISE:  # type: ignore[attr-defined]
        hooks["trainer"] = "RecBoleTrainer"
    return type(model_class.__name__, bases, hooks)


def cosines(vectors: Tensor, items: Tensor) -> Tensor:
    """Cosines `[B, n, n]` of the rows `items` `[B, n]` of `vectors` `[n_items, d]`; of -1 those of row 0."""
    directions = F.normalize(vectors[items.clamp(min=0)], dim=-1)
    return directions @ directions.transpose(1, 2)


def vars_of(model_class: type) -> set[str]:
    """The names of all attributes of a class, its own and those it inherits."""
    return {name for base in model_class.__mro__ for name in vars(base)}
