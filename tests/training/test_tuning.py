"""Settings of inference: the grid in the property files, the choice among them, and what is kept of it."""

import json
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import write_tiny_dataset
from tiny_runs import TINY_T5, run

from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer
from recbole_specgr.training.tuning import check_tuning, doubts, grid_that_is_read, share_tuned_for

SHORT = {**TINY_T5, "epochs": 2}
GRIDS = {
    "TIGER_C": {"epsilon": [0.0, 0.3, 0.6], "num_beams": [2, 10]},
    "LIGER": {"num_generated": [3, 20]},
    "SpecGRPP": {
        "draft_size": [3, 20],
        "num_beams": [4],
        "accept_threshold": [-3.5, -2.6],
        "reranking": [True],
    },
}
SETTINGS = {
    "TIGER_C": {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 1}},
    "LIGER": {"projection_sizes": [16]},
    "SpecGRPP": {"contrastive_batch_size": 128, "stages": {"pretrain": {}, "finetune": {"epochs": 1}}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    write_tiny_dataset(folder / "dataset")
    return folder


@pytest.mark.parametrize("model", GRIDS)
def test_the_best_of_the_grid_is_chosen_and_kept(model: str, folder: Path) -> None:
    result = run(model, folder, **{**SHORT, **SETTINGS[model]}, tune=GRIDS[model])
    tuning = json.loads((Path(result["run_dir"]) / "result.json").read_text())["tuning"]
    assert tuning == result["record"]["tuning"]

    # every point by itself, by the evaluation that any user can run
    metrics = [point.pop("metrics") for point in tuning["points"]]
    points, scores = tuning["points"], []
    for point in points:
        config, loaded, _, _, valid, _ = load_data_and_model(result["run_dir"], point)
        trainer = make_trainer(config, loaded)
        scores.append(trainer.evaluate(valid, load_best_model=False))
    assert metrics == scores
    wanted = [dict(zip(GRIDS[model], values)) for values in product(*GRIDS[model].values())]
    assert len(points) == len(wanted)
    assert all(point in points for point in wanted)
    by_metric = [score["ndcg@10"] for score in scores]
    assert tuning["choice"] == points[by_metric.index(max(by_metric))]
    assert result["best_valid_score"] == max(by_metric)
    assert result["best_valid_result"] == scores[by_metric.index(max(by_metric))]
    assert any(score != scores[0] for score in scores), "the grid is too coarse to test anything"

    config, loaded, *_, test = load_data_and_model(result["run_dir"])
    assert {key: loaded.decoding[key] for key in tuning["choice"]} == tuning["choice"]
    trainer = make_trainer(config, loaded)
    assert trainer.evaluate(test, load_best_model=False) == result["test_result"]


GRID = {"unseen_bonus": [0.0, 0.8, 1.6], "accept_threshold": [-5.2, -99], "draft_size": [50, 100, 200]}


def tried(grid, score):
    """The points of a grid, and the results that `score` of a point gives, in-sample and overall."""
    points = [dict(zip(grid, values)) for values in product(*grid.values())]
    return points, [dict(zip(("in_sample_ndcg@10", "ndcg@10"), score(point))) for point in points]


@pytest.mark.parametrize(
    ("bonus", "idle", "said"),
    [
        (0.8, True, ["accept_threshold made no difference"]),
        (0.8, False, []),
        (1.6, False, ["unseen_bonus [1.6] is the largest value", "in-sample NDCG@10 on valid is 0.0200"]),
        (0.0, False, []),  # nothing lies below it
    ],
)
def test_a_choice_that_says_less_than_it_seems_is_said(bonus, idle, said):
    def score(point):
        near = 0.1 * (point["unseen_bonus"] == bonus) - abs(point["draft_size"] - 100) / 1e4
        accepts_all = not idle and point["accept_threshold"] == -99
        return (0.2 if point["unseen_bonus"] < 1.6 else 0.02), near + 0.01 * accepts_all

    points, results = tried(GRID, score)
    best = max(range(len(points)), key=lambda number: results[number]["ndcg@10"])
    found = doubts(GRID, points, results, best, "NDCG@10")
    assert len(found) == len(said), found
    for sentence, expected in zip(found, said, strict=True):
        assert expected in sentence


def test_nothing_is_tuned_where_the_grid_is_empty(folder: Path) -> None:
    result = run("TIGER_C", folder, **SHORT, tune=None)
    assert "tuning" not in result["record"]


def test_a_setting_that_needs_training_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match=r"\[tune.d_model\]: TIGER has no setting of this name that can change after"):
        run("TIGER", folder, **{**SHORT, "epochs": 1}, tune={"d_model": [8, 16]})


def test_tuning_for_a_share_of_unseen_targets(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    grid = {"epsilon": [0.0, 0.3, 1.0]}
    settings = {**SHORT, **SETTINGS["TIGER_C"]}
    result = run("TIGER_C", folder, **settings, tune=grid, tune_unseen_share=0.75)
    tuning = result["record"]["tuning"]
    assert tuning["unseen_share"] == 0.75
    weighted = []
    for point in tuning["points"]:
        metrics = point["metrics"]
        weighted.append(0.25 * metrics["in_sample_ndcg@10"] + 0.75 * metrics["unseen_ndcg@10"])
    assert tuning["choice"] == {"epsilon": grid["epsilon"][weighted.index(max(weighted))]}
    overall = [point["metrics"]["ndcg@10"] for point in tuning["points"]]
    assert weighted.index(max(weighted)) != overall.index(max(overall)), "valid's own share chooses the same"
    assert result["best_valid_score"] == overall[weighted.index(max(weighted))]
    scores = f"(ndcg@10 {result['best_valid_score']:.4f}, {max(weighted):.4f} if 75% of the targets were unseen)"
    assert scores in caplog.text


def test_auto_tunes_for_the_share_that_test_may_be_expected_to_have(folder: Path, caplog) -> None:
    caplog.set_level("INFO")
    settings = {**SHORT, **SETTINGS["TIGER_C"], "tune": {"epsilon": [0.0, 0.3, 1.0]}}
    result = run("TIGER_C", folder, **settings, tune_unseen_share="auto")
    record = result["record"]
    expected, tuning = record["data"]["expected_unseen_share"], record["tuning"]
    assert record["settings"]["tune_unseen_share"] == "auto"
    assert tuning["unseen_share"] == expected and expected != record["data"]["valid_unseen_share"]
    stated = run("TIGER_C", folder, **settings, tune_unseen_share=expected)["record"]["tuning"]
    assert stated == tuning
    assert f"tune_unseen_share auto: settings of inference are tuned for {expected:.1%} of unseen" in caplog.text


@pytest.mark.parametrize("split", [{"split": "leave_one_out"}, {"launch_holdout": {"share": 0.2, "seed": 1}}])
def test_auto_is_the_share_of_valid_where_nothing_can_be_expected(split, folder: Path, caplog) -> None:
    caplog.set_level("INFO")
    settings = {**SHORT, **SETTINGS["TIGER_C"], **split, "epochs": 1, "tune": {"epsilon": [0.0, 1.0]}}
    tuning = run("TIGER_C", folder, **settings, tune_unseen_share="auto")["record"]["tuning"]
    assert tuning["unseen_share"] is None
    assert tuning == run("TIGER_C", folder, **settings)["record"]["tuning"]
    assert "tuned for valid's own share of unseen targets" in caplog.text


@pytest.mark.parametrize(
    ("seen", "metric", "reason"),
    [
        ([False, True, True], "NDCG@10", "all targets of the valid phase are in-sample"),
        ([False, False, False], "NDCG@10", "all targets of the valid phase are unseen"),
        ([False, True, False], "unseen_NDCG@10", r"[valid_metric: unseen_NDCG@10] is of one part"),
        ([False, True, False], "ItemCoverage@10", "[valid_metric: ItemCoverage@10] is no mean over targets"),
        ([False, True, False], "NDCG@10", "what lies before test does not say what to expect of it"),
    ],
)
def test_auto_says_why_it_is_the_share_of_valid(seen, metric, reason, caplog) -> None:
    config = {"tune_unseen_share": "auto", "valid_metric": metric, "model": "TIGER_C"}
    valid = SimpleNamespace(seen=torch.tensor(seen), inter_feat={"item_id": torch.tensor([1, 2, 1])})
    expected = None if reason.startswith("what lies") else 0.4
    valid.iid_field, valid.split = "item_id", SimpleNamespace(facts={"expected_unseen_share": expected})
    caplog.set_level("INFO")
    check_tuning(config, {"epsilon": [0.0]}, {"epsilon": 0.0}, valid)
    assert share_tuned_for(config, valid) is None
    assert reason in caplog.text


def test_auto_says_nothing_where_nothing_is_tuned(caplog) -> None:
    caplog.set_level("INFO")
    check_tuning({"tune_unseen_share": "auto", "valid_metric": "NDCG@10"}, {}, {}, SimpleNamespace())
    assert not caplog.text


def test_the_boards_rows_are_tuned_for_what_their_files_say(tmp_path) -> None:
    """The importer asks for `auto`; published rows were made without it."""
    for name, tuned in (("amazon_beauty_2014", 0.27), ("ifdb_played", 0.58)):
        folder = write_tiny_dataset(tmp_path, name)
        with open(folder / f"{name}.yaml", "a") as file:
            file.write("tune_unseen_share: auto\n")
        given = {"data_path": str(tmp_path), "use_gpu": False}
        assert Config("SpecGRPP", name, config_dict=given)["tune_unseen_share"] is None
        assert Config("SpecGR_RPG_in_place", name, config_dict=given)["tune_unseen_share"] == tuned
    folder = write_tiny_dataset(tmp_path, "mine")
    with open(folder / "mine.yaml", "a") as file:
        file.write("tune_unseen_share: auto\n")
    config = Config("SpecGR_RPG_in_place", "mine", config_dict={"data_path": str(tmp_path), "use_gpu": False})
    assert config["tune_unseen_share"] == "auto"


def test_a_share_of_unseen_targets_wants_an_overall_metric(folder: Path) -> None:
    settings = {**SHORT, "epochs": 1, "valid_metric": "unseen_NDCG@10"}
    with pytest.raises(UserError, match=r"\[tune_unseen_share: 0.5\] weights the two parts of an overall metric"):
        run("TIGER_C", folder, **settings, tune={"epsilon": [0.0, 0.5]}, tune_unseen_share=0.5)


def test_a_share_of_unseen_targets_wants_both_parts() -> None:
    config = {"tune": {"epsilon": [0.0]}, "tune_unseen_share": 0.5, "valid_metric": "NDCG@10", "model": "TIGER_C"}
    valid = SimpleNamespace(seen=torch.tensor([False, True, True]), inter_feat={"item_id": torch.tensor([1, 2, 1])})
    valid.iid_field = "item_id"
    with pytest.raises(UserError, match=r"all targets of the valid phase are in-sample. Leave it out"):
        check_tuning(config, config["tune"], {"epsilon": 0.0}, valid)


@pytest.mark.parametrize(
    ("expected", "metric", "said"),
    [(0.5, "NDCG@10", True), (0.36, "NDCG@10", False), (None, "NDCG@10", False), (0.5, "unseen_NDCG@10", False)],
)
def test_where_test_may_have_another_share_of_unseen_targets_it_is_said(expected, metric, said, caplog) -> None:
    config = {"tune": {"epsilon": [0.0]}, "tune_unseen_share": None, "valid_metric": metric, "model": "TIGER_C"}
    valid = SimpleNamespace(seen=torch.tensor([False, True]), inter_feat={"item_id": torch.tensor([0, 1, 1])})
    valid.iid_field, valid.split = "item_id", SimpleNamespace(facts={"expected_unseen_share": expected})
    caplog.set_level("INFO")
    check_tuning(config, config["tune"], {"epsilon": 0.0}, valid)
    sentence = "33.3% of unseen targets. From what lies before test, 50.0% may be expected there"
    assert (sentence in caplog.text) is said and ("--tune_unseen_share=auto" in caplog.text) is said
    assert bool(caplog.text) is said


def test_a_share_of_unseen_targets_without_tuning_is_said_to_have_no_effect(caplog) -> None:
    check_tuning({"tune_unseen_share": 0.5, "valid_metric": "NDCG@10"}, {}, {}, SimpleNamespace())
    assert "[tune_unseen_share: 0.5] has no effect" in caplog.text


def test_what_a_verifier_does_not_read_is_not_tuned_unless_somebody_asks_for_it(tiny_dataset) -> None:
    decoding = {"draft_size": 10, "accept_threshold": -1.6}
    config = Config("SpecGR_Aux", "tiny", config_dict={**tiny_dataset, "backbone": "RPG"})
    assert "num_beams" in config["tune"]
    assert grid_that_is_read(config, decoding).keys() == decoding.keys()
    config = Config("SpecGR_Aux", "tiny", config_dict={**tiny_dataset, "backbone": "RPG", "tune.num_beams": [5, 10]})
    grid = grid_that_is_read(config, decoding)
    with pytest.raises(UserError, match=r"\[tune.num_beams\]: SpecGR_Aux has no setting of this name"):
        check_tuning(config, grid, decoding, SimpleNamespace())
    config = Config("RPG", "tiny", config_dict=tiny_dataset)
    assert grid_that_is_read(config, {}) == {}


class TestGridOfLayers:
    def test_a_setting_that_is_given_is_not_tuned(self, tiny_dataset) -> None:
        whole = Config("SpecGRPP", "tiny", config_dict=tiny_dataset)["tune"]
        assert set(whole) == {"draft_size", "num_beams", "accept_threshold"}
        given = Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "draft_size": 7})
        assert given["tune"] == {key: values for key, values in whole.items() if key != "draft_size"}
        assert given["draft_size"] == 7

    def test_the_one_who_gives_a_setting_may_tune_it(self, tiny_dataset) -> None:
        config = Config(
            "SpecGRPP", "tiny", config_dict={**tiny_dataset, "draft_size": 7, "tune": {"draft_size": [7, 8]}}
        )
        assert config["tune"]["draft_size"] == [7, 8]
        assert len(config["tune"]) == 3

    def test_none_turns_it_off_for_one_setting_or_all(self, tiny_dataset) -> None:
        assert Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "tune": None})["tune"] is None
        config = Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "tune.draft_size": None})
        assert set(config["tune"]) == {"num_beams", "accept_threshold"}

    def test_whole_numbers_may_be_written_with_an_exponent(self, tiny_dataset) -> None:
        given = {**tiny_dataset, "tune": {"draft_size": [1e1, 20.0], "num_beams": None}}
        tuned = Config("SpecGRPP", "tiny", config_dict=given)["tune"]
        assert tuned["draft_size"] == [10, 20] and {type(size) for size in tuned["draft_size"]} == {int}
        assert set(tuned) == {"draft_size", "accept_threshold"}

    def test_the_backbones_grid_is_its_own(self, tiny_dataset) -> None:
        config = Config("LIGER", "tiny", config_dict={**tiny_dataset, "backbone": "TIGER_C"})
        assert set(config["tune"]) == {"num_generated"}

    @pytest.mark.parametrize(
        ("tune", "message"),
        [
            ({"draft_sise": [1]}, r"Unknown setting \[tune.draft_sise\] from config_dict. Did you mean \[draft_size\]"),
            ({"draft_size": 10}, r"\[tune.draft_size\] from config_dict must be a list of values to try"),
            ({"draft_size": []}, r"\[tune.draft_size\] from config_dict must be a list of values to try"),
            ([10], r"\[tune\] from config_dict must map settings to the values to try"),
        ],
    )
    def test_a_malformed_grid_is_an_error(self, tune, message, tiny_dataset) -> None:
        with pytest.raises(UserError, match=message):
            Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "tune": tune})
