"""Every model satisfies the contract, whether it was written for it or is RecBole's."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from recbole.model.abstract_recommender import SequentialRecommender

from recbole_specgr.items.items import Items
from recbole_specgr.models.contract import ModelContract, RanksByList, ScoresItems, adapted
from recbole_specgr.models.unisrec import UniSRec
from recbole_specgr.settings.registry import get_model, list_models
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import TRAINERS

RECBOLE_MODELS = ("SASRec", "FDSA", "S3Rec")
MODELS = [*list_models()["recbole_specgr"], *RECBOLE_MODELS]
HOOKS = [name for name, member in vars(ModelContract).items() if callable(member) or isinstance(member, classmethod)]


class OnlyScores(SequentialRecommender):
    """A user's class that knows nothing of the contract."""

    trains_on = ("windows",)

    def full_sort_predict(self, interaction):
        raise NotImplementedError


class OnlyLists(SequentialRecommender):
    def full_sort_topk(self, interaction, k, candidates):
        raise NotImplementedError


class CannotRank(SequentialRecommender):
    pass


@pytest.mark.parametrize("name", MODELS)
def test_its_attributes_are_what_the_contract_says(name: str) -> None:
    model = adapted(get_model(name))
    assert issubclass(model, ScoresItems) != issubclass(model, RanksByList)
    assert set(model.needs) <= {field.name for field in fields(Items)}
    assert model.trains_on and set(model.trains_on) <= {"rows", "windows"}
    assert set(model.inheriting_parts) <= set(model.parts_in_order)
    assert model.trainer in TRAINERS
    for attribute in ("needs", "parts_in_order", "inheriting_parts", "trains_on"):
        assert isinstance(getattr(model, attribute), tuple), attribute
    for attribute in ("trained_as", "joins_datasets"):
        assert isinstance(getattr(model, attribute), str), attribute


@pytest.mark.parametrize("name", MODELS)
def test_its_hooks_take_what_the_contract_hands_them(name: str) -> None:
    model = adapted(get_model(name))
    own = [hook for hook in HOOKS if getattr(model, hook) is not getattr(ModelContract, hook)]
    for hook in own:
        taken = list(inspect.signature(getattr(model, hook)).parameters)
        assert taken == list(inspect.signature(getattr(ModelContract, hook)).parameters), hook


@pytest.mark.parametrize("name", MODELS)
def test_its_constructor_takes_what_it_needs(name: str) -> None:
    model = adapted(get_model(name))
    parameters = set(inspect.signature(model.__init__).parameters) - {"self", "config", "dataset"}
    assert set(model.needs) <= parameters
    assert ("parts" in parameters) == bool(model.parts_in_order)


def test_a_class_of_recboles_only_gets_the_defaults_below_its_own() -> None:
    scores, lists = adapted(OnlyScores), adapted(OnlyLists)
    assert issubclass(scores, ScoresItems) and issubclass(lists, RanksByList)
    assert scores.trains_on == ("windows",) and lists.trains_on == ("rows",)
    assert scores.full_sort_predict is OnlyScores.full_sort_predict
    for model in (scores, lists):
        assert not model.inductive and not model.compares_rows and not dict(model.decoding)
        assert model.needs == model.parts_in_order == () and model.trainer == "Trainer"


def test_the_class_keeps_its_name_and_is_made_once() -> None:
    assert adapted(OnlyScores) is adapted(OnlyScores)
    assert (adapted(OnlyScores).__name__, adapted(OnlyScores).__module__) == ("OnlyScores", __name__)
    assert adapted(UniSRec) is UniSRec


def test_recboles_models_and_what_derives_from_them_have_recboles_trainer() -> None:
    sasrec = get_model("SASRec")
    assert adapted(sasrec).trainer == adapted(type("Mine", (sasrec,), {})).trainer == "RecBoleTrainer"


def test_a_class_that_cannot_rank_is_refused() -> None:
    with pytest.raises(UserError, match=r"\[CannotRank\] can't rank all items: it has neither full_sort_predict nor"):
        adapted(CannotRank)
