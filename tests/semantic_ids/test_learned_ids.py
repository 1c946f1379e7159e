"""CoST and LETTER: their losses against loops, what they read, and what the codes keep because of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clustered_vectors import clustered
from tiny_runs import run

from recbole_specgr.building.collaborative import collaborative_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.collaborative import from_interactions
from recbole_specgr.semantic_ids import build_tokenizer
from recbole_specgr.semantic_ids.balance import even_clusters
from recbole_specgr.semantic_ids.tokenizers.cost import CoST
from recbole_specgr.semantic_ids.tokenizers.letter import LETTER, DiverseQuantizer
from recbole_specgr.semantic_ids.tokenizers.rqvae import Autoencoder
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

SMALL = {"hidden_sizes": [32], "latent_size": 8, "batch_size": 64, "warmup_epochs": 5, "epochs": 30}


def cross_entropy(scores: list[float], wanted: int) -> float:
    return math.log(sum(math.exp(score) for score in scores)) - scores[wanted]


# ---- CoST ----


def test_the_contrast_finds_each_item_among_the_batch():
    torch.manual_seed(0)
    decoded, x = torch.randn(2, 6, 5, dtype=torch.double)
    found = CoST(temperature=0.3, reconstruction=0.5)._contrast(decoded, x)
    for row in range(6):
        cosines = [float(F.cosine_similarity(decoded[row], other, dim=0)) / 0.3 for other in x]
        error = sum(float(part) ** 2 for part in decoded[row] - x[row]) / 5
        assert float(found[row]) == pytest.approx(cross_entropy(cosines, row) + 0.5 * error)


def test_cost_codes_find_their_items_better_than_those_of_reconstruction():
    """By the cosine of what the codes stand for, among all items: what the contrast is about."""
    features = clustered(600, seed=4)
    found = {}
    for method in ("rqvae", "cost"):
        group = {"method": method, "levels": 2, "codebook_size": 16, "rqvae": SMALL}
        tokenizer = build_tokenizer(group).fit(features, seed=0)
        decoded = tokenizer.reconstruct(tokenizer.encode(features)) - features.mean(0)
        unit, inputs = (F.normalize(torch.from_numpy(part), dim=1) for part in (decoded, features - features.mean(0)))
        found[method] = float(F.cross_entropy(unit @ inputs.T / 0.1, torch.arange(600)))
    assert found["cost"] < found["rqvae"]


def test_what_cost_reconstructs_has_the_mean_length_of_the_features():
    features = clustered(200)
    tokenizer = build_tokenizer({"method": "cost", "levels": 2, "codebook_size": 8, "rqvae": SMALL})
    made = tokenizer.fit(features, seed=0).reconstruct(tokenizer.encode(features)) - features.mean(0)
    mean = np.linalg.norm(features - features.mean(0), axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), mean, rtol=1e-4)


# ---- LETTER ----


@pytest.fixture
def quantizer() -> DiverseQuantizer:
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    books, counts = torch.randn(2, 6, 4, dtype=torch.double), torch.ones(2, 6, dtype=torch.double)
    made = DiverseQuantizer(books, counts, 0.0, 0.1, generator, clusters=3, weight=0.01)
    made.start_epoch(0)
    return made


def test_the_codes_of_a_level_fall_into_clusters_of_equal_size(quantizer):
    assert quantizer.cluster.shape == (2, 6)
    assert all(torch.bincount(cluster).tolist() == [2, 2, 2] for cluster in quantizer.cluster)


def test_even_clusters_are_near_each_other_as_far_as_there_is_room():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(3)
    points = (np.repeat(centres, [9, 5, 4], axis=0) + rng.normal(size=(18, 3)) / 10).astype(np.float32)
    cluster = even_clusters(points, 3, seed=0)
    assert np.bincount(cluster).tolist() == [6, 6, 6]
    home = [np.bincount(cluster[points[:, axis] > 5], minlength=3) for axis in range(3)]
    assert [counts.max() for counts in home] == [6, 5, 4]  # three of the nine had to leave


def test_the_diversity_loss_finds_a_mate_of_a_cluster_among_the_other_codes(quantizer, monkeypatch):
    quantizer.cluster = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 2, 2, 1, 0]])
    mates = {  # of each code its first mate, as if chance had drawn it; code 5 of the first level is alone
        0: {0: 1, 1: 0, 2: 3, 3: 2, 4: 2},
        1: {0: 5, 1: 4, 2: 3, 3: 2, 4: 1, 5: 0},
    }
    monkeypatch.setattr(torch, "multinomial", lambda weights, n, generator: weights.argmax(1, keepdim=True))
    codes = torch.tensor([[0, 0], [5, 1], [3, 5]])
    means = []
    for level, book in enumerate(quantizer.codebooks):
        losses = []
        for code in codes[:, level].tolist():
            if code in mates[level]:
                others = [other for other in range(6) if other != code]
                scores = [float(book[code] @ book[other]) for other in others]
                losses.append(cross_entropy(scores, others.index(mates[level][code])))
        means.append(sum(losses) / len(losses))
    assert float(quantizer.diversity_loss(quantizer.codebooks, codes)) == pytest.approx(sum(means))


def test_a_mate_is_any_other_code_of_the_cluster(quantizer):
    quantizer.cluster = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    drawn = set()
    for _ in range(60):
        state = quantizer.generator.get_state()
        quantizer.diversity_loss(quantizer.codebooks, torch.zeros(1, 2, dtype=torch.long))
        quantizer.generator.set_state(state)
        weights = torch.tensor([[0.0, 1, 1, 0, 0, 0]])
        drawn.add(int(torch.multinomial(weights, 1, generator=quantizer.generator)))
    assert drawn == {1, 2}


def test_letters_loss_is_the_sum_of_its_parts(quantizer):
    torch.manual_seed(3)
    tokenizer = LETTER(levels=2, codebook_size=6, hidden_sizes=(5,), latent_size=4, alignment=0.3)
    autoencoder = Autoencoder((7, 5, 4)).double()
    x, rows = torch.randn(9, 7, dtype=torch.double), torch.randperm(20)[:9]
    tokenizer._used = torch.randn(20, 4, dtype=torch.double)
    books = quantizer.codebooks
    found = tokenizer._loss(autoencoder, quantizer, x, rows)
    latent = autoencoder.encoder(x).detach()
    reconstruction = commitment = alignment = 0.0
    vectors = []
    for row in range(9):
        residual, vector = latent[row], torch.zeros(4, dtype=torch.double)
        for book in books:
            nearest = min(book, key=lambda code: float((residual - code).square().sum()))
            commitment += float((residual - nearest).square().sum()) / (9 * 4)
            residual, vector = residual - nearest, vector + nearest
        vectors.append(vector)
        reconstruction += float((autoencoder.decoder(vector) - x[row]).detach().square().sum()) / (9 * 7)
    for row, vector in enumerate(vectors):
        alignment += cross_entropy([float(vector @ tokenizer._used[other]) for other in rows], row) / 9
    assert found.item() == pytest.approx(reconstruction + 0.25 * commitment + 0.3 * alignment)
    found.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in autoencoder.encoder[0].parameters())


def test_codebooks_are_where_the_codebook_and_the_diversity_loss_balance(quantizer):
    """With no memory of earlier batches: where the gradient of the two, of this batch, is 0 but for what the step that
    leads there changes."""
    x, weight = torch.randn(600, 4, dtype=torch.double), 1e-4
    quantizer.weight, quantizer.restart_below = weight, 0.0
    quantized = quantizer(x)
    state = quantizer.generator.get_state()
    quantizer._update(quantized)
    books = quantizer.codebooks.clone().requires_grad_()
    levels = zip(quantized.residuals, books, quantized.codes.T)
    codebook_loss = sum(F.mse_loss(book[codes], residual) for residual, book, codes in levels)
    quantizer.generator.set_state(state)
    torch.randint(600, (2, 6), generator=quantizer.generator)  # what chance gives the codes that start anew
    both = codebook_loss + weight * quantizer.diversity_loss(books, quantized.codes)
    (apart,) = torch.autograd.grad(codebook_loss, books, retain_graph=True)
    (together,) = torch.autograd.grad(both, books)
    assert together.abs().max() < 1e-2 * apart.abs().max()


def test_codes_that_are_aligned_know_more_of_use():
    """Text and use are about different things; with a weight on alignment the codes keep more of use, and less of the
    text, than without."""
    rng = np.random.default_rng(5)
    text, use = rng.integers(4, size=600), rng.integers(4, size=600)
    centres = rng.normal(size=(2, 4, 12))
    features = np.hstack([centres[0, text], 0.3 * centres[1, use]]) + 0.1 * rng.normal(size=(600, 24))
    collaborative = np.eye(4)[use] @ rng.normal(size=(4, 8))
    share = {}
    for weight in (0.0, 1.0):
        settings = {"alignment": weight, "clusters": 2}
        group = {"method": "letter", "levels": 1, "codebook_size": 4, "rqvae": SMALL, "letter": settings}
        tokenizer = build_tokenizer(group)
        tokenizer.fit(features.astype(np.float32), 0, collaborative=collaborative.astype(np.float32))
        codes = tokenizer.encode(features.astype(np.float32))[:, 0]
        share[weight] = sum(np.bincount(use[codes == code]).max() for code in np.unique(codes)) / 600
    assert share[0.0] < 0.5 and share[1.0] > 0.6


def test_letter_wants_vectors_of_its_width():
    tokenizer = build_tokenizer({"method": "letter", "codebook_size": 8, "rqvae": SMALL})
    with pytest.raises(UserError, match=r"collaborative vectors \[100, 8\]"):
        tokenizer.fit(clustered(100), 0)
    with pytest.raises(UserError, match=r"collaborative vectors \[100, 8\]"):
        tokenizer.fit(clustered(100), 0, collaborative=np.zeros((100, 7), dtype=np.float32))


# ---- collaborative vectors ----


def test_the_vectors_are_those_of_the_scaled_matrix_of_train_interactions(tiny_dataset):
    view = InductiveDataset(Config("TIGER", "tiny", config_dict=tiny_dataset)).build()[0]
    users, items, _ = view.train_interactions
    matrix = np.zeros((users.max() + 1, view.item_num))
    for user, item in zip(users, items):
        matrix[user, item] = 1 / np.sqrt((users == user).sum() * (items == item).sum())
    found = from_interactions(view, 5)
    _, values, axes = np.linalg.svd(matrix)
    best = (axes[:5].T * values[:5] ** 2) @ axes[:5]
    np.testing.assert_allclose(found @ found.T, best, atol=1e-5)
    assert not found[~view.seen.numpy()].any() and found.shape == (view.item_num, 5)
    np.testing.assert_array_equal(found, from_interactions(view, 5))
    wide = from_interactions(view, 500)
    np.testing.assert_allclose(wide @ wide.T, matrix.T @ matrix, atol=1e-5)


def test_a_run_gives_its_item_embeddings(tiny_runs, monkeypatch):
    monkeypatch.chdir(tiny_runs)
    sasrec = tiny_runs / "SASRec"
    saved = torch.load(next(sasrec.glob("train.pth")), weights_only=True)["state_dict"]["item_embedding.weight"]
    config = _settings(tiny_runs, str(sasrec))
    view = InductiveDataset(config).build()[0]
    seen = view.seen.numpy()
    found = collaborative_of(config, view)(saved.size(1))
    assert not found[~seen].any()
    expected = saved.numpy()[seen]
    np.testing.assert_allclose(found[seen] @ found[seen].T, expected @ expected.T, atol=1e-4)


def test_what_is_no_run_with_item_embeddings_is_refused(tiny_runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, reason in (
        (tmp_path / "nothing", "is no run"),
        (tiny_runs / "SpecGRPP", "has no item embeddings"),
    ):
        config = _settings(tiny_runs, str(folder))
        view = InductiveDataset(config).build()[0]
        with pytest.raises(UserError, match=rf"\[tokenizer.letter.collaborative\].*{reason}"):
            collaborative_of(config, view)(4)
    config = _settings(tiny_runs, str(tiny_runs / "SASRec"), timestamp_split=[0.7, 0.9])
    view = InductiveDataset(config).build()[0]
    with pytest.raises(UserError, match="is of other data"):
        collaborative_of(config, view)(4)


def _settings(folder, collaborative: str, **more) -> Config:
    tokenizer = {"method": "letter", "letter": {"collaborative": collaborative}}
    paths = {"data_path": str(folder / "dataset"), "use_gpu": False, "text_dim": 16}
    return Config("TIGER", "tiny", config_dict={**paths, "tokenizer": tokenizer, "MAX_ITEM_LIST_LENGTH": 10, **more})


@pytest.mark.parametrize("method", ["letter", "cost"])
def test_tiger_trains_on_the_ids_and_takes_new_items(method, tmp_path):
    from conftest import write_tiny_dataset
    from tiny_runs import TINY_T5

    from recbole_specgr.serving import Recommender

    write_tiny_dataset(tmp_path / "dataset")
    ids = {**TINY_T5.get("tokenizer", {}), "method": method, "rqvae": SMALL}
    made = run("TIGER", tmp_path, **{**TINY_T5, "tokenizer": ids})
    recommender = Recommender.load(made["run_dir"], device="cpu")
    import pandas as pd

    new = pd.DataFrame(
        {"item_id": ["new"], "title": ["The night king"], "genre": ["horror"], "description": ["A ship"]}
    )
    assert recommender.add_items(new) == 1
    assert recommender.recommend([["i3", "new"]], 5).unknown == 0
