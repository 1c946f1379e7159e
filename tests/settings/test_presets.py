"""What a preset makes of the size of the data, and what it leaves."""

import pytest
import yaml
from conftest import ROOT, write_tiny_dataset

from recbole_specgr.quick_start import run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.presets import RULES, DataSize, power_of_two
from recbole_specgr.system.errors import UserError

FEW = DataSize(rows=4500, items=200, seen_items=170)
MANY = DataSize(rows=2_000_000, items=60_000, seen_items=40_000)


@pytest.fixture
def auto(tiny_dataset):
    """Settings of the tiny data set with the preset that data of one's own have."""
    return {**tiny_dataset, "preset": "auto"}


def settings_of(model, given, size, dataset="tiny"):
    config = Config(model, dataset, config_dict=given)
    config.follow_data(size)
    return config


def test_few_data_get_a_small_model(auto):
    """By hand: sqrt(170) / 2 = 6.5 codes, 4500 / 64 = 70 rows a batch, 71 steps an epoch, 600 / 71 = 8 epochs."""
    config = settings_of("SpecGRPP", auto, FEW)
    expected = {"d_model": 64, "d_kv": 16, "d_ff": 256, "num_layers": 1, "train_batch_size": 64}
    expected |= {"contrastive_batch_size": 128, "warmup_steps": 0.05, "epochs": 8, "eval_step": 1, "stopping_step": 5}
    assert {key: config[key] for key in expected} == expected
    assert config["tokenizer"]["codebook_size"] == 8
    assert config["stages"]["finetune"] == {"epochs": 3, "learning_rate": 0.0001}


def test_data_without_a_training_row_are_refused_in_words(auto, tmp_path):
    rows = [f"u{user}\ti{(user + 2 * step) % 7}\t{step}" for user in range(9) for step in range(3)]
    head = "user_id:token\titem_id:token\ttimestamp:float"
    (tmp_path / "dataset" / "tiny" / "tiny.inter").write_text("\n".join([head, *rows]) + "\n")
    for model in ("SASRec", "TIGER"):
        with pytest.raises(UserError, match=r"train phase .* is empty: .* needs users with 4 interactions or more"):
            run_recbole(model, "tiny", config_dict={**auto, "split": "leave_one_out"})


def test_many_data_keep_the_sizes(auto):
    config, paper = settings_of("SpecGRPP", auto, MANY), Config("SpecGRPP", "tiny", config_dict=auto)
    changed = {key for key, value in config.to_dict().items() if value != paper.to_dict()[key]}
    assert changed == {"tokenizer", "warmup_steps"}
    assert (config["tokenizer"]["codebook_size"], config["warmup_steps"]) == (128, 0.05)
    assert settings_of("SpecGRPP", {**auto, "preset": "small"}, MANY)["num_layers"] == 1


def test_what_is_said_above_the_models_file_stays(auto, tmp_path):
    data = tmp_path / "dataset" / "tiny" / "tiny.yaml"
    data.write_text(data.read_text() + "tokenizer: {codebook_size: 4}\n")
    tuned = tmp_path / "properties" / "tuned" / "tiny" / "TIGER.yaml"
    tuned.parent.mkdir(parents=True)
    tuned.write_text("num_layers: 3\n")
    given = {**auto, "train_batch_size": 500, "stages.finetune.epochs": 15}
    config = settings_of("SpecGRPP", given, FEW)
    assert config["tokenizer"]["codebook_size"] == 4 and config["num_layers"] == 3
    assert config["train_batch_size"] == 500 and config["stages"]["finetune"]["epochs"] == 15
    assert config["epochs"] == 67, "600 steps of 9 an epoch"
    assert set(config.preset_changes) == set(config.follows_data) & set(config.preset_changes)
    assert not {"num_layers", "train_batch_size", "tokenizer.codebook_size"} & config.follows_data


@pytest.mark.parametrize("dataset", sorted(path.stem for path in (ROOT / "properties" / "dataset").glob("*.yaml")))
def test_data_sets_with_published_results_keep_their_settings(tmp_path, dataset):
    (tmp_path / dataset).mkdir()
    (tmp_path / dataset / f"{dataset}.inter").touch()
    config = settings_of("SpecGRPP", {"data_path": str(tmp_path)}, FEW, dataset)
    assert config["preset"] == "paper" and config.preset_changes == {} and config.follows_data == set()


def test_settings_of_a_run_stay_as_they_are(auto):
    config = settings_of("TIGER", auto, FEW)
    saved = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    again = Config.from_dict(saved)
    again.follow_data(MANY)
    assert again.to_dict() == config.to_dict()
    del saved["preset"]  # a run from before there was the setting
    assert Config.from_dict(saved)["preset"] == "paper"


def test_parts_follow_the_data_too(auto):
    config = settings_of("SpecGR_Aux", auto, FEW)
    drafter, backbone = (config.part(name, {}, "a test") for name in ("UniSRec", "TIGER"))
    assert (drafter["hidden_size"], backbone["d_kv"], backbone["train_batch_size"]) == (64, 16, 64)


def test_powers_of_two():
    assert [power_of_two(value, 4, 64) for value in (0, 3, 5, 6, 45, 46, 1000)] == [4, 4, 4, 8, 32, 64, 64]


def test_an_unknown_preset_is_refused(auto):
    with pytest.raises(UserError, match=r"preset.*large"):
        Config("TIGER", "tiny", config_dict={**auto, "preset": "large"})


def test_a_run_states_what_it_follows_and_keeps_it(auto, caplog):
    given = {**auto, "epochs": 1, "hidden_size": 8, "inner_size": 8, "topk": [5], "valid_metric": "NDCG@5"}
    result = run_recbole("SASRec", "tiny", config_dict=given)
    assert "preset auto, for 494 training rows and 63 seen of 78 items: train_batch_size 32 (256)" in caplog.text
    assert "codebook_size" not in caplog.text.partition("preset auto")[2].partition("In brackets")[0]
    assert result["record"]["settings"]["train_batch_size"] == 32


def test_a_model_that_trains_nothing_states_nothing(auto, caplog):
    given = {**auto, "topk": [5], "valid_metric": "NDCG@5"}
    for model in ("MostPop", "RecentPop", "SemanticKNN"):
        run_recbole(model, "tiny", config_dict=given)
    assert "0 trained" in caplog.text and "preset" not in caplog.text


def test_a_small_data_set_is_learned_from(auto, tmp_path):
    """A quarter of what the preset would train for beats popularity, overall and, by any hit, on new items."""
    write_tiny_dataset(tmp_path / "dataset", "small", n_users=150)
    given = {**auto, "text_dim": 64, "tune": None}
    popular = run_recbole("MostPop", "small", config_dict=given)["test_result"]
    result = run_recbole("SpecGRPP", "small", config_dict={**given, "epochs": 10, "stages.finetune.epochs": 1})
    assert result["record"]["settings"]["warmup_steps"] == 0.05
    assert result["test_result"]["recall@10"] > 1.2 * popular["recall@10"]
    assert result["test_result"]["unseen_recall@50"] > popular["unseen_recall@50"] == 0


def test_the_page_names_every_rule():
    page = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8")
    assert all(f"`{rule.key}`" in page for rule in RULES)
