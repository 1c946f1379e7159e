"""SpecGR_Aux and its parts: lists, training in one command, parts from finished runs, resuming; LIGER's ranking."""

from __future__ import annotations

import shutil
from pathlib import Path

import decoding_oracles as oracle
import numpy as np
import pytest
import torch
import yaml
from conftest import write_tiny_dataset
from tiny_runs import TINY_T5, lists, run

from recbole_specgr.models.tiger import TIGER
from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer

T5 = {**TINY_T5, "epochs": 2}
UNISREC = {"epochs": 2, "train_batch_size": 64, "hidden_size": 16, "inner_size": 16, "n_layers": 1}
SPECULATE = {"draft_size": 7, "num_beams": 6, "accept_threshold": -3.6}
AUX = {**T5, "drafter_settings": UNISREC, **SPECULATE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("composite")
    write_tiny_dataset(folder / "dataset")
    return folder


@pytest.fixture(scope="module")
def aux(folder) -> dict:
    return run("SpecGR_Aux", folder, **AUX)


@pytest.fixture(scope="module")
def tiger(folder) -> dict:
    return run("TIGER", folder, **T5)


def first_batch(run_dir: str, **settings):
    """The model in float64, the first users of the test phase, and its candidates."""
    _, model, _, _, _, test = load_data_and_model(run_dir, settings)
    return model.double().eval().requires_grad_(False), next(iter(test))[0][:6], test._dataset.candidates


@torch.no_grad()
def oracle_lists(backbone, batch, draft_scores, candidates, k: int, **choices) -> list[list[int]]:
    items = candidates.nonzero().squeeze(1).tolist()
    found = []
    for history, scores in zip(backbone.history_tokens(batch), draft_scores):
        user = oracle.OneUser(backbone.backbone, history)
        listed, _, _ = oracle.draft_verify(user, backbone.tokens, items, scores, backbone.seen, k, **choices)
        found.append(listed + [-1] * (k - len(listed)))
    return found


@pytest.mark.parametrize(
    "switch",
    [None, "inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit"],
)
def test_the_lists_are_the_oracles_with_the_drafters_scores(switch, aux) -> None:
    off = {switch: False} if switch else {}
    model, batch, candidates = first_batch(aux["run_dir"], **off)
    scores = model.parts["drafter"].full_sort_predict(batch).view(len(batch), -1)
    choices = {"draft_size": 7, "num_beams": 6, "accept_threshold": -3.6, **off}
    expected = oracle_lists(model.parts["backbone"], batch, scores, candidates, 10, **choices)
    assert model.full_sort_topk(batch, 10, candidates).tolist() == expected
    assert (model.speculate(batch, 10, candidates).round_of >= 0).any(), "the test wants accepted drafts"


def test_specgrpp_on_dsi_gives_the_oracles_lists(folder) -> None:
    settings = {"contrastive_batch_size": 128, "stages": {"pretrain": {}, "finetune": {"epochs": 1}}}
    tokenizer = {"tokenizer": {"codebook_size": 8, "levels": 2}}
    result = run("SpecGRPP", folder, **{**T5, **SPECULATE, **settings, **tokenizer}, backbone="DSI")
    assert (Path(result["run_dir"]) / "tokenizer.npz").is_file()
    model, batch, candidates = first_batch(result["run_dir"])
    users = model.encode_users(batch)
    choices = {"draft_size": 7, "num_beams": 6, "accept_threshold": -3.6}
    expected = oracle_lists(model, batch, users.draft_scores, candidates, 10, **choices)
    assert model.full_sort_topk(batch, 10, candidates).tolist() == expected
    config = yaml.safe_load((Path(result["run_dir"]) / "config.yaml").read_text())
    assert config["tokenizer"]["method"] == "hierarchical_kmeans"


def test_each_part_is_trained_and_stopped_by_itself(aux) -> None:
    training = aux["record"]["training"]
    assert list(training) == ["drafter", "backbone"]
    assert [len(part["history"]) for part in training.values()] == [2, 2]
    for part in training.values():
        scores = [epoch["ndcg@10"] for epoch in part["history"]]
        assert part["best_epoch"] == 1 + scores.index(max(scores))
    folder = Path(aux["run_dir"])
    for part, model in (("drafter", "UniSRec"), ("backbone", "TIGER")):
        config, alone, *_ = load_data_and_model(folder / part)  # a part's folder is laid out like a run
        assert config["model"] == model
        whole = load_data_and_model(folder)[1].parts[part]
        assert all(torch.equal(value, whole.state_dict()[name]) for name, value in alone.state_dict().items())


def test_a_drafter_that_knows_ids_only_drafts_seen_items(folder) -> None:
    settings = {"epochs": 2, "train_batch_size": 64, "hidden_size": 16, "inner_size": 16, "n_layers": 1}
    result = run("SpecGR_Aux", folder, **{**AUX, "drafter": "SASRec", "drafter_settings": settings})
    model, batch, candidates = first_batch(result["run_dir"], accept_threshold=-9.0)
    drafter, seen = model.parts["drafter"], model.parts["backbone"].seen
    found = model.speculate(batch, 10, candidates)
    assert seen[found.items[found.round_of >= 0]].all() and (found.round_of >= 0).any()

    # it reads histories without unseen items; by a plain loop, one user at a time
    items, length = batch["item_id_list"], batch["item_length"]
    assert (~seen[items] & (items > 0)).any(), "the test wants unseen items in histories"
    scores = torch.full((len(batch), len(seen)), -torch.inf, dtype=torch.float64)
    for row in range(len(batch)):
        history = [item for item in items[row, : length[row]].tolist() if seen[item]]
        history = history or items[row, : length[row]].tolist()
        user = batch[row : row + 1]
        user.update(
            type(batch)({"item_id_list": torch.zeros_like(items[:1]), "item_length": torch.tensor([len(history)])})
        )
        user["item_id_list"][0, : len(history)] = torch.tensor(history)
        scores[row] = drafter.full_sort_predict(user)[0].masked_fill(~seen, -torch.inf)
    choices = {"draft_size": 7, "num_beams": 6, "accept_threshold": -9.0}
    backbone = model.parts["backbone"]
    expected = oracle_lists(backbone, batch, scores, candidates, 10, inductive_drafting=False, **choices)
    assert found.items.tolist() == expected


def test_a_verifier_that_accepts_next_to_no_draft_is_told_of(aux, folder, caplog) -> None:
    """Thresholds that are made for another verifier turn drafting off, and the metrics would not say so."""
    parts = {"drafter": "SemanticKNN", "drafter_settings": {}, "backbone_run": f"{aux['run_dir']}/backbone"}
    told = "of the items in the lists are drafts that the verifier accepted"
    for threshold, said in ((0.0, True), (-99.0, False)):
        caplog.clear()
        result = run("SpecGR_Aux", folder, **{**AUX, **parts, "accept_threshold": threshold})
        config, model, *_, test = load_data_and_model(result["run_dir"])
        trainer = make_trainer(config, model)
        trainer.evaluate(test, load_best_model=False)
        assert (trainer.listed.drafted == 0) is said
        assert (told in caplog.text) is said
        assert ("[accept_threshold: 0.0]. Give a lower --accept_threshold" in caplog.text) is said
    batches = [model.speculate(batch[0], 10, test._dataset.candidates) for batch in test]
    listed = sum(int((batch.items >= 0).sum()) for batch in batches)
    assert trainer.listed.drafted == sum(int((batch.round_of >= 0).sum()) for batch in batches) / listed > 0.01


def test_any_drafter_on_any_backbone_by_name(folder) -> None:
    settings = {**AUX, "drafter": "SemanticKNN", "drafter_settings": {}, "backbone": "DSI"}
    result = run("SpecGR_Aux", folder, **{**settings, "tokenizer": {"codebook_size": 8, "levels": 2}, "epochs": 1})
    _, model, *_ = load_data_and_model(result["run_dir"])
    assert [type(part).__name__ for part in model.parts.values()] == ["SemanticKNN", "DSI"]
    assert lists(result["run_dir"])[1] == result["test_result"]


class TestPartsFromRuns:
    def test_they_are_used_as_they_are(self, tiger, folder, tmp_path) -> None:
        drafter = run("UniSRec", folder, **UNISREC, MAX_ITEM_LIST_LENGTH=10, seed=3)
        backbone = shutil.copytree(tiger["run_dir"], tmp_path / "tiger")
        taken = {"drafter_run": drafter["run_dir"], "backbone_run": str(backbone)}
        # what the runs were made with counts, not what is said here
        settings = {**AUX, **taken, "d_model": 64, "drafter_settings": {}}
        result = run("SpecGR_Aux", folder, **settings, stages={"drafter": {"epochs": 100}})
        assert result["record"]["training"] == {}
        sources = {"drafter_run": drafter["record"], "backbone_run": tiger["record"]}
        for setting, theirs in result["record"]["taken"].items():
            assert theirs["record"] == sources[setting]["digest"], "what it is made of can be found"
            assert theirs["settings"] == sources[setting]["settings"]
        assert result["record"]["taken"].keys() == sources.keys()
        parts = load_data_and_model(result["run_dir"])[1].parts
        for part, source in (("drafter", drafter["run_dir"]), ("backbone", tiger["run_dir"])):
            theirs = load_data_and_model(source)[1].state_dict()
            assert all(torch.equal(value, parts[part].state_dict()[name]) for name, value in theirs.items())
        before = lists(result["run_dir"])
        shutil.rmtree(backbone)  # the run needs nothing outside of its folder
        after = lists(result["run_dir"])
        assert torch.equal(before[0], after[0]) and before[1] == after[1] == result["test_result"]

    def test_a_part_of_another_composite_will_do(self, aux, folder) -> None:
        source = Path(aux["run_dir"])
        taken = {"drafter_run": str(source / "drafter"), "backbone_run": str(source / "backbone")}
        again = run("SpecGR_Aux", folder, **AUX, **taken)
        assert again["test_result"] == aux["test_result"]

    def test_one_may_be_trained_and_the_other_taken(self, tiger, folder) -> None:
        result = run("SpecGR_Aux", folder, **AUX, backbone_run=tiger["run_dir"])
        assert list(result["record"]["training"]) == ["drafter"]

    def test_a_part_may_itself_have_its_parameters_from_a_run_of_another_model(self, tiger, folder) -> None:
        tiger_c = run("TIGER_C", folder, **T5, backbone_run=tiger["run_dir"])["run_dir"]
        result = run("SpecGR_Aux", folder, **AUX, backbone="TIGER_C", backbone_run=tiger_c)
        backbone = load_data_and_model(result["run_dir"])[1].parts["backbone"].state_dict()
        theirs = load_data_and_model(tiger["run_dir"])[1].state_dict()
        assert all(torch.equal(value, backbone[name]) for name, value in theirs.items())

    def test_a_run_of_another_model_is_refused(self, tiger, folder) -> None:
        with pytest.raises(UserError, match=r"\[drafter_run\]: .* is a run of TIGER, not of UniSRec"):
            run("SpecGR_Aux", folder, **AUX, drafter="UniSRec", drafter_run=tiger["run_dir"])
        with pytest.raises(UserError, match=r"\[drafter: TIGER\] can't draft"):
            run("SpecGR_Aux", folder, **AUX, drafter_run=tiger["run_dir"])

    def test_what_is_not_named_is_what_the_run_is_of(self, folder) -> None:
        drafter = run("SemanticKNN", folder, MAX_ITEM_LIST_LENGTH=10)["run_dir"]
        backbone = run("TIGER_decoder", folder, **{**T5, "epochs": 1})["run_dir"]
        taken = {"drafter_run": drafter, "backbone_run": backbone, "MAX_ITEM_LIST_LENGTH": 10}
        record = run("SpecGR_Aux", folder, **SPECULATE, **taken)["record"]
        assert (record["settings"]["drafter"], record["settings"]["backbone"]) == ("SemanticKNN", "TIGER_decoder")
        assert record["display_name"] == "SpecGR (SemanticKNN, TIGER_decoder)"

    def test_a_run_of_other_data_is_refused(self, tiger, folder) -> None:
        with pytest.raises(UserError, match=r"\[backbone_run\]: .* is of other data: its split_times is"):
            run("SpecGR_Aux", folder, **AUX, backbone_run=tiger["run_dir"], timestamp_split=[0.7, 0.85])

    def test_an_unfinished_run_is_refused(self, tiger, folder, tmp_path) -> None:
        unfinished = shutil.copytree(tiger["run_dir"], tmp_path / "unfinished" / "run")
        (unfinished / "result.json").unlink()
        with pytest.raises(UserError, match=r"\[backbone_run\]: .* is not finished"):
            run("SpecGR_Aux", folder, **AUX, backbone_run=str(unfinished))
        with pytest.raises(UserError, match=r"\[backbone_run\]: .*nowhere is no run"):
            run("SpecGR_Aux", folder, **AUX, backbone_run=str(tmp_path / "nowhere"))


class TestTIGER_CFromTIGER:
    def test_it_is_tiger_with_new_items_and_is_not_trained(self, tiger, folder, tmp_path) -> None:
        source = shutil.copytree(tiger["run_dir"], tmp_path / "tiger")
        settings = {**T5, "tokenizer": {**T5["tokenizer"], "codebook_size": 9}}  # the ids are those of the run
        result = run("TIGER_C", folder, **settings, backbone_run=str(source), tune=None, seed=9)
        assert result["record"]["training"]["train"]["epochs"] == 0
        assert result["record"]["parameters"]["trainable"] == tiger["record"]["parameters"]["trainable"]
        mine, theirs = (load_data_and_model(of["run_dir"])[1].state_dict() for of in (result, tiger))
        assert mine.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in mine.items())
        before = lists(result["run_dir"])
        old, new = lists(tiger["run_dir"])[0], before[0]
        most = int(0.1 * old.size(1))
        assert torch.equal(old[:, : old.size(1) - most], new[:, : old.size(1) - most])
        shutil.rmtree(source)  # the run needs nothing outside of its folder
        after = lists(result["run_dir"])
        assert torch.equal(before[0], after[0]) and before[1] == after[1] == result["test_result"]

    def test_other_sizes_and_other_models_are_refused(self, tiger, aux, folder) -> None:
        with pytest.raises(UserError, match="does not fit this TIGER_C"):
            run("TIGER_C", folder, **{**T5, "d_ff": 24}, backbone_run=tiger["run_dir"])
        with pytest.raises(UserError, match=r"\[backbone_run\]: .* is a run of SpecGR_Aux, not of TIGER"):
            run("TIGER_C", folder, **T5, backbone_run=aux["run_dir"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drafter": "UniSRecc"}, r"UniSRecc.*Did you mean \[UniSRec\]"),
        ({"drafter": "TIGER"}, r"\[drafter: TIGER\] can't draft"),
        ({"backbone": "SASRec"}, r"\[backbone: SASRec\] can't verify"),
        ({"drafter_settings": {"hiden_size": 3}}, r"\[hiden_size\] from the settings of \[drafter\]"),
    ],
)
def test_what_cannot_be_put_together_is_an_error(settings, message, folder) -> None:
    runs = set((folder / "runs").glob("*/*/*"))
    with pytest.raises(UserError, match=message):
        run("SpecGR_Aux", folder, **settings)
    assert set((folder / "runs").glob("*/*/*")) == runs, "nothing is left behind"


def test_ctrl_c_in_a_part_and_going_on(aux, folder, monkeypatch, caplog) -> None:
    calculate_loss, steps = TIGER.calculate_loss, []

    def stopping(model, interaction):
        steps.append(None)
        if len(steps) == 12:  # in the second epoch of the backbone
            raise KeyboardInterrupt
        return calculate_loss(model, interaction)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TIGER, "calculate_loss", stopping)
        run("SpecGR_Aux", folder, **AUX)
    unfinished = next(
        path for path in (folder / "runs/tiny/SpecGR_Aux").iterdir() if not (path / "result.json").exists()
    )
    assert f"--resume={unfinished}" in caplog.text.split("Interrupted")[1].splitlines()[0]
    resumed = run("SpecGR_Aux", folder, **AUX, resume=str(unfinished))
    assert resumed["run_dir"] == str(unfinished)
    assert resumed["test_result"] == aux["test_result"]


class TestSettingsOfTheParts:
    def test_the_backbone_has_those_of_the_whole_and_the_drafter_its_own(self, tiny_dataset) -> None:
        given = {"d_model": 32, "epochs": 7, "tokenizer": {"levels": 4}, "eval_batch_size": 11, "seed": 5}
        whole = Config("SpecGR_Aux", "tiny", config_dict={**tiny_dataset, **given})
        backbone = whole.part("DSI", {"epochs": 9}, "here", inherits=True)
        assert (backbone["d_model"], backbone["epochs"], backbone["tokenizer"]["levels"]) == (32, 9, 4)
        assert (backbone["eval_batch_size"], backbone["seed"], backbone["stages"]) == (11, 5, {"train": {}})
        drafter = whole.part("UniSRec", {"hidden_size": 8}, "here")
        alone = Config("UniSRec", "tiny", config_dict=tiny_dataset)
        assert (drafter["eval_batch_size"], drafter["seed"], drafter["hidden_size"]) == (11, 5, 8)
        for key in ("epochs", "learning_rate", "train_batch_size", "stages", "n_layers", "warmup_steps"):
            assert drafter[key] == alone[key], key

    def test_a_backbones_tuned_settings_lie_below_the_models(self, tiny_dataset, tmp_path) -> None:
        tuned = tmp_path / "properties" / "tuned" / "tiny"
        tuned.mkdir(parents=True)
        (tuned / "TIGER.yaml").write_text("d_model: 48\nepochs: 13\nstages: {train: {epochs: 3}}\n")
        (tuned / "SpecGRPP.yaml").write_text("d_ff: 24\n")
        config = Config("SpecGRPP", "tiny", config_dict=tiny_dataset)
        assert (config["d_model"], config["d_ff"]) == (48, 24)
        assert config["epochs"] == 100, "SpecGRPP's own file says so"
        assert list(config["stages"]) == ["pretrain", "finetune"]
        assert Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "d_model": 16})["d_model"] == 16

    def test_a_backbone_on_itself_is_an_error(self, tiny_dataset) -> None:
        with pytest.raises(UserError, match="goes round in a circle: DSI on DSI"):
            Config("DSI", "tiny", config_dict={**tiny_dataset, "backbone": "DSI"})


@pytest.mark.parametrize(
    ("variant", "settings", "losses"),
    [
        ("2.1", {"contrastive_weight": 0, "stages": {"finetune": {"epochs": 0}}}, [{"generation"}, set()]),
        ("2.2", {"contrastive_weight": 0}, [{"generation"}, {"generation", "ranking"}]),
        ("2.3", {"stages": {"finetune": {"epochs": 0}}}, [{"generation", "contrastive"}, set()]),
    ],
)
def test_the_training_variants_of_table_3(variant, settings, losses, folder) -> None:
    epochs = {**T5, "epochs": 1, "contrastive_batch_size": 128, **SPECULATE}
    settings = {"stages": {"finetune": {"epochs": 1}}, **settings}
    result = run("SpecGRPP", folder, **epochs, **settings)
    names = [
        {name.removeprefix("loss_") for epoch in stage["history"] for name in epoch if name.startswith("loss_")}
        for stage in result["record"]["training"].values()
    ]
    assert names == losses
    assert lists(result["run_dir"])[1] == result["test_result"]


@pytest.mark.parametrize("num_generated", [4, 15])
def test_liger_ranks_generated_and_unseen_items_by_dense_scores(num_generated, folder) -> None:
    settings = {**T5, "epochs": 1, "projection_sizes": [16], "num_beams": 5, "num_generated": num_generated}
    result = run("LIGER", folder, **settings)
    model, batch, candidates = first_batch(result["run_dir"])
    items = candidates.nonzero().squeeze(1).tolist()
    ranked = model.full_sort_topk(batch, 10, candidates)
    tokens, encoded = model.encode(batch)
    vectors = model.projection(model.features).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    history, length = batch["item_id_list"], batch["item_length"]
    for row in range(len(batch)):
        # the encoder's input, token by token
        n_digits, own = model.tokens.size(1), history[row, : length[row]].tolist()
        words = []
        for place, item in enumerate(own):
            for digit in range(n_digits):
                word = model.backbone.embedding.weight[model.tokens[item, digit]] + model.projection(
                    model.features[item]
                )
                words.append(word + model.item_position.weight[place] + model.digit_position.weight[digit])
        ids = model.tokens[own].flatten()[None]
        alone = model.backbone.encode(ids, model.input_norm(torch.stack(words))[None])[0]
        torch.testing.assert_close(alone, encoded[row, : len(words)])

        user = oracle.OneUser(model.backbone, tokens[row])
        user.encoded = encoded[row : row + 1]
        beams = max(5, num_generated)
        generated = oracle.beam_search(user, model.tokens, items, num_generated, beams)
        pool = sorted({*generated, *(item for item in items if not model.seen[item])})
        scores = vectors[pool] @ alone[-1].numpy()
        score_of = dict(zip(pool, scores))
        assert set(ranked[row].tolist()) <= set(pool)
        assert len(set(ranked[row].tolist())) == 10
        # items of equal text have equal scores
        np.testing.assert_allclose([score_of[item] for item in ranked[row].tolist()], np.sort(scores)[::-1][:10])
