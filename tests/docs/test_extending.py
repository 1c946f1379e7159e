"""docs/extending.md and docs/add_a_metric.md: each way to extend takes the files that the page names and no others."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, write_tiny_dataset
from decoding_oracles import OneUser
from pages import blocks, our_words, write_files
from serving_oracles import NEW

from recbole_specgr.commands.command_line import main
from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.semantic_ids import load_tokenizer
from recbole_specgr.serving import Recommender

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
METRIC = (ROOT / "docs" / "add_a_metric.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
PAGES = SECTIONS | {"Add a metric": METRIC}
SMALL = {
    "dataset": "tiny",
    "use_gpu": False,
    "show_progress": False,
    "text_dim": 16,
    "topk": [5, 10],
    "valid_metric": "NDCG@10",
    "epochs": 1,
    "train_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 10,
}
SMALL_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
SMALL_IDS = {"tokenizer": {"codebook_size": 8, "min_utilisation": 0.0}}


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Follow a section or page in an empty folder, on the tiny data set and with further settings; the run's folder."""

    def follow(title: str, **settings: object) -> Path:
        section = PAGES[title]
        write_tiny_dataset(tmp_path / "dataset")
        monkeypatch.chdir(tmp_path)
        written = write_files(section, tmp_path)
        (named,) = re.findall(r"^Files: (.*)\.$", section, re.MULTILINE)
        assert [f"`{path}`" for path in written] == named.split(", ")
        (command,) = blocks(section, "sh")
        words = our_words(shlex.split(command))
        assert words is not None
        Path("small.yaml").write_text(yaml.safe_dump({**SMALL, **settings}), encoding="utf-8")
        assert main([*words, "--config_files=small.yaml"]) == 0
        (run,) = Path("runs", "tiny").glob("*/*")
        return run

    return follow


def first_batch(run: Path):
    """The model, the first users of the test phase, and the test view."""
    _, model, _, _, _, test = load_data_and_model(run)
    return model.eval().requires_grad_(False), next(iter(test))[0][:4], test._dataset


def test_each_way_is_shorter_than_a_page_and_stands_in_the_table():
    for title, section in SECTIONS.items():
        assert section.count("\n") < 60, title
        assert f"(#{title.lower().replace(' ', '-')})" in PAGE


def test_a_generative_model_ranks_by_its_own_decoding(follow):
    run = follow("A generative model with its own decoding", **SMALL_T5, **SMALL_IDS)
    model, users, test = first_batch(run)
    assert type(model).__name__ == "Exhaustive"
    model = model.double()
    found = model.rank_users(model.encode_users(users), 5, test.candidates)
    items = test.candidates.nonzero().squeeze(1).tolist()
    for history, ranked, scores in zip(model.history_tokens(users), found.items, found.scores):
        user, digits = OneUser(model.backbone, history), model.tokens.size(1)
        likelihood = {item: user.score(model.tokens[item].tolist(), digits) for item in items}
        best = sorted(items, key=lambda item: -likelihood[item])[:5]
        np.testing.assert_allclose(scores, [likelihood[item] for item in best], atol=1e-6)
        np.testing.assert_allclose([likelihood[item] for item in ranked.tolist()], scores, atol=1e-6)

    # what the page promises beside it
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    history = [f"i{n}" for n in range(5)]
    lists = recommender.recommend([history], len(items)).items
    assert set(NEW["item_id"]) & set(lists[0])
    assert "digit 1" in str(recommender.explain(history, lists[0][0]))
    words = ["--model=SpecGR_Aux", "--drafter=SemanticKNN", "--backbone=Exhaustive", f"--backbone_run={run}"]
    assert main([*words, "--config_files=small.yaml"]) == 0


def test_a_tokenizer_makes_the_ids(follow):
    run = follow("A tokenizer", **SMALL_T5, **SMALL_IDS, num_beams=10)
    tokenizer = load_tokenizer(run / "tokenizer.npz")
    assert (type(tokenizer).__name__, tokenizer.scale) == ("SampledCodes", 0.9)
    features = np.load(run / "text_features.npy")
    with np.load(run / "semantic_ids.npz") as arrays:
        codes = arrays["codes"]
    left = (features - tokenizer.mean) @ tokenizer.projection
    for level, codebook in enumerate(tokenizer.codebooks):
        code = np.square(left[:, None] - codebook).sum(2).argmin(1)
        np.testing.assert_array_equal(code[1:], codes[1:, level])
        left = left - codebook[code]


def test_a_split_divides_the_interactions(follow):
    run = follow("A split", hidden_size=16, inner_size=16, n_layers=1, n_heads=2)
    dataset = load_data_and_model(run)[2]
    assert dataset.protocol["split"] == "PerUser"
    lines = [line.split("\t") for line in Path("dataset/tiny/tiny.inter").read_text().splitlines()[1:]]
    times: dict[str, list[int]] = {}
    for user, _, time in lines:
        times.setdefault(user, []).append(int(time))
    split = dataset.split
    for user, time, phase in zip(split.users, split.times, split.phases):
        own = times[dataset.id2token("user_id", int(user))]
        place = own.index(int(time)) * 10  # the file is in order of time
        assert phase == (place >= 6 * len(own)) + (place >= 8 * len(own))


def test_a_drafter_drafts_new_items(follow):
    run = follow("A drafter", backbone_settings=SMALL_T5, **SMALL_IDS, draft_size=10, num_beams=10, tune=None)
    model, users, test = first_batch(run)
    assert type(model.parts["drafter"]).__name__ == "LastText"
    scores = model.draft_scores(users, model.verifier.read(users)).numpy()
    vectors = np.load(run / "drafter" / "text_features.npy")
    last = [history[length - 1] for history, length in zip(users["item_id_list"], users["item_length"])]
    norms = np.linalg.norm(vectors, axis=1).clip(1e-12)
    np.testing.assert_allclose(scores, vectors[last] @ vectors.T / norms[last][:, None] / norms, atol=1e-5)
    assert np.isfinite(scores[:, (~test.seen).numpy()]).all()

    # what the page promises of items that arrive later
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    directions = recommender.model.parts["drafter"].directions
    assert len(directions) == len(vectors) + len(NEW)
    new = directions[len(vectors) :].numpy()
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1, atol=1e-5)
    assert not (np.abs(new[:, None] - directions[: len(vectors)].numpy()).max(2) < 1e-6).any()


def test_a_metric_is_measured(follow):
    run = follow("Add a metric", hidden_size=16, inner_size=16, n_layers=1, n_heads=2, topk=[10, 40])
    measured = json.loads((run / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert "unseen_serendipity@10" in measured["valid"]
    _, _, dataset, train, _, _ = load_data_and_model(run)
    counts = np.bincount(train._dataset[:]["item_id"], minlength=dataset.item_num)
    with np.load(run / "ranks.npz") as rows:
        rank, items = rows["rank"], [dataset.token2id("item_id", item) for item in rows["item"]]
    hits = 0
    for k in (10, 40):
        found = (rank > 0) & (rank <= k) & ~np.isin(items, np.argsort(-counts, kind="stable")[:k])
        assert measured["test"][f"serendipity@{k}"] == pytest.approx(found.mean(), abs=1e-4)
        hits += int(found.sum())
    assert hits
