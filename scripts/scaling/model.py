"""A model on a made-up catalogue of any size, and its memory: what it keeps, and what it needs at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch.profiler import ProfilerActivity, profile

from recbole_specgr.building.build import build_model
from recbole_specgr.building.plan import plan_model
from recbole_specgr.data.earlier_items import earlier_field
from recbole_specgr.evaluation import ranking
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.items.items import Items
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

SEEN = 0.9  # share of the items that training has
SMALL = (10_000, 20_000)  # items of the two catalogues from which growth is read off: more than are embedded at once
COMPARED = 2500  # items whose scores fit at once there, so that ranking goes by stretches as it does at a million


@dataclass(frozen=True)
class Kept:
    """A tensor of a model.

    Attributes:
        name: in the model.
        shape: its sizes; those that are the number of items are "items".
        fixed, per_item: bytes, and bytes an item.
        trained: it is a parameter, of which training holds a gradient and two moments, too.
    """

    name: str
    shape: tuple[int | str, ...]
    fixed: float
    per_item: float
    trained: bool


@dataclass(frozen=True)
class Growth:
    """Bytes of which a number is used: `fixed + per_item * items + per_score * scores held at once`."""

    fixed: float
    per_item: float
    per_score: float = 0.0

    def at(self, items: float, scores: float = 0.0) -> float:
        return self.fixed + self.per_item * items + self.per_score * scores


def made_up(config: Config, items: int, text_width: int) -> tuple[Any, Catalogue]:
    """The model of the settings on so many items with random texts and ids, and these items.

    Raises:
        UserError: it reads interactions, which a catalogue does not have.
    """
    n = items + 1
    rng = np.random.default_rng(0)
    seen = torch.rand(n, generator=torch.Generator().manual_seed(0)) < SEEN
    seen[0] = False
    rows = torch.arange(n) > 0
    view = Catalogue(np.array([f"i{row}" for row in range(n)], dtype=object), seen, rows, [""] * n)
    plan = plan_model(config, view)
    needed: dict[str, Items] = {}
    for name, part in plan.named().items():
        if part.model_class.reads_interactions or {"attributes", "attribute_tokenizer"} & set(part.model_class.needs):
            raise UserError(f"[{part.config['model']}] reads more than items' vectors and ids; it can't be made up.")
        made: dict[str, Any] = {}
        if "text_vectors" in part.model_class.needs:
            made["text_vectors"] = rng.standard_normal((n, text_width), dtype=np.float32)
        if "semantic_ids" in part.model_class.needs:
            made["semantic_ids"] = made_up_ids(part.config, seen.numpy())
        needed[name] = Items(**made)
    return build_model(plan, view, needed), view


def made_up_ids(config: Mapping[str, Any], seen: np.ndarray) -> SemanticIds:
    """Random codes of the levels and sizes in the settings, with the identification digit that makes them unique."""
    levels, size = config["tokenizer"]["levels"], config["tokenizer"]["codebook_size"]
    codes = np.random.default_rng(0).integers(size, size=(len(seen), levels))
    return SemanticIds.from_codes(codes, (size,) * levels, seen)


def batch(config: Config, users: int, view: Catalogue) -> Interaction:
    """So many users with full histories of random seen items and a target each."""
    generator, longest = torch.Generator().manual_seed(1), config["MAX_ITEM_LIST_LENGTH"]
    field, seen = config["ITEM_ID_FIELD"], view.seen.nonzero().squeeze(1)
    targets = seen[torch.randint(len(seen), (users,), generator=generator)]
    histories = seen[torch.randint(len(seen), (users, longest), generator=generator)]
    return Interaction(
        {
            config["USER_ID_FIELD"]: torch.arange(1, users + 1),
            field: targets,
            field + config["LIST_SUFFIX"]: histories,
            earlier_field(field + config["LIST_SUFFIX"]): histories,
            config["TIME_FIELD"] + config["LIST_SUFFIX"]: torch.arange(longest).expand(users, -1),
            config["ITEM_LIST_LENGTH_FIELD"]: torch.full((users,), longest),
        }
    )


def kept_tensors(config: Config, text_width: int) -> list[Kept]:
    """The model's tensors, and which of their sizes is the number of items."""
    small, large = (tensors(made_up(config, items, text_width)[0]) for items in SMALL)
    found = []
    for name, (tensor, trained) in large.items():
        before = small[name][0].shape
        shape = tuple("items" if size != old else size for size, old in zip(tensor.shape, before, strict=True))
        one, two = (part.numel() * part.element_size() for part in (small[name][0], tensor))
        per_item = (two - one) / (SMALL[1] - SMALL[0])
        found.append(Kept(name, shape, one - per_item * SMALL[0], per_item, trained))
    return found


def tensors(model: torch.nn.Module) -> dict[str, tuple[torch.Tensor, bool]]:
    """The model's parameters and buffers by name, each memory once, and whether it is trained."""
    found = {name: (parameter.detach(), parameter.requires_grad) for name, parameter in model.named_parameters()}
    found |= {name: (buffer, False) for name, buffer in model.named_buffers()}
    places: set[int] = set()
    return {
        name: kept
        for name, kept in found.items()
        if not (kept[0].data_ptr() in places or places.add(kept[0].data_ptr()))  # type: ignore[func-returns-value]
    }


def ranking_growth(config: Config, text_width: int, users: int) -> Growth:
    """Most memory beside the kept tensors while a batch is ranked, with what is made for the first one and stays."""

    def peak(items: int, compared: int) -> int:
        model, view = made_up(config, items, text_width)
        with scores_at_once(users * compared):
            return peak_of(lambda: rank(model, view, config, users))

    one, two = (peak(items, COMPARED) for items in SMALL)
    per_score = (peak(SMALL[0], 2 * COMPARED) - one) / (users * COMPARED)
    per_item = (two - one) / (SMALL[1] - SMALL[0])
    return Growth(one - per_item * SMALL[0] - per_score * users * COMPARED, per_item, max(per_score, 0.0))


def training_growth(config: Config, text_width: int, rows: int) -> Growth:
    """Most memory beside the kept tensors in a training step of so many rows, up to the gradients.

    The catalogues that it is read off are so large that logits take more than layers, as they do on any for which one
    asks.
    """

    def peak(items: int) -> int:
        model, view = made_up(config, items, text_width)
        train(model, view, config, min(rows, 8))  # what is made once and kept
        model.zero_grad(set_to_none=True)
        return peak_of(lambda: train(model, view, config, rows))

    one, two = (peak(items) for items in SMALL)
    per_item = (two - one) / (SMALL[1] - SMALL[0])
    return Growth(one - per_item * SMALL[0], per_item)


def rank(model: Any, view: Catalogue, config: Config, users: int) -> torch.Tensor:
    """The lists of a batch."""
    model.eval()
    ranker = Ranker(model, view.seen, config["unseen_history"], config["repeatable"])
    return ranker.rank(batch(config, users, view), max(config["topk"]), view.candidates).items


def train(model: Any, view: Catalogue, config: Config, rows: int) -> None:
    """A training step of the last stage, up to the gradients."""
    model.train()
    for stage in config["stages"] or {}:
        model.start_stage(stage)
    loss = model.calculate_loss(batch(config, rows, view))
    parts = loss.values() if isinstance(loss, Mapping) else loss if isinstance(loss, tuple) else [loss]
    sum(parts).backward()


def peak_of(run: Callable[[], object]) -> int:
    """The most bytes that torch held at once while it ran, of those it did not hold before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.max(initial=0))


@contextmanager
def scores_at_once(number: int) -> Iterator[None]:
    """Let ranking hold so many scores."""
    before = ranking.SCORES_AT_ONCE
    ranking.SCORES_AT_ONCE = number
    try:
        yield
    finally:
        ranking.SCORES_AT_ONCE = before
