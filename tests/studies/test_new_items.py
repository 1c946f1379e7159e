"""Why new items are found or not: every number against plain loops."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset
from tiny_runs import TINY_SASREC, TINY_SPECGR, TINY_T5, run

from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.semantic_ids import SemanticIds, load_tokenizer
from recbole_specgr.semantic_ids.quality import K
from recbole_specgr.studies.new_items import FirstRound, draft_and_score, first_round, new_items
from recbole_specgr.studies.trial import Trial
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer

RPG = {**TINY_SASREC, "map_size": 16, "tokenizer": {"codebook_size": 8, "levels": 8}}
TINY = {
    "SpecGRPP": {**TINY_SPECGR, "epochs": 1, "stages": {"pretrain": {}, "finetune": {"epochs": 1}}},
    "SpecGR_Aux": {**TINY_T5, "epochs": 1, "drafter": "SemanticKNN", "draft_size": 7, "num_beams": 6},
    "SpecGRPP_RPG": {**RPG, "draft_size": 10, "unseen_bonus": 0.3},
    "TIGER": {**TINY_T5, "epochs": 1},
    "SASRec": TINY_SASREC,
}
DRAFTING = ["SpecGRPP", "SpecGR_Aux", "SpecGRPP_RPG"]


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """model -> the trial of a run of it on the tiny data set, made once."""
    folder: Path = tmp_path_factory.mktemp("new-items")
    write_tiny_dataset(folder / "dataset")
    made: dict[str, Trial] = {}

    def trial(name: str) -> Trial:
        if name not in made:
            result = run(name, folder, **{**TINY[name], "tune": None})
            config, model, *_, valid, test = load_data_and_model(result["run_dir"])
            trainer = make_trainer(config, model.eval())
            made[name] = Trial(name, result["record"], trainer, {"valid": valid, "test": test})
        return made[name]

    return trial


# ---- the numbers of a first round ------------------------------------------------------------------------------------


@pytest.fixture
def random_round() -> tuple[FirstRound, np.ndarray]:
    """40 rows of up to 12 drafts of 30 items, with likelihoods that are often equal, and which items are seen."""
    rng = np.random.default_rng(0)
    drafts = np.stack([rng.permutation(np.arange(1, 30))[:12] for _ in range(40)])
    likelihoods = -rng.integers(4, 12, drafts.shape) / 4
    for row in range(0, 40, 5):
        drafts[row, 9:], likelihoods[row, 9:] = -1, -np.inf
    return FirstRound(drafts, likelihoods, rng.integers(1, 30, 40)), np.arange(30) % 3 > 0


def brute_force(first: FirstRound, seen: np.ndarray, lengths: list[int], threshold: float, bonus: float) -> dict:
    """The summary, row by row and draft by draft."""
    expected: dict[str, float] = {}
    for name, wanted in (("in_sample_", True), ("unseen_", False)):
        recalls = {length: [] for length in lengths}
        before, after, accepted, scores = [], [], [], []
        for drafts, likelihoods, target in zip(first.drafts, first.likelihoods, first.targets):
            if seen[target] != wanted:
                continue
            pairs = [(item, score) for item, score in zip(drafts.tolist(), likelihoods.tolist()) if item >= 0]
            items = [item for item, _ in pairs]
            for length in lengths:
                recalls[length].append(target in items[:length])
            if target not in items:
                continue
            by_likelihood = [item for item, _ in sorted(pairs, key=lambda pair: -pair[1])]  # keeps the order of equals
            own = dict(pairs)[target]
            before.append(items.index(target) + 1)
            after.append(by_likelihood.index(target) + 1)
            accepted.append(own + (0 if wanted else bonus) > threshold)
            scores.append(own)
        expected |= {f"{name}draft_recall@{length}": mean(map(float, found)) for length, found in recalls.items()}
        expected |= {f"{name}draft_rank_mean": mean(before), f"{name}draft_rank_median": median(before)}
        expected |= {f"{name}verified_rank_mean": mean(after), f"{name}verified_rank_median": median(after)}
        expected |= {f"{name}accepted_share": mean(map(float, accepted)), f"{name}target_score": mean(scores)}
    pairs = [pair for pair in zip(first.drafts.ravel().tolist(), first.likelihoods.ravel().tolist()) if pair[0] >= 0]
    expected["draft_unseen_share"] = mean(float(not seen[item]) for item, _ in pairs)
    for name, wanted in (("seen", True), ("unseen", False)):
        expected[f"{name}_draft_score"] = mean(score for item, score in pairs if seen[item] == wanted)
    return expected


def test_the_summary_of_drafts_against_loops(random_round):
    first, seen = random_round
    found = first.summary(seen, [5, 12], accept_threshold=-2.0, bonus=0.5)
    assert found == pytest.approx(brute_force(first, seen, [5, 12], -2.0, 0.5))
    assert found["unseen_draft_rank_mean"] != found["unseen_verified_rank_mean"]


def test_what_there_is_not_is_left_out(random_round):
    first, _ = random_round
    everything = first.summary(np.ones(30, dtype=bool), [5], -2.0, 0.5)
    assert not any(key.startswith("unseen") for key in everything) and everything["draft_unseen_share"] == 0
    never = FirstRound(first.drafts, first.likelihoods, np.full(40, 77)).summary(np.arange(78) % 2 > 0, [5], -2.0, 0.0)
    assert never["in_sample_draft_recall@5"] == 0 and "in_sample_draft_rank_mean" not in never
    assert "unseen_draft_recall@5" not in never


# ---- of models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAFTING)
def test_first_drafts_against_sorting_and_digit_by_digit(name, trials):
    """The drafter's best candidates, and each one's likelihood as an explanation tells it, without the bonus."""
    trial = trials(name)
    model, (batch, *_) = trial.model, trial.batches(6, 6)
    drafts, likelihoods = draft_and_score(model, batch, trial.candidates, 15)
    assert drafts.shape == likelihoods.shape == (6, 15)
    assert {bool(seen) for seen in model.verifier.seen[drafts].flatten()} == {True, False}
    with torch.no_grad():
        scores = model.draft_scores(batch, model.verifier.read(batch)).masked_fill(~trial.candidates, -torch.inf)
        for row in range(6):
            torch.testing.assert_close(scores[row, drafts[row]], scores[row].sort(descending=True).values[:15])
            reader = model.verifier.read(batch[[row]])
            for item, likelihood in zip(drafts[row].tolist(), likelihoods[row].tolist()):
                digits = model.verifier.digits(reader, item, score_adjustment=True)
                assert likelihood == pytest.approx(mean(d.log_prob for d in digits if d.counts), abs=1e-4)


@pytest.mark.parametrize("name", DRAFTING)
@pytest.mark.parametrize("phase", ["valid", "test"])
def test_the_measure_is_that_of_all_rows_of_its_phase(name, phase, trials):
    trial = trials(name)
    found, at = new_items(trial, phase, drafts=[5, 15]), trial.at(phase)
    settings = trial.model.draft_verify_settings
    targets = at.view.inter_feat["item_id"]
    drafts, likelihoods = draft_and_score(trial.model, at.view[:], at.candidates, 15)
    first = FirstRound(drafts.numpy(), likelihoods.numpy(), targets.numpy())
    seen = at.view.seen.numpy()
    expected = brute_force(first, seen, [5, 15], settings.accept_threshold, settings.unseen_bonus)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-4)
    assert len(first_round(at, 15, rows=7).targets) == 7
    lists = at.evaluated[1]
    for part, of in (("in_sample", seen[targets]), ("unseen", ~seen[targets])):
        listed = [target in row for target, row in zip(targets.tolist(), lists.tolist())]
        assert found[f"{part}_recall@10"] == pytest.approx(np.mean(np.array(listed)[of]), abs=1e-5)


@pytest.mark.parametrize(("name", "ids_folder"), [("TIGER", ""), ("SpecGR_Aux", "backbone")])
def test_neighbours_are_those_of_the_runs_own_codes(name, ids_folder, trials):
    trial = trials(name)
    found, folder = new_items(trial, drafts=[5]), Path(trial.trainer.config["run_dir"]) / ids_folder
    text, ids = np.load(folder / "text_features.npy"), SemanticIds.load(folder / "semantic_ids.npz")
    tuples, place = np.unique(ids.codes[:, :-1].numpy(), axis=0, return_inverse=True)
    vectors = load_tokenizer(folder / "tokenizer.npz").reconstruct(tuples).astype(np.float64)[place.reshape(-1)]
    seen, candidates = trial.view.seen.numpy(), trial.view.candidates.numpy()
    for key, items in (("seen", np.flatnonzero(seen)), ("unseen", np.flatnonzero(candidates & ~seen))):
        weights = []
        for item in items:
            pool = np.flatnonzero(seen & (np.arange(len(seen)) != item))
            cosine = text[pool] @ text[item] / np.linalg.norm(text[pool], axis=1)
            distance = np.square(vectors[pool] - vectors[item]).sum(1).round(6)
            for own in distance[np.argsort(-cosine, kind="stable")[:K]]:
                weights.append(np.clip((K - (distance < own).sum()) / (distance == own).sum(), 0, 1))
        assert found[f"{key}_neighbours_share"] == pytest.approx(np.mean(weights), abs=1e-3)
    assert found["chance_neighbours_share"] == pytest.approx(K / seen.sum())


def test_a_generator_that_does_not_draft_has_no_drafts(trials):
    found = new_items(trials("TIGER"))
    assert {"seen_neighbours_share", "unseen_neighbours_share", "unseen_recall@10"} <= found.keys()
    assert not any("draft" in key for key in found)


def test_what_cannot_be_measured_is_explained(trials):
    with pytest.raises(UserError, match=r"SASRec can't be measured by \[new_items\]: it has no semantic ids"):
        new_items(trials("SASRec"))
    with pytest.raises(UserError, match=r"one of valid, test, but is \[train\]"):
        new_items(trials("TIGER"), phase="train")


def test_a_limit_is_of_rows_and_not_of_batches(trials):
    trial = trials("SpecGRPP")
    assert [len(batch) for batch in trial.batches(4, 6)] == [4, 2]
    whole, some = first_round(trial, 5), first_round(trial, 5, 6)
    np.testing.assert_array_equal(some.drafts, whole.drafts[:6])
