"""Settings: their layers, their names, their values."""

import math
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from recbole.utils import general_arguments, training_arguments

from recbole_specgr.commands import command_line as cli
from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.precedence import deep_merge, expand_dotted
from recbole_specgr.settings.yaml_values import parse_value, read_mapping
from recbole_specgr.system.errors import UserError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5E+2", 500.0),
        (".5e1", 5.0),
        ("-1.6", -1.6),
        ("0", 0),
        ("true", True),
        ("None", None),
        ("~", None),
        ("", None),
        ("[10, 50]", [10, 50]),
        ("{a: 1e-2}", {"a": 0.01}),
        ("2020-01-01", "2020-01-01"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("1/0", "1/0"),
        ("None_of_these", "None_of_these"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("1_000", 1000),
        ("-.inf", -math.inf),
    ],
)
def test_a_value_is_yaml(text, value):
    parsed = parse_value(text, "a test")
    assert parsed == value and type(parsed) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back(number):
    assert parse_value(repr(number), "a test") == number


def test_yaml_cannot_run_code():
    with pytest.raises(UserError, match="not a YAML value"):
        parse_value("!!python/object/apply:os.getcwd []", "a test")


# ---- layers --------------------------------------------------------------------------------------------------------

groups = st.recursive(
    st.integers(), lambda members: st.dictionaries(st.sampled_from("abc"), members, min_size=1), max_leaves=8
)
mappings = st.dictionaries(st.sampled_from("abc"), groups)


def leaves(values, path=()):
    """{path: value} of every value that is not a group."""
    if not isinstance(values, dict):
        return {path: values}
    return {key: value for name, member in values.items() for key, value in leaves(member, (*path, name)).items()}


@given(mappings, mappings)
def test_deep_merge_replaces_values_and_nothing_else(low, high):
    """Against flat paths: the values of `low` survive where `high` has nothing at, above or below their path."""
    before = yaml.safe_dump([low, high])
    over = leaves(high)
    survive = {
        path: value
        for path, value in leaves(low).items()
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in over)
    }
    assert leaves(deep_merge(low, high)) == {**survive, **over}
    assert yaml.safe_dump([low, high]) == before


def test_dotted_keys_reach_into_groups():
    values = {"tokenizer.levels": 2, "epochs": 1, "tokenizer.rqvae.epochs": 5}
    assert expand_dotted(values, "a test") == {"tokenizer": {"levels": 2, "rqvae": {"epochs": 5}}, "epochs": 1}
    for clash in ({"a": 1, "a.b": 2}, {"a.b": 1, "a": 2}, {"a.": 1}, {".a": 1}, {"": 1}):
        with pytest.raises(UserError):
            expand_dotted(clash, "a test")


def test_every_layer_goes_over_the_ones_below(tiny_dataset, tmp_path):
    """One key a layer: each layer sets its own key and those of all layers below it, and the highest wins."""
    keys = ["learning_rate", "weight_decay", "clip_grad_norm", "epochs", "stopping_step", "eval_step", "seed"]
    layers = ["overall", "dataset/tiny", "model/SASRec", "tuned/tiny/SASRec", None, None, None]
    paths = [tmp_path / "properties" / f"{name}.yaml" if name else None for name in layers]
    paths[4] = tmp_path / "baselines" / "Mine.yaml"
    paths[5] = tmp_path / "mine.yaml"
    for number, path in enumerate(paths[:6]):
        base = "base: SASRec\n" if number == 4 else ""
        write(path, base + "".join(f"{key}: {number + 1}\n" for key in keys[number:]))
    config = Config("Mine", "tiny", [str(paths[5])], {**tiny_dataset, "seed": 7})
    assert [config[key] for key in keys] == [1, 2, 3, 4, 5, 6, 7]


def test_groups_merge_and_lists_replace(tiny_dataset):
    config = Config(
        "SASRec",
        "tiny",
        config_dict={**tiny_dataset, "tokenizer": {"levels": 4}, "topk": [5], "valid_metric": "NDCG@5"},
    )
    assert config["tokenizer"]["levels"] == 4
    assert config["tokenizer"]["codebook_size"] == 64
    assert config["topk"] == [5]


def test_properties_go_over_the_file_beside_the_data(tiny_dataset, tmp_path):
    assert Config("SASRec", "tiny", config_dict=tiny_dataset)["text_fields"] == ["title", "genre", "description"]
    write(tmp_path / "properties" / "dataset" / "tiny.yaml", "text_fields: [title]\n")
    config = Config("SASRec", "tiny", config_dict=tiny_dataset)
    assert config["text_fields"] == ["title"]
    assert config["load_col"]["item"] == ["item_id", "title", "genre", "description"]


def test_a_config_does_not_leak_into_the_next(tiny_dataset):
    before = list(general_arguments), list(training_arguments)
    given = {**tiny_dataset, "tokenizer": {"levels": 2}}
    first = Config("SASRec", "tiny", config_dict=given)
    first["tokenizer"]["levels"] = 9
    Config("SASRec", "ml-100k", config_dict={"use_gpu": False})
    assert given["tokenizer"] == {"levels": 2}
    assert Config("SASRec", "tiny", config_dict=tiny_dataset)["tokenizer"]["levels"] == 3
    assert (general_arguments, training_arguments) == before


def test_sys_argv_is_left_to_the_command_line(tiny_dataset, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--epochs=3", "--durations=5", "-x"])
    assert Config("SASRec", "tiny", config_dict=tiny_dataset)["epochs"] == 100


# ---- what a user can get wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, ["[epoch]", "config_dict", "[epochs]"]),
        ({"tokenizer.codebok_size": 32}, ["[tokenizer.codebok_size]", "[codebook_size]"]),
        ({"tokenizer": {"rqvae": {"epoch": 3}}}, ["[tokenizer.rqvae.epoch]", "[epochs]"]),
        ({"tokenizer": "rqkmeans"}, ["[tokenizer]", "group", "tokenizer.method"]),
        ({"stages": {"finetune": {"epochs": 1}}}, ["[stages.finetune]", "train"]),
        ({"stages.train.epoch": 1}, ["[stages.train.epoch]", "[epochs]"]),
        ({"stages.train.epochs": -1}, ["[stages.train.epochs]", "-1"]),
        ({"stages.train.topk": [5]}, ["[stages.train.topk]", "whole run", "Set [topk]"]),
        ({"stages.train.eval_batch_size": 8}, ["[stages.train.eval_batch_size]", "whole run"]),
        ({"tokenizer.levels": 4, "tokenizer": {"levels": 2}}, ["config_dict gives [tokenizer.levels] twice"]),
        ({"stages.train": {"epochs": 1}, "stages": {"train": {"epochs": 2}}}, ["[stages.train.epochs] twice"]),
        ({"user_inter_num_interval": "(5"}, ["[user_inter_num_interval: (5]", "[5,inf)"]),
        ({"item_inter_num_interval": "[1,4],[5,9]"}, ["[item_inter_num_interval", ";"]),
        ({"val_interval": {"rating": "[9,3]"}}, ["[val_interval.rating: [9,3]]", "ascending"]),
        ({"transform": "crop_itemseq"}, ["[transform: crop_itemseq]", "[eta]", "[SASRec]"]),
        ({"metric_decimal_place": 1}, ["[metric_decimal_place]", "from 4"]),
        ({"epochs": "many"}, ["[epochs]", "number", "many"]),
        ({"epochs": 1.5}, ["[epochs]", "1.5"]),
        ({"reproducibility": 1}, ["[reproducibility]", "True or False"]),
        ({"eval_args": {"split": {"LS": "test_only"}}}, ["[eval_args.split", "test_only", "leave_one_out"]),
        ({"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}, ["[eval_args.split", "timestamp_split"]),
        ({"eval_args.split.LS": "valid_and_test", "split": "by_time"}, ["by_time", "[eval_args.split]"]),
        ({"eval_args": {"group_by": "user"}}, ["[eval_args.group_by: user]", "[split]"]),
        ({"split": "leave_two_out"}, ["leave_two_out", "leave_one_out", "by_time"]),
        ({"eval_args": {"mode": "uni100"}}, ["[eval_args.mode", "timestamp_split"]),
        ({"metrics": ["Recal"]}, ["metrics: Recal", "[Recall]"]),
        ({"metrics": "AUC"}, ["[AUC]"]),
        ({"topk": [10, 0]}, ["[topk]", "0"]),
        ({"valid_metric": "Recall@20"}, ["Recall@20", "Recall@10", "unseen_"]),
        ({"valid_metric": "unsen_Recall@10"}, ["unsen_Recall@10"]),
        ({"precision": "fp8"}, ["[precision]", "bf16"]),
        ({"learning_rate": 0}, ["[learning_rate]"]),
        ({"train_batch_size": 0}, ["[train_batch_size]"]),
        ({"n_layer": 1}, ["[n_layer]", "[n_layers]"]),
        ({"embedding_size": 8}, ["[embedding_size]"]),  # GRU4Rec's, not SASRec's
    ],
)
def test_a_wrong_setting_is_named(tiny_dataset, settings, words):
    with pytest.raises(UserError) as caught:
        Config("SASRec", "tiny", config_dict={**tiny_dataset, **settings})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "properties" / "tuned").glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_every_tuned_setting_is_one_that_the_model_has(tmp_path, file):
    name = file.parent.name
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.inter").touch()
    columns = "load_col: {item: [item_id, kind]}\nselected_features: [kind]\nitem_attribute: kind\n"
    (tmp_path / name / f"{name}.yaml").write_text("" if name == "ml-100k" else columns)
    config = Config(file.stem, name, config_dict={"data_path": str(tmp_path)})
    for key, value in yaml.safe_load(file.read_text()).items():
        if value == "auto":
            assert config[key] in ("fp32", "bf16")  # which of them, the device says
        elif key not in ("stages", "tune"):
            assert deep_merge({key: config[key]}, {key: value}) == {key: config[key]}


@pytest.mark.parametrize("place", ["overall", "dataset/tiny", "tuned/tiny/SASRec"])
def test_an_unknown_key_is_found_in_every_file(tiny_dataset, tmp_path, place):
    path = write(tmp_path / "properties" / f"{place}.yaml", "learning_rte: 1\n")
    with pytest.raises(UserError, match=r"learning_rte.*learning_rate") as caught:
        Config("SASRec", "tiny", config_dict=tiny_dataset)
    assert str(path) in str(caught.value)


def test_a_bad_config_file_is_named(tiny_dataset, tmp_path):
    for name, text in {"list.yaml": "- 1", "broken.yaml": "a: [1", "key.yaml": "epoch: 1"}.items():
        with pytest.raises(UserError, match=name):
            Config("SASRec", "tiny", [str(write(tmp_path / name, text))], tiny_dataset)
    with pytest.raises(UserError, match=r"none\.yaml"):
        Config("SASRec", "tiny", [str(tmp_path / "none.yaml")], tiny_dataset)


def test_an_unknown_data_set_lists_what_there_is(tiny_dataset):
    with pytest.raises(UserError, match=r"\[tine\].*Did you mean \[tiny\].*ml-100k.*recbole-specgr import-data"):
        Config("SASRec", "tine", config_dict=tiny_dataset)


def test_feature_models_need_the_data_sets_column(tiny_dataset):
    assert Config("FDSA", "tiny", config_dict=tiny_dataset)["selected_features"] == ["genre"]
    with pytest.raises(UserError, match=r"selected_features.*title, genre"):
        Config("FDSA", "tiny", config_dict={**tiny_dataset, "selected_features": None})
    with pytest.raises(UserError, match=r"item_attribute.*\[colour\].*title, genre"):
        Config("S3Rec", "tiny", config_dict={**tiny_dataset, "item_attribute": "colour"})


# ---- what the rest of the program relies on ------------------------------------------------------------------------


def test_ml_100k_is_the_default_and_comes_with_recbole():
    config = Config("SASRec", config_dict={"use_gpu": False})
    assert config["dataset"] == "ml-100k" and config["data_path"].endswith("dataset_example/ml-100k")
    assert config["launch_holdout"] == {"share": 0.2, "seed": 2026}
    assert config["normalize_all"] is False
    assert config["eval_args"]["split"] == {"timestamp": [0.8, 0.9]}
    assert config["load_col"]["item"] == ["item_id", "movie_title", "release_year", "class"]


def test_stages_are_the_models(tiny_dataset):
    assert Config("SASRec", "tiny", config_dict=tiny_dataset)["stages"] == {"train": {}}
    stages = Config("S3Rec", "tiny", config_dict={**tiny_dataset, "stages.finetune.epochs": 1e1})["stages"]
    assert list(stages) == ["pretrain", "finetune"] and stages["finetune"] == {"train_stage": "finetune", "epochs": 10}


def test_valid_metric_of_a_subset_keeps_its_direction(tiny_dataset):
    settings = {"metrics": ["Recall", "AveragePopularity"], "topk": 10}
    for metric, bigger in (("unseen_Recall@10", True), ("in_sample_averagepopularity@10", False)):
        config = Config("SASRec", "tiny", config_dict={**tiny_dataset, **settings, "valid_metric": metric})
        assert config["valid_metric_bigger"] is bigger


def test_what_is_measured_is_measured_once(tiny_dataset):
    settings = {"metrics": ["Recall", "NDCG", "recall"], "topk": [10, 5, 10], "valid_metric": "NDCG@10"}
    config = Config("SASRec", "tiny", config_dict={**tiny_dataset, **settings})
    assert (config["metrics"], config["topk"]) == (["Recall", "NDCG"], [10, 5])


@pytest.mark.parametrize("text", ["epochs: 1\nseed: 2\nepochs: 3\n", "tokenizer: {levels: 2, levels: 4}\n"])
def test_a_key_that_stands_twice_in_a_file_is_refused(tiny_dataset, tmp_path, text):
    file = write(tmp_path / "twice.yaml", text)
    with pytest.raises(UserError, match=r"twice\.yaml is not valid YAML: \[(epochs|levels)\] stands there twice"):
        Config("SASRec", "tiny", [str(file)], tiny_dataset)


def test_a_key_that_is_merged_in_may_be_given_anew(tmp_path):
    file = write(tmp_path / "merged.yaml", "one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\n")
    assert read_mapping(file)["two"] == {"a": 1, "b": 3}


@pytest.mark.parametrize("values", [(10, 5), np.array([10, 5])])
def test_lists_may_be_other_sequences(tiny_dataset, values):
    settings = {"topk": values, "metrics": ("Recall", "NDCG"), "valid_metric": "NDCG@10"}
    config = Config("SASRec", "tiny", config_dict={**tiny_dataset, **settings})
    assert (config["metrics"], config["topk"]) == (["Recall", "NDCG"], [10, 5])


def test_an_empty_grid_tunes_nothing(tiny_dataset):
    assert Config("SpecGRPP", "tiny", config_dict=tiny_dataset)["tune"]
    assert not Config("SpecGRPP", "tiny", config_dict={**tiny_dataset, "tune": {}})["tune"]


def test_intervals_that_recbole_reads_are_taken(tiny_dataset):
    for interval in ("[5,inf)", "(0,1];[3,4)", " [1, 4.5] "):
        config = Config("SASRec", "tiny", config_dict={**tiny_dataset, "user_inter_num_interval": interval})
        assert config["user_inter_num_interval"] == interval


@pytest.mark.parametrize("key", ["model", "dataset"])
def test_a_baseline_file_names_no_other_model_or_data(tiny_dataset, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "baselines/Week.yaml", f"base: RecentPop\n{key}: SASRec\n")
    with pytest.raises(UserError, match=rf"\[{key}: SASRec\] in .*Week\.yaml would have no effect"):
        Config("Week", "tiny", config_dict=tiny_dataset)


def test_pairwise_models_get_negatives(tiny_dataset):
    assert Config("SASRec", "tiny", config_dict=tiny_dataset)["train_neg_sample_args"]["distribution"] == "none"
    config = Config("SASRec", "tiny", config_dict={**tiny_dataset, "loss_type": "BPR"})
    assert config["train_neg_sample_args"]["distribution"] == "uniform"


@pytest.mark.parametrize("model", ["SASRec", "S3Rec", "FPMC"])
def test_a_config_comes_back_from_yaml(tiny_dataset, tmp_path, monkeypatch, model):
    config = Config(
        model, "tiny", config_dict={**tiny_dataset, "tokenizer.levels": 2, "topk": 5, "valid_metric": "Recall@5"}
    )
    config["run_dir"] = "runs/x"
    saved = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    monkeypatch.chdir(ROOT)
    again = Config.from_dict(saved)
    assert again.final_config_dict == config.final_config_dict
    assert again.model_class is config.model_class
    assert Config.from_dict(saved, {"tokenizer.levels": 3})["tokenizer"]["levels"] == 3
    with pytest.raises(UserError, match="epoch"):
        Config.from_dict(saved, {"epoch": 3})


def test_a_run_from_before_there_was_a_setting_has_its_default(tiny_dataset):
    config = Config("TIGER", "tiny", config_dict={**tiny_dataset, "num_beams": 7})
    saved = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    del saved["decoding_precision"]
    again = Config.from_dict(saved)
    assert again["decoding_precision"] == "fp32"
    assert again["num_beams"] == 7
    assert Config.from_dict(saved, {"decoding_precision": "bf16"})["decoding_precision"] == "bf16"


# ---- the command line ----------------------------------------------------------------------------------------------


def test_the_command_line_is_read():
    words = "-m SASRec --dataset=tiny --config_files a.yaml b.yaml --epochs 3 --learning_rate=1e-3 --reproducibility"
    words += " --accept_threshold -1.6 --tokenizer.levels=2 --valid_metric=a=b --debug"
    arguments = parse(words.split())
    assert (arguments.model, arguments.dataset) == ("SASRec", "tiny")
    assert arguments.config_files == ["a.yaml", "b.yaml"]
    assert arguments.switches == {"debug"}
    assert arguments.settings == {
        "epochs": 3,
        "learning_rate": 0.001,
        "reproducibility": True,
        "accept_threshold": -1.6,
        "tokenizer.levels": 2,
        "valid_metric": "a=b",
    }
    assert parse(["--config_files=a.yaml b.yaml"]).config_files == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    "words", [["SASRec"], ["--epochs=1", "--epochs=2"], ["--epochs", "1", "2"], ["--"], ["-e", "1"]]
)
def test_stray_words_are_refused(words):
    with pytest.raises(UserError):
        parse(words)


def test_a_mistake_is_one_line_and_status_2(capsys, monkeypatch):
    monkeypatch.delenv("RECBOLE_SPECGR_DEBUG", raising=False)
    assert cli.main(["--model=SASRek"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "[SASRec]" in error
    assert cli.main(["--model=SASRek", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert cli.main(["--model=SASRec", "--epoch=3"]) == 2
    assert "from the command line. Did you mean [epochs]?" in capsys.readouterr().err


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    def broken(arguments):
        return int("not a number" if arguments else "")

    monkeypatch.setattr(cli, "_run", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main([])


def test_help_and_lists(capsys):
    assert cli.main(["--help"]) == 0
    assert "--config_files" in capsys.readouterr().out
    assert cli.main(["--model=SASRec", "--help"]) == 0
    assert "attn_dropout_prob" in capsys.readouterr().out
    assert cli.main(["--model=SpecGR_Aux", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("d_model: 64") < shown.index("drafter: UniSRec"), "the backbone's settings, then its own"
    assert cli.main(["--list-models"]) == 0
    assert "GRU4Rec" in capsys.readouterr().out


def test_help_is_light():
    """No torch for a look at the help text or a typo in a name."""
    code = "import sys; from recbole_specgr.commands.command_line import main; main(sys.argv[1:]); "
    code += "print('torch' in sys.modules)"
    for words in (["--help"], ["--list-models"], ["--model=SASRek", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_processes_of_torchrun_know_their_rank(tiny_dataset):
    """Two gloo processes with torchrun's environment; only the first shows progress."""
    code = (
        "import sys; from recbole_specgr.settings.config import Config; import torch.distributed as dist\n"
        "c = Config('SASRec', 'tiny', config_dict={'data_path': sys.argv[1], 'use_gpu': False})\n"
        "print(c['rank'], c['local_rank'], c['world_size'], c['single_spec'], c['show_progress'], dist.get_backend())\n"
        "dist.barrier(); dist.destroy_process_group()"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = {**os.environ, "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, tiny_dataset["data_path"]],
            env={**both, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    output = [process.communicate(timeout=120) for process in processes]
    assert [out.strip() for out, _ in output] == ["0 0 2 False True gloo", "1 1 2 False False gloo"], output
