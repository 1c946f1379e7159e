"""`recbole-specgr tokenize`: what it measures, against brute force, and ids that models take."""

import json

import numpy as np
import pytest
import torch
from clustered_vectors import clustered

from recbole_specgr.commands import tokenize
from recbole_specgr.commands.command_line import main
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.semantic_ids import SemanticIds, Tokenizer, build_tokenizer, load_tokenizer
from recbole_specgr.semantic_ids.quality import K, Neighbours, reconstruction_errors

SMALL = ["--tokenizer.codebook_size=8", "--tokenizer.rqvae={hidden_sizes: [16], latent_size: 8, epochs: 20}"]


@pytest.fixture
def words(tiny_dataset) -> list[str]:
    """What the command line needs for the tiny data set."""
    return ["--dataset=tiny", *(f"--{key}={value}" for key, value in tiny_dataset.items()), *SMALL]


def test_ids_of_the_command_are_taken_by_models(words, tiny_dataset, tmp_path, capsys):
    assert main(["tokenize", *words, "--tokenizer=rqkmeans"]) == 0
    folder = tmp_path / "runs" / "tiny" / "semantic_ids" / "rqkmeans"
    assert f"--semantic_ids={folder}" in capsys.readouterr().out
    ids = SemanticIds.load(folder / "semantic_ids.npz")
    tiny = {"epochs": 1, "num_layers": 1, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_beams": 10, "topk": [10]}
    tiny |= tiny_dataset | {"valid_metric": "NDCG@10"}
    for model, path in (("TIGER", folder), ("SpecGRPP", folder / "semantic_ids.csv")):
        more = {"tune": None, "stages.finetune.epochs": 1} if model == "SpecGRPP" else {}
        result = run_recbole(model, "tiny", config_dict={**tiny, **more, "semantic_ids": str(path)})
        own = SemanticIds.load(f"{result['run_dir']}/semantic_ids.npz", ids.item_tokens)
        assert torch.equal(own.codes, ids.codes)
        assert 0 <= result["test_result"]["recall@10"] <= 1
        kept = load_tokenizer(f"{result['run_dir']}/tokenizer.npz")  # for items that come later
        assert kept == load_tokenizer(folder / "tokenizer.npz")


def test_settings_of_tokenizers_that_are_not_fitted_are_told_of(words, monkeypatch, capsys):
    monkeypatch.setattr(tokenize, "_work", lambda *_: {"collapse": None})
    monkeypatch.setattr(tokenize, "comparison", lambda _: "")
    told = "does not read [tokenizer.rqvae.hidden_sizes], [tokenizer.rqvae.latent_size], [tokenizer.rqvae.epochs]"
    assert main(["tokenize", *words, "--tokenizer=rqkmeans,opq"]) == 0
    assert f"tokenizer.method rqkmeans and opq {told} from the command line" in "".join(capsys.readouterr())
    assert main(["tokenize", *words, "--tokenizer=rqkmeans,letter"]) == 0
    assert "does not read" not in "".join(capsys.readouterr())


OWN = """
from dataclasses import dataclass

from recbole_specgr.semantic_ids.tokenizers.rqkmeans import RQKMeans


@dataclass
class Mine(RQKMeans):
    scale: float = 1.0
"""


def test_a_tokenizer_of_ones_own_gets_its_settings(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Mine.py").write_text(OWN)
    own = [word for word in words if not word.startswith("--tokenizer")]
    assert (
        main(["tokenize", *own, "--tokenizer.codebook_size=8", "--tokenizer=Mine", "--tokenizer.Mine.scale=0.5"]) == 0
    )
    (made,) = tmp_path.rglob("tokenizer.npz")
    assert load_tokenizer(made).scale == 0.5


def test_all_tokenizers_in_one_table(words, tmp_path, capsys):
    assert main(["tokenize", *words, "--tokenizer=all", f"--out={tmp_path / 'ids'}"]) == 0
    table = capsys.readouterr().out.split("\n\n")[-1]
    methods = {"rqvae", "letter", "cost", "rqkmeans", "opq", "hierarchical_kmeans"}
    assert {line.split()[0] for line in table.splitlines()[2:8]} == methods
    assert {path.name for path in (tmp_path / "ids").iterdir()} == methods
    for method in methods:
        folder = tmp_path / "ids" / method
        report = json.loads((folder / "semantic_ids.json").read_text())
        assert report["ids"] == method and report["collapse"] is None
        assert 0 < report["neighbours_of_unseen"]["text"] <= 1  # of the items that launch late
        assert report["levels_and_codes"] == list(SemanticIds.load(folder / "semantic_ids.npz").level_sizes)
        page = (folder / "report.html").read_text()
        assert page.count("<svg") == 3 and "src=" not in page and "href=" not in page


def test_given_ids_are_reported_and_nothing_is_fitted(words, tmp_path, monkeypatch):
    assert main(["tokenize", *words, "--tokenizer=opq", f"--out={tmp_path / 'ids'}"]) == 0
    monkeypatch.setattr(Tokenizer, "fit", lambda *_: pytest.fail("nothing is to be fitted"))
    given = tmp_path / "ids" / "semantic_ids.csv"
    assert main(["tokenize", *words, f"--semantic_ids={given}", f"--out={tmp_path / 'again'}"]) == 0
    first, second = (json.loads((tmp_path / name / "semantic_ids.json").read_text()) for name in ("ids", "again"))
    for report in (first, second):
        for key in ("seconds", "ids"):
            del report[key]
    assert first == second
    given.rename(tmp_path / "alone.csv")  # without the tokenizer beside it
    assert main(["tokenize", *words, f"--semantic_ids={tmp_path / 'alone.csv'}", f"--out={tmp_path / 'alone'}"]) == 0
    alone = json.loads((tmp_path / "alone" / "semantic_ids.json").read_text())
    assert alone["reconstruction"] is None and alone["prefixes"] == first["prefixes"]
    assert not (tmp_path / "alone" / "tokenizer.npz").exists()


def test_a_collapsed_tokenizer_leaves_its_report_only(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Tokenizer, "encode", lambda self, features: np.zeros((len(features), self.levels), dtype=int))
    assert main(["tokenize", *words, "--tokenizer=rqkmeans", f"--out={tmp_path / 'ids'}"]) == 1
    assert sorted(path.name for path in (tmp_path / "ids").iterdir()) == ["report.html", "semantic_ids.json"]
    assert "has collapsed" in json.loads((tmp_path / "ids" / "semantic_ids.json").read_text())["collapse"]
    assert "has collapsed" in (tmp_path / "ids" / "report.html").read_text()
    assert "Train on these ids" not in capsys.readouterr().out


def test_a_wrong_name_is_one_line(words, capsys):
    assert main(["tokenize", *words, "--tokenizer=rqkmeans,opc"]) == 2
    assert "no [tokenizer.method: opc]" in capsys.readouterr().err
    assert main(["tokenize", "--help"]) == 0
    assert "usage: recbole-specgr tokenize" in capsys.readouterr().out


# ---- what it measures ----


@pytest.fixture
def fitted():
    """features [n, d], seen [n], users and items of interactions, tokenizer, ids."""
    rng = np.random.default_rng(4)
    features = np.vstack([np.zeros((1, 24)), clustered(120)]).astype(np.float32)
    seen = np.arange(121) % 5 != 0
    seen[0] = False
    items = rng.choice(np.flatnonzero(seen), 900)
    users = (items + rng.integers(0, 12, 900)) % 40
    group = {"method": "rqkmeans", "levels": 2, "codebook_size": 8}
    tokenizer = build_tokenizer(group).fit(features[seen], seed=0)
    return features, seen, users, items, tokenizer, SemanticIds.from_codes(tokenizer.encode(features), (8, 8), seen)


def test_reconstruction_error_against_the_formula(fitted):
    features, seen, _, _, tokenizer, ids = fitted
    found = reconstruction_errors(tokenizer, ids, features, seen)
    mean = features[seen].mean(axis=0)
    for name, mask in (("seen", seen), ("unseen", ~seen & (np.arange(121) > 0))):
        left, whole = 0.0, 0.0
        for item in np.flatnonzero(mask):
            left += np.square(tokenizer.reconstruct(ids.codes[item : item + 1, :2])[0] - features[item]).sum()
            whole += np.square(features[item] - mean).sum()
        assert found[name] == pytest.approx(left / whole, rel=1e-4)


def test_neighbours_against_brute_force(fitted):
    features, seen, users, items, tokenizer, ids = fitted
    found = Neighbours.of(features, seen, users, items, seed=0)
    pool = np.flatnonzero(seen)
    used_by = {item: set(users[items == item]) for item in pool}
    for row, item in enumerate(found.sample):
        others = [other for other in pool if other != item]
        cosine = {o: features[o] @ features[item] / np.linalg.norm(features[o]) for o in others}
        assert set(found.text[row]) == set(sorted(others, key=cosine.get)[-K:])
        shared = {o: len(used_by[o] & used_by[item]) / max(1, len(used_by[o])) ** 0.5 for o in others}
        best = sorted(shared.values())[-K:][::-1]
        mine = [shared[o] if o else 0.0 for o in found.together[row]]
        np.testing.assert_allclose(mine, best, rtol=1e-5)  # of equal ones, any

    codes = ids.codes[:, :2].numpy()
    for length, share in enumerate(found.by_prefix(ids), start=1):
        pairs = {
            name: [
                (codes[item, :length] == codes[other, :length]).all()
                for item, row in zip(found.sample, of)
                for other in row
                if other
            ]
            for name, of in (("text", found.text), ("together", found.together))
        }
        pairs["any"] = [
            (codes[item, :length] == codes[other, :length]).all()
            for item in found.sample
            for other in pool
            if other != item
        ]
        assert share == {name: pytest.approx(np.mean(equal)) for name, equal in pairs.items()}

    tuples, place = np.unique(codes, axis=0, return_inverse=True)  # the rows of one call may be rounded differently
    vectors = tokenizer.reconstruct(tuples).astype(np.float64)[place.reshape(-1)]
    weights = {"text": [], "together": []}
    for row, item in enumerate(found.sample):
        others = np.array([other for other in pool if other != item])
        distance = np.square(vectors[others] - vectors[item]).sum(axis=1).round(6)
        for name, of in (("text", found.text), ("together", found.together)):
            for other in of[row][of[row] > 0]:
                mine = distance[others == other][0]
                nearer, alike = (distance < mine).sum(), (distance == mine).sum()
                weights[name].append(np.clip((K - nearer) / alike, 0, 1))
    near = found.in_code_space(ids, tokenizer)
    assert near["text"] == pytest.approx(np.mean(weights["text"]), abs=1e-6)
    assert near["together"] == pytest.approx(np.mean(weights["together"]), abs=1e-6)
    assert near["chance"] == pytest.approx(K / (len(pool) - 1))
