"""Why a model does not draft an item: it names settings that it reads, and that change it."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import TINY_SPECGR

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config

NARROW = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2}
RPG = {**NARROW, "tokenizer": {"method": "opq", "codebook_size": 8, "levels": 2}, "tune": None}
SETTINGS = {"SpecGRPP": TINY_SPECGR, "SpecGRPP_RPG": {**RPG, "map_size": 8}}


def made(name: str, settings: dict):
    """A model with random weights that drafts one item a round, its first test row, and the candidates."""
    config = Config(name, "tiny", config_dict={**settings, **SETTINGS[name], "draft_size": 1, "num_beams": 1})
    train, _, test = InductiveDataset(config).build()
    torch.manual_seed(0)
    return model_of(config, train).eval(), test[torch.arange(1)], test.candidates


def last_drafted(model, row, candidates, of: torch.Tensor) -> int:
    """The item of `of` `[n_items]` bool that the drafter likes least."""
    scores = model.draft_scores(row, model.encode_users(row))[0]
    return int(scores.masked_fill(~(candidates & of), torch.inf).argmin())


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "decoding", "named"),
    [
        ("SpecGRPP", {}, ("draft_size", "num_beams")),
        ("SpecGRPP", {"guided_redrafting": False}, ("draft_size",)),
        ("SpecGRPP_RPG", {}, ("draft_size",)),
    ],
)
def test_sizes_that_would_draft_an_item(name, decoding, named, tiny_dataset):
    model, row, candidates = made(name, tiny_dataset)
    model.decoding.update(decoding)
    item = last_drafted(model, row, candidates, candidates)
    assert model.reasons(row, item, 5, candidates).draft.kept_out_by == named
    model.decoding["draft_size"] = int(candidates.sum())
    draft = model.reasons(row, item, 5, candidates).draft
    assert draft.kept_out_by == () and draft.drafted_in == 1


@torch.no_grad()
@pytest.mark.parametrize("name", SETTINGS)
def test_a_switch_and_a_pool_that_keep_items_out(name, tiny_dataset):
    model, row, candidates = made(name, tiny_dataset)
    model.decoding.update(draft_size=int(candidates.sum()), inductive_drafting=False)
    new = last_drafted(model, row, candidates, ~model.seen)
    assert model.reasons(row, new, 5, candidates).draft.kept_out_by == ("inductive_drafting",)
    model.decoding["inductive_drafting"], model.draft_pool_size = True, 3
    assert model.reasons(row, new, 5, candidates).draft.kept_out_by == ("draft_pool",)
    model.draft_pool_size = None
    assert model.reasons(row, new, 5, candidates).draft.kept_out_by == ()


@torch.no_grad()
@pytest.mark.parametrize("name", SETTINGS)
def test_the_drafters_score_and_rank_have_its_bonus(name, tiny_dataset):
    model, row, candidates = made(name, tiny_dataset)
    new = last_drafted(model, row, candidates, ~model.seen)
    seen = last_drafted(model, row, candidates, model.seen)
    plain, of_seen = (model.reasons(row, item, 5, candidates).draft.score for item in (new, seen))
    model.decoding["drafting_bonus"] = 1000.0
    favoured = model.reasons(row, new, 5, candidates).draft
    assert favoured.score == pytest.approx(plain + 1000.0, rel=1e-6)
    assert favoured.rank == int((candidates & ~model.seen).sum())  # the last of the new ones, before all others
    assert model.reasons(row, seen, 5, candidates).draft.score == of_seen
