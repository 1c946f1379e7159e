"""Models from plans: nothing but modules is made when a model is built, and finished runs without their data set."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset

from recbole_specgr.building.build import build_model, make_planned_items
from recbole_specgr.building.finished import build_finished
from recbole_specgr.building.plan import epochs_options, epochs_statement, plan_model
from recbole_specgr.building.warm_start import read_pretrained, warm_start
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.folder import read_config
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

IDS = {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 2}}
SHORT = {"topk": [5], "valid_metric": "NDCG@5", "epochs": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def build_of_folder(run_dir: Path) -> None:
    build_finished(read_config(run_dir))


@pytest.mark.parametrize("model", ["SpecGRPP", "LIGER", "TIGER_C", "UniSRec", "SemanticKNN", "MostPop", "SpecGR_Aux"])
def test_building_writes_and_reads_nothing(model, tiny_dataset, tmp_path, monkeypatch):
    ids = IDS if model in ("SpecGRPP", "LIGER", "TIGER_C", "SpecGR_Aux") else {}
    config = Config(model, "tiny", config_dict={**tiny_dataset, **ids, "run_dir": str(tmp_path / "run")})
    (tmp_path / "run").mkdir()
    view = InductiveDataset(config).build()[0]
    plan = plan_model(config, view)
    items = make_planned_items(plan, view)
    before = contents(tmp_path)

    def no_files(*arguments, **options):
        raise AssertionError(f"a constructor opens a file: {arguments[0]}")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", no_files)
        patch.setattr("io.open", no_files)
        build_model(plan, view, items)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("model", "given", "options", "said"),
    [
        ("SASRec", {"epochs": 2}, {"train": ("epochs", 2)}, ""),
        (
            "SpecGR_RPG_in_place",
            {"epochs": 2},
            {"drafter": ("drafter_settings.epochs", 100), "backbone": ("epochs", 2)},
            "(drafter has up to 100: --drafter_settings.epochs)",
        ),
        (
            "SpecGR_RPG_in_place",
            {"epochs": 2, "drafter_settings.epochs": 3},
            {"drafter": ("drafter_settings.epochs", 3), "backbone": ("epochs", 2)},
            "",
        ),
        (
            "SpecGR_RPG_in_place",
            {"drafter_settings.epochs": 3, "stages.drafter.epochs": 4, "backbone_settings.epochs": 5},
            {"drafter": ("stages.drafter.epochs", 4), "backbone": ("backbone_settings.epochs", 5)},
            "",
        ),
        ("SpecGR_Aux", {"epochs": 2, "drafter": "SemanticKNN"}, {"backbone": ("epochs", 2)}, ""),
        (
            "SpecGRPP",
            {"epochs": 2},
            {"pretrain": ("epochs", 2), "finetune": ("stages.finetune.epochs", 15)},
            "(finetune has up to 15: --stages.finetune.epochs)",
        ),
    ],
)
def test_each_stage_names_the_setting_of_its_epochs(model, given, options, said, tiny_dataset, tmp_path):
    ids = {} if model == "SASRec" else {"tokenizer": {"method": "rqkmeans", "codebook_size": 4, "levels": 2}}
    ids = {"tokenizer.codebook_size": 4, "tokenizer.levels": 4} if "RPG" in model else ids
    config = Config(model, "tiny", config_dict={**tiny_dataset, **ids, **given, "run_dir": str(tmp_path / "run")})
    (tmp_path / "run").mkdir()
    view = InductiveDataset(config).build()[0]
    plan = plan_model(config, view)
    found = epochs_options(plan, build_model(plan, view, make_planned_items(plan, view)))
    assert found == options
    sentence = epochs_statement(config, found)
    assert sentence == (said and f"--epochs is not the number of epochs of all that is trained {said}.")


def test_the_plan_of_a_composite_names_its_parts(tiny_dataset, tmp_path):
    settings = {**tiny_dataset, **IDS, "run_dir": str(tmp_path / "run"), "drafter": "SemanticKNN"}
    config = Config("SpecGR_Aux", "tiny", config_dict=settings)
    view = InductiveDataset(config).build()[0]
    plan = plan_model(config, view)
    assert {name: part.model_class.__name__ for name, part in plan.named().items()} == {
        "": "SpecGR_Aux",
        "drafter": "SemanticKNN",
        "backbone": "TIGER",
    }
    items = make_planned_items(plan, view)
    assert [name for name, made in items.items() if made.semantic_ids] == ["backbone"]
    model = build_model(plan, view, items)
    assert list(model.parts) == list(model.part_configs) == ["drafter", "backbone"] and not model.taken
    assert all((tmp_path / "run" / name / "config.yaml").is_file() for name in model.parts)


@pytest.mark.parametrize("model", ["SpecGRPP", "SASRec"])
def test_a_finished_run_is_built_without_its_data(model, tiny_runs, tmp_path):
    run = Path(shutil.copytree(tiny_runs / model, tmp_path / "run"))
    config = read_config(run, {"data_path": str(tmp_path / "gone")})
    catalogue, network = build_finished(config)
    assert network.n_items == len(catalogue.item_tokens)


def test_a_model_that_reads_interactions_says_why_it_needs_the_data(tiny_dataset, tmp_path, caplog):
    result = run_recbole("MostPop", "tiny", config_dict={**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5"})
    with caplog.at_level(logging.INFO):
        build_finished(read_config(Path(result["run_dir"])))
    assert "MostPop is built from the data set: it reads the interactions, which no run keeps." in caplog.text
    with pytest.raises(UserError, match=r"There is no data set \[tiny\]"):
        build_finished(read_config(Path(result["run_dir"]), {"data_path": str(tmp_path / "gone")}))


@pytest.mark.parametrize(("model", "load"), [("SASRec", load_data_and_model), ("MostPop", build_of_folder)])
def test_items_that_are_numbered_otherwise_are_noticed(model, load, tiny_dataset, tmp_path):
    small = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2} if model == "SASRec" else {}
    run_dir = Path(run_recbole(model, "tiny", config_dict={**tiny_dataset, **SHORT, **small})["run_dir"])
    load(run_dir)
    file = tmp_path / "dataset" / "tiny" / "tiny.inter"
    head, *lines = file.read_text().splitlines()
    file.write_text("\n".join([head, *sorted(lines)]) + "\n")
    with pytest.raises(UserError, match=r"\[tiny\] is not as it was .*: item 1 in .* is i\d+, and was i"):
        load(run_dir)


def test_interactions_that_were_added_are_noticed_by_who_counts_them(tiny_dataset, tmp_path):
    run_dir = Path(run_recbole("MostPop", "tiny", config_dict={**tiny_dataset, **SHORT})["run_dir"])
    file = tmp_path / "dataset" / "tiny" / "tiny.inter"
    head, *lines = file.read_text().splitlines()
    user, _, time = lines[-1].split("\t")
    taken = {line.split("\t")[1] for line in lines if line.startswith(f"{user}\t")}
    item = next(line.split("\t")[1] for line in lines if line.split("\t")[1] not in taken)
    file.write_text("\n".join([head, *lines, f"{user}\t{item}\t{time}"]) + "\n")
    with pytest.raises(UserError, match="has the same items, but other interactions, and MostPop ranks by these"):
        build_of_folder(run_dir)


def test_what_recboles_models_read_shows_when_a_catalogue_does_not_have_it(tiny_dataset, caplog):
    settings = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2}
    result = run_recbole("FDSA", "tiny", config_dict={**tiny_dataset, **SHORT, **settings})
    with caplog.at_level(logging.INFO):
        build_finished(read_config(Path(result["run_dir"])))
    assert "FDSA is built from the data set: it reads more than the items" in caplog.text


def test_files_without_parameters_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\[pretrained: .*nowhere\]: there is no such file"):
        read_pretrained(tmp_path / "nowhere")
    (tmp_path / "text.pth").write_text("no parameters")
    with pytest.raises(UserError, match=r"\[pretrained: .*text\.pth\] holds no parameters"):
        read_pretrained(tmp_path / "text.pth")


def test_a_part_has_no_histories_of_its_own(tiny_dataset):
    settings = {**tiny_dataset, **IDS, "MAX_ITEM_LIST_LENGTH": 10, "drafter": "SemanticKNN"}
    config = Config("SpecGR_Aux", "tiny", config_dict={**settings, "drafter_settings": {"MAX_ITEM_LIST_LENGTH": 5}})
    view = InductiveDataset(config).build()[0]
    with pytest.raises(UserError, match=r"\[drafter\]: \[MAX_ITEM_LIST_LENGTH: 5\] can't be another than .*\[10\]"):
        plan_model(config, view)
    plan_model(Config("SpecGR_Aux", "tiny", config_dict={**settings, "drafter_settings": {"valid_rows": None}}), view)


def test_parts_begin_with_what_their_settings_name(tiny_dataset, tmp_path):
    small = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2}
    first = run_recbole("UniSRec", "tiny", config_dict={**tiny_dataset, **SHORT, **small})
    drafter = {**small, "pretrained": first["run_dir"]}
    config = Config("SpecGR_Aux", "tiny", config_dict={**tiny_dataset, **IDS, "drafter_settings": drafter})
    view = InductiveDataset(config).build()[0]
    plan = plan_model(config, view)
    model = build_model(plan, view, make_planned_items(plan, view))
    theirs = torch.load(first["model_file"], weights_only=True)["state_dict"]
    assert not all(torch.equal(value, theirs[name]) for name, value in model.parts["drafter"].state_dict().items())
    warm_start(plan, model)
    assert all(torch.equal(value, theirs[name]) for name, value in model.parts["drafter"].state_dict().items())


def test_other_data_sets_have_text_vectors_of_the_same_space(tiny_dataset, tmp_path):
    folders = tmp_path / "dataset" / "tiny", write_tiny_dataset(tmp_path / "dataset", "second")
    for number, folder in enumerate(folders):
        vectors = np.random.default_rng(number).normal(3, 5, size=(80, 8)).astype(np.float32)
        np.savez(folder / "features.npz", item_id=np.array([f"i{item}" for item in range(80)]), features=vectors)
    settings = {**tiny_dataset, "text_encoder": "features.npz", "pretrain_datasets": ["second"]}
    config = Config("UniSRecPretrain", "tiny", config_dict={**settings, "text_standardise": True})
    view = InductiveDataset(config).build()[0]
    plan = plan_model(config, view)
    model = build_model(plan, view, make_planned_items(plan, view))
    warm_start(plan, model)
    ((other, vectors),) = model.others
    for of_seen in (model.features[view.seen], vectors[other.seen]):
        torch.testing.assert_close(of_seen.mean(0), torch.zeros(8), rtol=0, atol=1e-5)
        torch.testing.assert_close(of_seen.std(0, correction=0), torch.ones(8), rtol=0, atol=1e-5)
    config = Config("UniSRecPretrain", "tiny", config_dict={**settings, "text_pca": 4})
    plan = plan_model(config, view)
    with pytest.raises(UserError, match=r"\[text_pca: 4\]: \[pretrain_datasets\] need text vectors of one space"):
        build_model(plan, view, make_planned_items(plan, view))
