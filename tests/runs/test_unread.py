"""Settings that nothing reads are not silently ignored."""

import pytest
from tiny_runs import TINY_SASREC, TINY_SPECGR, TINY_T5

import recbole_specgr.quick_start as quick_start
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.runs import unread
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.system.errors import UserError

TEXT = {"text_dim": 16}
SEMANTIC = {"epochs": 1, "eval_step": 0, "tokenizer": {"method": "opq", "codebook_size": 8, "levels": 2}}
NARROW = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2}
NOT_GIVEN = {"base_model", "world_size"}  # what a Config says of itself
MODELS = {
    "MostPop": {"topk": [5, 10], "valid_metric": "NDCG@10"},
    "SASRec": {**TINY_SASREC, "eval_step": 1},
    "TIGER": {**TEXT, **TINY_T5, "epochs": 1},
    "UniSRec": {**TEXT, **TINY_SASREC, "eval_step": 1},
    "SpecGRPP": {**TEXT, **TINY_SPECGR, "stages": {"pretrain": {"epochs": 1}, "finetune": {"epochs": 1}}},
    "HSTU": {"epochs": 1, "hidden_size": 16, "n_layers": 1, "n_heads": 2},
    "RPG": {**TEXT, **SEMANTIC, **NARROW, "eval_step": 1},
    "SpecGRPP_RPG": {**TEXT, **SEMANTIC, **NARROW, "map_size": 16, "eval_step": 1},
}


def typed(tiny_dataset, source: str = "the command line", **settings) -> Settings:
    places = {key: value for key, value in tiny_dataset.items() if key not in TEXT}
    return Settings({**places, **settings}, source)


@pytest.mark.parametrize(
    ("model", "setting", "value"),
    [
        ("TIGER", "ranking_index", "HNSW32"),
        ("RPG", "ranking_index", "HNSW32"),
        ("SASRec", "ranking_index", "HNSW32"),
        ("SASRec", "tokenizer.levels", 4),
        ("HSTU", "text_encoder", "vectors.npz"),
        ("MostPop", "mmr_weight", 0.2),
        ("UniSRec", "semantic_ids", "ids.npz"),
        ("SpecGRPP", "beam_groups", 2),
        ("SpecGRPP_RPG", "num_beams", 20),
        ("SpecGRPP_RPG", "guided_redrafting", False),
        ("TIGER", "tokenizer.letter.diversity", 0.1),
        ("RPG", "tokenizer.rqvae", {"epochs": 3}),
    ],
)
def test_a_setting_on_the_command_line_that_nothing_reads_is_an_error(tiny_dataset, tmp_path, model, setting, value):
    with pytest.raises(UserError, match=rf"{model}.* does not read \[{setting}.*\] from the command line"):
        run_recbole(model, "tiny", config_dict=typed(tiny_dataset, **MODELS[model], **{setting: value}))
    assert not list((tmp_path / "runs").rglob("*.pth"))  # nothing was trained


def told_of(model: str, tiny_dataset, method: str, reads_tokenizer: bool, caplog) -> list[str]:
    """What is said of a file with settings of several tokenizers, of which the model takes `method`, or none."""
    groups = {"letter": {"diversity": 0.1}, "rqvae": {"epochs": 3}, "opq": {"rotations": 2}}
    given = typed(tiny_dataset, "a file", tokenizer={"method": method, **groups})
    config = Config(model, "tiny", config_dict=given)
    if reads_tokenizer:
        assert config["tokenizer"]["method"] == method
    unread.check_given(config, [])
    return [message for message in caplog.messages if "does not read" in message]


def test_the_settings_of_tokenizers_that_are_not_taken_are_told_of(tiny_dataset, caplog):
    expected = "TIGER with tokenizer.method {} does not read {} from a file: it has no effect."
    for method, names in (
        ("opq", "[tokenizer.letter.diversity], [tokenizer.rqvae.epochs]"),
        ("letter", "[tokenizer.opq.rotations]"),  # an rqvae, whose settings it has, too
        ("rqvae", "[tokenizer.letter.diversity], [tokenizer.opq.rotations]"),
    ):
        assert told_of("TIGER", tiny_dataset, method, True, caplog) == [expected.format(method, names)]
        caplog.clear()
    (of_sasrec,) = told_of("SASRec", tiny_dataset, "opq", False, caplog)
    assert of_sasrec.startswith("SASRec does not read [tokenizer.method], [tokenizer.letter.diversity]")
    assert "[tokenizer.opq.rotations]" in of_sasrec


def test_where_ids_or_codebooks_are_given_nothing_of_a_tokenizers_fit_is_read(tiny_dataset, caplog):
    group = {"levels": 4, "reserve": 2, "rqvae.epochs": 3}
    for name, also in (("semantic_ids", {"tokenizer.codebooks": "b.npz"}), ("tokenizer.codebooks", {})):
        settings = {f"tokenizer.{key}": value for key, value in group.items()}
        config = Config(
            "TIGER", "tiny", config_dict=typed(tiny_dataset, "a file", **{**settings, **also, name: "a.npz"})
        )
        assert config["tokenizer"]["levels"] == 4 and config["semantic_ids"] in (None, "a.npz")
        unread.check_given(config, [])
        (said,) = [message for message in caplog.messages if "does not read" in message]
        assert said.startswith(f"TIGER with {name} a.npz does not read [tokenizer.levels], [tokenizer.rqvae.epochs]")
        assert ("[tokenizer.codebooks]" in said) == bool(also) and "reserve" not in said
        caplog.clear()


def test_a_parts_own_tokenizer_counts(tiny_dataset, caplog):
    given = typed(tiny_dataset, "a file", **{"tokenizer.opq.rotations": 2})
    whole = Config("SpecGR_Aux", "tiny", config_dict=given)
    part = whole.part("RPG", {"tokenizer": {"method": "opq"}}, "backbone_settings", inherits=True)
    assert part["tokenizer"]["opq"]["rotations"] == 2
    unread.check_given(whole, [])
    assert not [message for message in caplog.messages if "does not read" in message and "opq" in message]
    part["tokenizer"]["method"] = "rqkmeans"
    unread.check_given(whole, [])
    assert "SpecGR_Aux with tokenizer.method rqkmeans and rqvae does not read [tokenizer.opq.rotations]" in caplog.text


def test_a_part_reads_what_the_whole_is_given(tiny_dataset):
    settings = {"backbone": "TIGER", **TEXT, **TINY_T5, "epochs": 1, "draft_size": 10, "num_beams": 5}
    drafts = {"drafter": "SemanticKNN", "ranking_index": "Flat"}
    assert run_recbole("SpecGR_Aux", "tiny", config_dict=typed(tiny_dataset, **settings, **drafts))["unread"] == []
    drafts["drafter"] = "MostPop"
    with pytest.raises(UserError, match=r"\[ranking_index\].* --drafter_settings\.ranking_index="):
        run_recbole("SpecGR_Aux", "tiny", config_dict=typed(tiny_dataset, **settings, **drafts))


def test_a_file_of_several_models_is_a_warning(tiny_dataset, tmp_path, caplog):
    file = tmp_path / "shared.yaml"
    file.write_text("ranking_index: HNSW32\ntokenizer: {levels: 4}\nRATING_FIELD: rating\nseed: 3\n")
    told = run_recbole("SASRec", "tiny", [str(file)], config_dict=typed(tiny_dataset, **MODELS["SASRec"]))
    assert told["unread"] == ["RATING_FIELD", "ranking_index", "tokenizer.levels"]
    warnings = [message for message in caplog.messages if "does not read" in message]
    assert warnings == [  # the second when the run ends, for RecBole's SASRec might have read it until then
        f"SASRec does not read [ranking_index], [tokenizer.levels] from {file}: it has no effect.",
        f"SASRec does not read [RATING_FIELD] from {file}: it has no effect.",
    ]


def test_it_is_a_warning_where_strict_is_false_and_nothing_where_it_is_as_usual(tiny_dataset, caplog):
    settings = typed(tiny_dataset, **MODELS["MostPop"], ranking_index="HNSW32", strict=False)
    assert run_recbole("MostPop", "tiny", config_dict=settings)["unread"] == ["ranking_index"]
    assert caplog.text.count("MostPop does not read [ranking_index]") == 1
    run_recbole("MostPop", "tiny", config_dict=typed(tiny_dataset, **MODELS["MostPop"], mmr_weight=0.0))


@pytest.mark.parametrize("model", MODELS)
def test_a_setting_is_read_before_training_or_named(tiny_dataset, monkeypatch, model):
    before: set[str] = set()
    configs: list[Config] = []

    def check(config, classes, parts):
        configs.append(config)
        before.update(name for name in config.final_config_dict if config.was_read(name))
        return set()

    monkeypatch.setattr(quick_start, "check_given", check)
    run_recbole(model, "tiny", config_dict={**tiny_dataset, **MODELS[model]})
    later = {name for name in configs[0].final_config_dict.keys() - before if configs[0].was_read(name)} - NOT_GIVEN
    assert "parallel" in later and later <= unread.READ_IN_TRAINING | unread.ENVIRONMENT


OWN = """
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType


class Own(SequentialRecommender):
    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.items = torch.nn.Embedding(self.n_items, 8)

    def calculate_loss(self, interaction):
        return torch.nn.functional.cross_entropy(self.full_sort_predict(interaction), interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):
        return self.items(interaction[self.ITEM_SEQ]).mean(1) @ self.items.weight.T
"""
OF_RECBOLES_LOOP = [
    ("learner", "sgd"),
    ("shuffle", False),
    ("enable_amp", True),
    ("train_neg_sample_args.sample_num", 7),
]


def write_own(tmp_path, code: str = OWN) -> None:
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Own.py").write_text(code)
    (tmp_path / "baselines" / "Own.yaml").write_text("base: Own:Own\nepochs: 1\n")


@pytest.mark.parametrize("model", ["TIGER", "Own"])
@pytest.mark.parametrize(("setting", "value"), OF_RECBOLES_LOOP)
def test_a_setting_of_recboles_loop_that_our_trainer_does_not_follow_is_an_error(
    tiny_dataset, tmp_path, model, setting, value
):
    write_own(tmp_path)
    sampling = {"train_neg_sample_args.distribution": "uniform"} if "." in setting else {}
    given = typed(tiny_dataset, **MODELS.get(model, {}), **sampling, **{setting: value})
    with pytest.raises(UserError, match=rf"{model} does not read .*\[{setting}\] from the command line"):
        run_recbole(model, "tiny", config_dict=given)
    assert not list((tmp_path / "runs").rglob("*.pth"))


def test_recboles_own_models_follow_them(tiny_dataset):
    given = {"learner": "sgd", "shuffle": False, "enable_amp": True}
    told = run_recbole("SASRec", "tiny", config_dict=typed(tiny_dataset, **MODELS["SASRec"], **given))
    assert told["unread"] == [] and "unread" not in told["record"]


def test_what_is_usual_of_them_is_passed_over(tiny_dataset, tmp_path):
    write_own(tmp_path)
    usual = {"learner": "adam", "shuffle": True, "enable_amp": False, "train_neg_sample_args": None}
    assert run_recbole("Own", "tiny", config_dict=typed(tiny_dataset, **usual))["unread"] == []


def test_a_class_that_names_one_may_read_it(tiny_dataset, tmp_path):
    write_own(
        tmp_path,
        OWN.replace(
            "super().__init__(config, dataset)",
            "super().__init__(config, dataset)\n        self.optimiser = config['learner']",
        ),
    )
    with pytest.raises(UserError, match=r"does not read \[shuffle\] from the command line"):
        run_recbole("Own", "tiny", config_dict=typed(tiny_dataset, learner="sgd", shuffle=False))


def test_what_parts_share_is_read_where_one_of_them_is_trained_by_recbole(tiny_dataset):
    settings = {"backbone": "TIGER", **TEXT, **TINY_T5, "epochs": 1, "draft_size": 10, "num_beams": 5, "shuffle": False}
    with pytest.raises(UserError, match=r"SpecGR_Aux does not read \[shuffle\]"):
        run_recbole("SpecGR_Aux", "tiny", config_dict=typed(tiny_dataset, **settings, drafter="UniSRec"))
    with pytest.raises(UserError, match=r"SpecGR_Aux does not read \[learner\] from"):
        given = typed(tiny_dataset, **settings, drafter="SASRec", learner="sgd")
        run_recbole("SpecGR_Aux", "tiny", config_dict=given)


def test_a_stages_own_setting_of_them_is_told_of(tiny_dataset, caplog):
    settings = {**MODELS["TIGER"], "stages": {"train": {"learner": "sgd"}}}
    run_recbole("TIGER", "tiny", config_dict=typed(tiny_dataset, **settings))
    assert "[stages.train.learner] had no effect" in caplog.text


def test_the_record_says_what_was_not_read(tiny_dataset):
    given = typed(tiny_dataset, "a file", **MODELS["MostPop"], learner="sgd")
    told = run_recbole("MostPop", "tiny", config_dict=given)
    assert told["record"]["unread"] == told["unread"] == ["learner"]
