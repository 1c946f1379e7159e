"""Recommendations from a finished run, against the model's own evaluation, brute force and teacher forcing."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.model.sequential_recommender import SASRec
from recbole.utils.case_study import full_sort_scores, full_sort_topk
from serving_oracles import HISTORIES, NEW, assert_same, content

from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.changes import CHANGES
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.item_text import FrameTexts
from recbole_specgr.text.lsa import LSA
from recbole_specgr.training import make_trainer


@pytest.fixture(scope="module")
def specgr(tiny_runs) -> Recommender:
    """Nobody changes its items."""
    return Recommender.load(tiny_runs / "SpecGRPP")


@pytest.fixture(scope="module")
def sasrec(tiny_runs) -> Recommender:
    return Recommender.load(tiny_runs / "SASRec")


@pytest.fixture
def run(tiny_runs, tmp_path) -> Path:
    """A copy of the run of SpecGRPP that a test may change."""
    return Path(shutil.copytree(tiny_runs / "SpecGRPP", tmp_path / "run"))


@pytest.fixture
def recommender(run) -> Recommender:
    return Recommender.load(run)


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["SpecGRPP", "SASRec"])
def test_lists_are_those_of_the_test_phase(model, tiny_runs):
    config, network, *_, test = load_data_and_model(tiny_runs / model)
    trainer = make_trainer(config, network.double())
    trainer.config["metrics"] = ["Recall", "ItemCoverage"]  # the last wants the lists kept
    trainer = make_trainer(config, network)
    trainer.evaluate(test, load_best_model=False)
    view = test._dataset
    batch = view[torch.arange(len(view))]
    histories = [
        view.id2token(view.iid_field, row[:length].numpy()).tolist()
        for row, length in zip(batch["item_id_list"], batch["item_length"])
    ]
    expected = [view.id2token(view.iid_field, row[row >= 0].numpy()).tolist() for row in trainer.rows["rec.items"]]
    assert Recommender.load(tiny_runs / model).recommend(histories, 10).items == expected


@pytest.mark.parametrize("model", ["FPMC", "HGN", "Caser"])
def test_a_model_that_reads_users_has_no_lists_of_histories(model, tiny_dataset):
    small = {"epochs": 1, "topk": [5], "valid_metric": "NDCG@5", "embedding_size": 8, "MAX_ITEM_LIST_LENGTH": 10}
    reader = Recommender.load(run_recbole(model, "tiny", config_dict={**tiny_dataset, **small})["run_dir"])
    with pytest.raises(UserError, match=f"{model} can't recommend by a history: it also reads who the user is"):
        reader.recommend([["i1", "i2"]], k=5)
    with pytest.raises(UserError, match="reads who the user is"):
        reader.explain(["i1"], "i2")


@pytest.mark.parametrize("exclude", [None, "history"])
@pytest.mark.parametrize("name", ["specgr", "sasrec"])
def test_batches_of_any_size_give_the_same_lists(name, exclude, request):
    recommender = request.getfixturevalue(name)
    whole = recommender.recommend(HISTORIES, 10, exclude=exclude, batch_size=1000)
    assert len({tuple(items) for items in whole.items}) > 10
    for size in (1, 7):
        assert_same(whole, recommender.recommend(HISTORIES, 10, exclude=exclude, batch_size=size))
    for start in range(0, len(HISTORIES), 7):  # and whatever else is asked for in the same call
        part = recommender.recommend(HISTORIES[start : start + 7], 10, exclude=exclude)
        assert part.items == whole.items[start : start + 7]


def test_batches_of_copies_of_an_item_give_the_same_lists(run):
    """Scores that are equal on paper, which each shape of a product of matrices rounds in its own way."""
    copies = NEW.iloc[[0] * 12].assign(item_id=[f"copy{n}" for n in range(12)])
    recommender = Recommender.load(run)
    recommender.add_items(copies)
    whole = recommender.recommend(HISTORIES, 30)
    assert any(sum(item.startswith("copy") for item in items) > 3 for items in whole.items)
    assert_same(whole, recommender.recommend(HISTORIES, 30, batch_size=1))


def test_candidates_and_exclusions_cut_the_whole_ranking(sasrec):
    whole = sasrec.recommend(HISTORIES, 80).items
    candidates = [f"i{n}" for n in range(0, 60, 3)]
    for chosen, exclude in ((candidates, None), (None, candidates), (None, "history"), (candidates, "history")):
        found = sasrec.recommend(HISTORIES, 8, candidates=chosen, exclude=exclude).items
        for history, ranking, items in zip(HISTORIES, whole, found):
            out = history if exclude == "history" else exclude or []
            stay = [item for item in ranking if item not in out and (chosen is None or item in chosen)]
            assert items == stay[:8]
    each = [ranking[:3] for ranking in whole]
    for given in (each, iter(each), [[item.encode() for item in items] for items in each]):
        assert sasrec.recommend(HISTORIES, 4, exclude=given).items == [ranking[3:7] for ranking in whole]
    without = sasrec.recommend(HISTORIES[:1], 4, exclude=candidates).items
    for given in (iter(candidates), (item for item in candidates), [item.encode() for item in candidates]):
        assert sasrec.recommend(HISTORIES[:1], 4, exclude=given).items == without


def test_nothing_excluded_is_recommended_by_specgr(specgr):
    found = specgr.recommend(HISTORIES, 10, exclude="history", candidates=[f"i{n}" for n in range(40)])
    for history, items in zip(HISTORIES, found.items):
        assert not set(items) & set(history)
        assert set(items) <= {f"i{n}" for n in range(40)}
    assert max(map(len, found.items)) == 10  # some have less, for beams end where the candidates do


def test_settings_of_inference_hold_for_one_call(specgr, tiny_runs):
    usual, before = specgr.recommend(HISTORIES, 10), specgr.decoding
    changed = specgr.recommend(HISTORIES, 10, draft_size=3, num_beams=5, threshold=-3.3)
    settings = {"draft_size": 3, "num_beams": 5, "accept_threshold": -3.3}
    assert_same(changed, Recommender.load(tiny_runs / "SpecGRPP", config_dict=settings).recommend(HISTORIES, 10))
    assert changed.items != usual.items
    assert specgr.decoding == before
    assert_same(usual, specgr.recommend(HISTORIES, 10))
    assert (specgr.recommend(HISTORIES, 5, threshold=-1e9).rounds == 1).all()
    assert (specgr.recommend(HISTORIES, 5, threshold=1.0).rounds == 0).all()


def test_a_model_that_can_not_compute_in_fp64_does_in_fp32(tiny_runs, monkeypatch, caplog):
    predict = SASRec.full_sort_predict

    def only_in_fp32(model, interaction):
        if model.item_embedding.weight.dtype != torch.float32:
            raise RuntimeError("expected scalar type Double but found Float")
        return predict(model, interaction)

    in_fp32 = Recommender.load(tiny_runs / "SASRec", precision="fp32").recommend(HISTORIES, 10)
    monkeypatch.setattr(SASRec, "full_sort_predict", only_in_fp32)
    assert_same(in_fp32, Recommender.load(tiny_runs / "SASRec").recommend(HISTORIES, 10))
    assert "SASRec can't compute in fp64" in caplog.text


def test_entries_say_how_they_came_about(specgr, sasrec):
    found = specgr.recommend(HISTORIES, 10)
    entry = found[0][0]
    assert (entry.item, entry.score, entry.round) == (found.items[0][0], found.scores[0, 0], found.rounds[0, 0])
    assert {entry.drafted for entries in found for entry in entries} == {True, False}
    assert sasrec.recommend(HISTORIES[:1], 3)[0][0].round == -1
    frame = found.frame([f"user {n}" for n in range(len(HISTORIES))])
    assert frame[frame.user_id == "user 7"].item_id.tolist() == found.items[7]
    assert frame["rank"].tolist() == [*range(1, 11)] * len(HISTORIES)


def test_unknown_items_are_dropped_and_counted_or_an_error(specgr):
    mixed = [["i1", "never", "i2"], ["i3"], ["nope", "nor this"], []]
    found = specgr.recommend(mixed, 5)
    assert found.items[:2] == specgr.recommend([["i1", "i2"], ["i3"]], 5).items
    assert found.items[2:] == [[], []] and found.empty == (2, 3) and found.unknown == 3
    with pytest.raises(UserError, match=r"History 0 holds items that the run does not know: never.*add_items"):
        specgr.recommend(mixed, 5, on_unknown="error")
    with pytest.raises(UserError, match="History 1 is empty"):
        specgr.recommend([["i1"], []], 5, on_unknown="error")
    known = specgr.recommend([["i1"]], 3, candidates=["i2", "i5", "nope"])
    assert set(known.items[0]) == {"i2", "i5"}
    with pytest.raises(UserError, match=r"1 of 2 candidates are items that the run does not know, such as i999"):
        specgr.recommend([["i1"]], 3, candidates=["i2", "i999"], on_unknown="error")


def test_popularity_has_a_list_for_users_of_whom_nothing_is_known(tiny_dataset):
    settings = {**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5"}
    popular = Recommender.load(run_recbole("MostPop", "tiny", config_dict=settings)["run_dir"])
    found = popular.recommend([[], ["i1"], ["nope"], []], 5, on_unknown="drop")
    assert found.empty == () and found.unknown == 1
    assert found.items[0] == found.items[2] == found.items[3] and len(found.items[0]) == 5
    assert popular.recommend([[]], 5, on_unknown="error").items == found.items[:1]
    assert popular.recommend([[], []], 5).items == [found.items[0]] * 2  # nobody has a history
    without = popular.recommend([[], ["i1"]], 5, exclude=[found.items[0][:1], []])
    assert without.items[0][:4] == found.items[0][1:]
    assert popular.explain([], found.items[0][2], 5).place == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"histories": ["i1", "i2"]}, "is a single item"),
        ({"histories": "i1"}, "list of histories"),
        ({"histories": {"u": ["i1"]}}, "values"),
        ({"k": 0}, "whole number"),
        ({"k": 2.5}, "whole number"),
        ({"batch_size": 0}, "whole number"),
        ({"on_unknown": "ignore"}, "drop or error"),
        ({"candidates": []}, "nothing to recommend"),
        ({"candidates": "i1"}, "not a text"),
        ({"candidates": ["nope"]}, "does not know"),
        ({"exclude": "everything"}, "history"),
        ({"exclude": [["i1"], ["i2"]]}, "2 histories, but there are 1"),
        ({"draft_sizes": 5}, r"Did you mean \[draft_size\]"),
        ({"epsilon": 0.1}, "no setting of SpecGRPP's inference"),
        ({"draft_size": 0}, "whole number"),
        ({"num_beams": "many"}, "whole number"),
        ({"threshold": "low"}, "must be a number"),
        ({"order": "random"}, r"order \[random\] must be one of merged, accepted_first, unseen_in_place"),
        ({"reranking": 1}, "True or False"),
        ({"mmr_weight": 1.5}, r"mmr_weight \[1.5\] must be a number from 0 to 1"),
        ({"unseen_bonus": float("inf")}, "must be finite"),
    ],
)
def test_arguments_that_can_not_be(given, message, specgr):
    with pytest.raises(UserError, match=message):
        specgr.recommend(**{"histories": [["i1"]], "k": 5, **given})


# -- items that come and go --------------------------------------------------------------------------------------------


def test_added_items_are_recommended_saved_and_gone_when_removed(run, recommender):
    before, ids = recommender.recommend(HISTORIES, 20), recommender.model.tokens.clone()
    assert recommender.add_items(NEW) == 4
    assert torch.equal(recommender.model.tokens[: len(ids)], ids)
    after = recommender.recommend(HISTORIES, 20)
    assert {item for items in after.items for item in items} & set(NEW.item_id)
    assert not set(content(run)) & {CHANGES}  # not before `save`
    assert recommender.save() == run / CHANGES
    assert_same(after, Recommender.load(run).recommend(HISTORIES, 20))
    history_of_new = recommender.recommend([["n1"]], 5)
    assert_same(history_of_new, Recommender.load(run).recommend([["n1"]], 5))

    assert recommender.remove_items(NEW.item_id) == 4
    assert_same(before, recommender.recommend(HISTORIES, 20))
    assert torch.equal(recommender.model.tokens, ids)
    recommender.save()
    assert_same(before, Recommender.load(run).recommend(HISTORIES, 20))


def test_changes_that_somebody_else_has_saved_are_not_written_over(run, recommender):
    other = Recommender.load(run)
    recommender.add_items(NEW.iloc[:1])
    recommender.save()
    other.add_items(NEW.iloc[1:2])
    with pytest.raises(UserError, match=r"changed by another process.*Load the run again"):
        other.save()
    assert Recommender.load(run).recommend([["n1"]], 5).items[0]  # what was saved first is there
    recommender.add_items(NEW.iloc[2:3])  # one's own saves follow each other
    recommender.save()
    third = Recommender.load(run)
    third.add_items(NEW.iloc[1:2])
    third.save()
    assert {"n1", "n2", "n3"} <= set(Recommender.load(run).catalogue.item_tokens.tolist())


def test_items_added_one_by_one_are_as_those_added_together(run, recommender):
    recommender.add_items(NEW)
    together = recommender.recommend(HISTORIES, 20)
    other = Recommender.load(run)
    for row in range(len(NEW)):
        other.add_items(NEW.iloc[[row]])
    assert_same(together, other.recommend(HISTORIES, 20))


def test_one_of_several_added_items_can_go(recommender):
    recommender.add_items(NEW)
    recommender.remove_items("n2")
    left = recommender.recommend(HISTORIES, 20)
    assert "n2" not in {item for items in left.items for item in items}
    recommender.remove_items(["n1", "n3", "n4"])
    recommender.add_items(NEW.drop(1))
    assert_same(left, recommender.recommend(HISTORIES, 20))


def test_items_of_training_leave_the_lists_and_come_back(run, recommender):
    before = recommender.recommend(HISTORIES, 10)
    gone = before.items[0][:3]
    recommender.remove_items(gone)
    without = recommender.recommend(HISTORIES, 10)
    assert not {item for items in without.items for item in items} & set(gone)
    recommender.save()
    loaded = Recommender.load(run)
    assert_same(without, loaded.recommend(HISTORIES, 10))
    rows = pd.DataFrame({"item_id": gone, **dict.fromkeys(("title", "genre", "description"), "")})
    assert loaded.add_items(rows) == 3
    assert_same(before, loaded.recommend(HISTORIES, 10))


def test_an_item_that_nobody_used_can_be_launched(run, recommender):
    catalogue = recommender.catalogue
    (unused, *_) = catalogue.item_tokens[1:][~catalogue.candidates[1:].numpy()]
    row = pd.DataFrame({"item_id": [unused], **dict.fromkeys(("title", "genre", "description"), "")})
    assert recommender.add_items(row) == 1
    recommender.save()
    for loaded in (recommender, Recommender.load(run)):
        assert loaded.recommend([["i1"]], 5, candidates=[unused]).items == [[unused]]
    recommender.remove_items([unused])
    recommender.save()
    with pytest.raises(UserError, match="nothing to recommend"):
        Recommender.load(run).recommend([["i1"]], 5, candidates=[unused])


def test_vectors_take_the_place_of_text(run, recommender):
    sentences = FrameTexts(NEW, ["title", "genre", "description"], {}, " ", "unicode").sentences
    vectors = LSA.load(run / "lsa.npz").encode(sentences)
    recommender.add_items(NEW[["item_id"]], vectors)
    from_vectors = recommender.recommend(HISTORIES, 20)
    other = Recommender.load(run)
    other.add_items(NEW)
    assert_same(from_vectors, other.recommend(HISTORIES, 20))


def test_what_a_table_may_look_like(run, recommender):
    records = NEW.rename(columns={"item_id": "item_id:token", "title": "title:token_seq"}).to_dict("records")
    recommender.add_items(records)
    other = Recommender.load(run)
    other.add_items(NEW.assign(price=3, genre=[[genre] for genre in NEW.genre]))
    assert_same(recommender.recommend(HISTORIES, 20), other.recommend(HISTORIES, 20))


def random_vectors(n: int, width: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(3).standard_normal((n, width)).astype(np.float32)


MANY = pd.DataFrame({"item_id": [f"m{n}" for n in range(20)]})


@pytest.mark.parametrize(
    ("items", "vectors", "message"),
    [
        (NEW.assign(item_id=["n1", "n2", "i7", "n4"]), None, r"1 of the 4 new items are in the catalogue already.*i7"),
        (NEW.assign(item_id=["n1", "n2", "n1", "n4"]), None, "stand in the table twice, such as n1"),
        (NEW.assign(item_id=["n1", None, "n3", "n4"]), None, r"Row 2 of the new items has no \[item_id\]"),
        (NEW.rename(columns={"item_id": "id"}), None, r"no column \[item_id\]"),
        (NEW.drop(columns="genre"), None, r"no column genre. SpecGRPP reads title, genre, description"),
        (NEW.head(0), None, "no rows"),
        (NEW.assign(title="", genre="", description=""), None, "None of the new items has any text"),
        (NEW, random_vectors(3, 16), "4 new items, but 3 vectors"),
        (NEW, random_vectors(4, 7), "7 wide, but those of SpecGRPP are 16 wide"),
        (NEW, np.full((4, 16), np.nan), "NaN"),
        (MANY, -np.abs(random_vectors(20, 16)), "made by another encoder"),
    ],
)
def test_items_that_can_not_be_added_change_nothing(items, vectors, message, run, recommender):
    files, before = content(run), recommender._state
    with pytest.raises(UserError, match=message):
        recommender.add_items(items, vectors)
    assert recommender._state is before
    assert content(run) == files


def test_an_item_in_another_writing_is_not_added_again(recommender):
    recommender.add_items(NEW.assign(item_id=["7", "8.0", "9", "n4"]))
    with pytest.raises(UserError, match=r"2 of the new items seem to be in .* another writing.*such as 7\.0"):
        recommender.add_items(NEW.assign(item_id=["7.0", "8", "10", "11.0"]))
    assert recommender.add_items(NEW.assign(item_id=[6, 10, 11.0, "n5"])) == 4


def test_vectors_of_another_scale_are_refused(run, recommender):
    vectors = np.load(run / "text_features.npy")[1:21]
    with pytest.raises(UserError, match="scaled otherwise"):
        recommender.add_items(MANY, vectors * 100)
    assert recommender.add_items(MANY, vectors) == 20


def test_items_are_not_removed_twice(recommender):
    recommender.remove_items(["i1"])
    for gone in ("i1", "i999"):
        with pytest.raises(UserError, match=f"such as {gone}"):
            recommender.remove_items([gone, "i2"])
    assert recommender.catalogue.candidates[recommender._state.row_of["i2"]]


def test_new_items_without_a_readable_text_are_told(recommender, caplog):
    recommender.add_items(NEW.assign(title="", genre=["action", "", "", ""], description=""))
    assert "3 of 4 new items (such as n2, n3, n4) have no text" in caplog.text


def test_a_transductive_model_says_why_it_takes_no_items(sasrec):
    with pytest.raises(UserError, match=r"SASRec can't take new items: it has learned a vector.*SpecGRPP"):
        sasrec.add_items(NEW)


def test_ids_that_were_imported_can_not_be_extended(run):
    (run / "tokenizer.npz").unlink()
    settings = (run / "config.yaml").read_text().replace("semantic_ids: null", "semantic_ids: table.csv")
    (run / "config.yaml").write_text(settings)
    recommender = Recommender.load(run)
    with pytest.raises(UserError, match=r"ids come from table\.csv, and no tokenizer came with them"):
        recommender.add_items(NEW)
    assert len(recommender.recommend([["i1"]], 5).items[0]) == 5


def test_no_room_for_an_id_is_an_error_and_a_near_id_is_a_note(recommender, caplog):
    copies = pd.concat([NEW.head(1)] * 400).assign(item_id=[f"c{n}" for n in range(400)])
    try:
        recommender.add_items(copies)
        assert "get codes near their own" in caplog.text
    except UserError as error:
        assert "no free semantic id" in str(error)
    tokens = recommender.model.tokens[1:]
    assert len(tokens.unique(dim=0)) == len(tokens)


# -- why ---------------------------------------------------------------------------------------------------------------


def test_an_explanation_agrees_with_the_list_and_with_teacher_forcing(specgr):
    history = HISTORIES[20]
    entries = specgr.recommend([history], 10)[0]
    for place, entry in enumerate(entries, 1):
        why = specgr.explain(history, entry.item, 10)
        assert why.place == place and why.round == entry.round
        assert why.score == pytest.approx(entry.score, abs=1e-6)
        counted = [digit.log_prob for digit in why.digits if digit.counts]
        assert np.mean(counted) == pytest.approx(entry.score, abs=1e-6)  # digits are by teacher forcing
        assert len(counted) == len(why.digits) - (not why.seen)
        assert (why.drafted_in is not None) or not entry.drafted
        assert entry.item in str(why) and f"place {place} of 10" in str(why)


def test_an_explanation_ranks_as_drafter_and_verifier_do(specgr):
    state = specgr._state
    interaction = specgr.interaction(state, [[state.row_of[item] for item in HISTORIES[20][-10:]]])
    with torch.no_grad():
        users = specgr.model.encode_users(interaction)
        every = torch.arange(1, len(state.allowed))
        verified = torch.full((len(state.allowed),), -torch.inf, dtype=torch.float64)
        verified[1:] = specgr.model.score_items(interaction, every[None], state.allowed)[0]
    ranks = {}
    for name, scores in (("drafter_rank", users.draft_scores[0]), ("model_rank", verified)):
        scores = scores.float().masked_fill(~state.allowed, -torch.inf)
        ranks[name] = {row: int((scores > scores[row]).sum()) + 1 for row in every.tolist()}
    for item in ("i3", "i44", "i70", "i79"):
        why = specgr.explain(HISTORIES[20], item, 10)
        row = state.row_of[item]
        assert (why.drafter_rank, why.model_rank) == (ranks["drafter_rank"][row], ranks["model_rank"][row])
        for near in why.neighbours:
            both = state.model.tokens[[row, state.row_of[near.item]]][:, : near.shared_digits]
            assert torch.equal(both[0], both[1])


def test_an_explanation_names_the_bonus_and_what_else_orders_the_list(specgr):
    new = next(
        entry.item
        for entry in specgr.recommend([HISTORIES[20]], 20)[0]
        if not specgr.explain(HISTORIES[20], entry.item).seen
    )
    plain = specgr.explain(HISTORIES[20], new, 20)
    turned = specgr.explain(HISTORIES[20], new, 20, unseen_bonus=0.5, drafter_weight=2.0)
    assert turned.score == pytest.approx(plain.score + 0.5)
    assert "with a bonus of 0.5 for a new item" in str(turned) and "bonus" not in str(plain)
    assert "ordered by its score + 2 times the drafter's (drafter_weight)." in str(turned) and plain.order == ""
    in_place = specgr.explain(HISTORIES[20], new, 20, order="unseen_in_place")
    assert "New items have the drafter's places; a seen item is ordered by its score, in the places left" in str(
        in_place
    )
    assert "in which they were drafted" in specgr.explain(HISTORIES[20], new, 20, reranking=False).order
    seen = specgr.explain(HISTORIES[20], "i3", 20, unseen_bonus=0.5)
    assert seen.seen and seen.bonus == 0 and "bonus" not in str(seen)


def test_an_explanation_says_why_not(specgr, sasrec):
    listed = specgr.recommend([HISTORIES[3]], 5)
    others = specgr.recommend([HISTORIES[3]], 5, exclude=listed.items[0], draft_size=20, threshold=-9).items[0]
    reasons = [
        specgr.explain(HISTORIES[3], item, 5) for item in [*listed.items[0], *others, *(f"i{n}" for n in range(9))]
    ]
    assert {why.item for why in reasons if why.place} == set(listed.items[0])
    assert all(why.reason for why in reasons)
    rejected = [why for why in reasons if "rejected" in why.reason]
    assert rejected and all(why.score <= why.threshold for why in rejected)
    small = {"draft_size": 1, "num_beams": 1}
    far = max((why for why in reasons if not why.place), key=lambda why: why.drafter_rank).item
    assert "A larger draft_size or num_beams may draft it." in specgr.explain(HISTORIES[3], far, 5, **small).reason
    unguided = specgr.explain(HISTORIES[3], far, 5, **small, guided_redrafting=False).reason
    assert "A larger draft_size may draft it." in unguided and "beams" not in unguided
    new = str(specgr.catalogue.item_tokens[int((specgr._state.allowed & ~specgr.catalogue.seen).nonzero()[0])])
    assert "inductive_drafting is off" in specgr.explain(HISTORIES[3], new, 5, inductive_drafting=False).reason
    dense = sasrec.explain(HISTORIES[3], sasrec.recommend([HISTORIES[3]], 8).items[0][7], 5)
    assert dense.model_rank == 8 and "7 items score higher" in dense.reason
    plain = sasrec.recommend([HISTORIES[3]], 5).items[0]
    diverse = sasrec.recommend([HISTORIES[3]], 5, mmr_weight=0.9).items[0]
    left = sasrec.explain(HISTORIES[3], next(item for item in plain if item not in diverse), 5, mmr_weight=0.9)
    assert left.place is None and left.model_rank <= 5 and "mmr_weight" in left.reason
    with pytest.raises(UserError, match=r"no item \[i1234\]"):
        specgr.explain(HISTORIES[3], "i1234")
    with pytest.raises(UserError, match="nothing to explain"):
        specgr.explain(["nope"], "i1")


# -- many at once ------------------------------------------------------------------------------------------------------


def test_threads_read_while_items_come_and_go(recommender):
    without = recommender.recommend(HISTORIES, 10).items
    recommender.add_items(NEW)
    having = recommender.recommend(HISTORIES, 10).items
    assert having != without
    found, faults, stop = [], [], threading.Event()

    def read(settings: dict) -> None:
        try:
            while not stop.is_set():
                found.append((settings, recommender.recommend(HISTORIES, 10, **settings).items))
        except Exception as error:
            faults.append(error)

    readers = [threading.Thread(target=read, args=(settings,)) for settings in ({}, {}, {"draft_size": 3})]
    other = {"draft_size": 3}
    expected = {"{}": [without, having]}
    few = [recommender.recommend(HISTORIES, 10, **other).items]
    recommender.remove_items(NEW.item_id)
    expected[str(other)] = [*few, recommender.recommend(HISTORIES, 10, **other).items]
    for reader in readers:
        reader.start()
    for _ in range(8):
        recommender.add_items(NEW)
        recommender.recommend(HISTORIES[:2], 5)
        recommender.remove_items(NEW.item_id)
    stop.set()
    for reader in readers:
        reader.join()
    assert not faults and len(found) >= 3
    assert all(items in expected[str(settings)] for settings, items in found)


# -- RecBole's own way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["SpecGRPP", "SASRec"])
def test_recboles_case_study_works_on_our_runs(model, tiny_runs):
    config, network, dataset, _, _, test = load_data_and_model(tiny_runs / model)
    users = list(dict.fromkeys(test.dataset.inter_feat["user_id"].tolist()))[:4]
    names = dataset.id2token(dataset.uid_field, users)
    series = dataset.token2id(dataset.uid_field, names)
    scores, items = full_sort_topk(series, network, test, k=5, device=config["device"])
    every = full_sort_scores(series, network, test, device=config["device"])
    assert every.shape == (len(items), dataset.item_num) and len(items) >= 4
    torch.testing.assert_close(every.gather(1, items), scores)

    view = test.dataset
    rows = torch.cat([(view.inter_feat["user_id"] == user).nonzero().squeeze(1) for user in users]).sort().values
    batch = view[rows]
    histories = [
        view.id2token(view.iid_field, row[:length].numpy()).tolist()
        for row, length in zip(batch["item_id_list"], batch["item_length"])
    ]
    ours = Recommender.load(tiny_runs / model).recommend(histories, 80)
    tokens = view.id2token(view.iid_field, items)
    order = (view.inter_feat["user_id"] == torch.tensor(users)[:, None]).nonzero(as_tuple=True)[1]  # RecBole's
    for position, row in enumerate(order.tolist()):
        recommended = [item for item in ours.items[rows.tolist().index(row)] if item in set(tokens[position])]
        listed = [item for item, score in zip(tokens[position], scores[position].isfinite()) if score]
        if model == "SpecGRPP":  # the scores of an id-based model include items that it never saw
            assert recommended[: len(listed)] == listed
