"""Tokenizers, the code table and its health, against plain loops and brute force."""

import json
import logging
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clustered_vectors import clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from recbole_specgr import semantic_ids
from recbole_specgr.semantic_ids import (
    SemanticIds,
    Tokenizer,
    build_tokenizer,
    health,
    load_tokenizer,
)
from recbole_specgr.semantic_ids.additive import nearest_sums
from recbole_specgr.semantic_ids.balance import clearing_prices
from recbole_specgr.semantic_ids.identification import identification_digits
from recbole_specgr.semantic_ids.kmeans import kmeans, nearest, principal_components
from recbole_specgr.semantic_ids.quality import K, Neighbours
from recbole_specgr.semantic_ids.tokenizers.hierarchical_kmeans import HierarchicalKMeans
from recbole_specgr.semantic_ids.tokenizers.opq import OPQ, deal_out
from recbole_specgr.semantic_ids.tokenizers.rqkmeans import RQKMeans
from recbole_specgr.semantic_ids.tokenizers.rqvae import RQVAE, ResidualQuantizer, quantize
from recbole_specgr.system.errors import UserError

RQVAE_SMALL = {"hidden_sizes": [32], "latent_size": 8, "batch_size": 64, "warmup_epochs": 5, "epochs": 30}
METHODS = {
    "rqvae": {"method": "rqvae", "levels": 3, "codebook_size": 16, "rqvae": RQVAE_SMALL},
    "letter": {
        "method": "letter",
        "levels": 3,
        "codebook_size": 16,
        "rqvae": RQVAE_SMALL,
        "letter": {"clusters": 4},
    },
    "cost": {"method": "cost", "levels": 3, "codebook_size": 16, "rqvae": RQVAE_SMALL},
    "rqkmeans": {"method": "rqkmeans", "levels": 3, "codebook_size": 16, "rqkmeans": {"components": 8}},
    "rqkmeans balanced": {
        "method": "rqkmeans",
        "levels": 3,
        "codebook_size": 16,
        "rqkmeans": {"components": 8, "balanced": True},
    },
    "opq": {"method": "opq", "levels": 3, "codebook_size": 16, "opq": {"components": 6, "rotations": 5}},
    "hierarchical_kmeans": {"method": "hierarchical_kmeans", "levels": 3, "codebook_size": 16},
}


def fitted(group: dict, features: np.ndarray, seed: int = 0) -> Tokenizer:
    """A tokenizer fitted on features [n, d] and, where it reads them, collaborative vectors of text and chance."""
    tokenizer = build_tokenizer(group)
    return tokenizer.fit(features, seed, collaborative=vectors_of_use(features, tokenizer.collaborative_width))


ALL = clustered(301)  # stands for the 300 items of `setting`, and padding


def vectors_of_use(features: np.ndarray, width: int) -> np.ndarray | None:
    rng = np.random.default_rng(3)
    text = features @ rng.normal(size=(features.shape[1], width)) / 5
    return (text + rng.normal(size=text.shape)).astype(np.float32) if width else None


load_semantic_ids = partial(semantic_ids.load_semantic_ids, collaborative=lambda width: vectors_of_use(ALL, width))

# ---- the table ----


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_identification_digits_against_a_loop(data):
    n, levels = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    codes, seen = rng.integers(0, 3, size=(n, levels)), rng.random(n) < 0.6
    seen[0] = False
    counter, expected = {}, np.zeros(n, dtype=int)
    for wanted in (True, False):
        for item in range(1, n):
            if seen[item] == wanted:
                key = tuple(codes[item])
                expected[item] = counter.get(key, 0)
                counter[key] = expected[item] + 1
    np.testing.assert_array_equal(identification_digits(codes, seen), expected)

    ids = SemanticIds.from_codes(codes, (3,) * levels, seen)
    largest = max(counter.values(), default=1)
    assert ids.level_sizes == (3,) * levels + (max(3, 2 * largest),)
    assert not ids.codes[0].any() and not ids.tokens[0].any()
    np.testing.assert_array_equal(ids.codes[1:, :-1], codes[1:])
    assert len({tuple(row) for row in ids.tokens[1:].tolist()}) == n - 1


def test_token_layout():
    codes = np.array([[9, 9], [0, 0], [4, 6], [4, 6], [4, 6]])
    ids = SemanticIds.from_codes(codes, (5, 7), np.array([False, True, True, False, True]))
    assert ids.level_sizes == (5, 7, 7) and ids.n_digits == 3 and ids.n_items == 5
    assert ids.level_slices == ((1, 6), (6, 13), (13, 20))
    assert (ids.pad, ids.bos, ids.eos, ids.vocab_size) == (0, 20, 21, 22)
    assert ids.tokens.tolist() == [[0, 0, 0], [1, 6, 13], [5, 12, 13], [5, 12, 15], [5, 12, 14]]
    owners = [set(range(start, end)) for start, end in ids.level_slices] + [{ids.pad}, {ids.bos}, {ids.eos}]
    assert sum(map(len, owners)) == len(set().union(*owners)) == ids.vocab_size


def test_a_group_larger_than_the_codebooks_widens_the_last_level():
    for reserve, size in ((None, 600), (0, 300), (7, 307)):
        ids = SemanticIds.from_codes(np.zeros((301, 2), int), (4, 4), np.ones(301, bool), reserve=reserve)
        assert ids.level_sizes == (4, 4, size)
        assert sorted(ids.codes[1:, 2].tolist()) == list(range(300))
        assert ids.tokens.max() == ids.bos - 1 - (size - 300)


@pytest.mark.parametrize(
    "codes, sizes, message",
    [
        ([[0, 0], [0, 4]], (4, 4), "code 4 on level 1"),
        ([[0, 0], [-1, 0]], (4, 4), "code -1 on level 0"),
        ([[0, 0], [1, 1], [1, 1]], (4, 4), "only 1 distinct"),
        ([[0, 0]], (4,), "do not fit"),
    ],
)
def test_impossible_tables_are_refused(codes, sizes, message):
    with pytest.raises(ValueError, match=message):
        SemanticIds(torch.tensor(codes), sizes)


def test_table_save_and_load(tmp_path):
    rng = np.random.default_rng(1)
    names = np.array(["[PAD]", *(f"B00{i}" for i in range(20))])
    ids = SemanticIds.from_codes(rng.integers(0, 4, (21, 3)), (4, 4, 4), rng.random(21) < 0.5, names)
    path = tmp_path / "ids.npz"
    ids.save(path)
    same = SemanticIds.load(path)
    assert torch.equal(same.codes, ids.codes) and same.level_sizes == ids.level_sizes

    order = np.r_[0, 1 + rng.permutation(20)[:15]]
    other = SemanticIds.load(path, names[order])
    assert torch.equal(other.tokens, ids.tokens[order])
    assert other.vocab_size == ids.vocab_size

    with pytest.raises(UserError, match=r"lacks the semantic ids of 1 of 2 items .*new"):
        SemanticIds.load(path, np.array(["[PAD]", "B001", "new"]))
    with pytest.raises(UserError, match="no semantic ids at"):
        SemanticIds.load(tmp_path / "absent.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="Delete it"):
        SemanticIds.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["ids.npz"]


# ---- later items ----


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_later_items_against_a_loop(data):
    """Each takes the lowest free digit of its tuple, else of the nearest tuple that has one; nothing else changes."""
    n, n_new, reserve = data.draw(st.integers(2, 20)), data.draw(st.integers(0, 12)), data.draw(st.integers(0, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    names = np.array([f"i{i}" for i in range(n + n_new)])
    ids = SemanticIds.from_codes(rng.integers(0, 2, (n, 2)), (2, 2), rng.random(n) < 0.6, names[:n], reserve)
    new, every = rng.integers(0, 2, (n_new, 2)), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])

    taken, expected, fallback = {tuple(row) for row in ids.codes[1:].tolist()}, {}, []
    size = ids.level_sizes[-1]
    for number, codes in enumerate(new.tolist()):
        free = [digit for digit in range(size) if (*codes, digit) not in taken]
        if free:
            expected[number] = (*codes, free[0])
            taken.add(expected[number])
        else:
            fallback.append(number)
    for number in fallback:
        free = [(*codes, digit) for codes in every.tolist() for digit in range(size) if (*codes, digit) not in taken]
        if free:
            expected[number] = free[0]
            taken.add(free[0])

    def extend() -> SemanticIds:
        return ids.extended(new, names[n:], lambda rows: np.tile(every, (len(rows), 1, 1)))

    if len(expected) < n_new:
        with pytest.raises(UserError, match=r"have no free semantic id.*tokenizer\.reserve"):
            extend()
        return
    longer = extend()
    assert longer.level_sizes == ids.level_sizes and longer.vocab_size == ids.vocab_size
    assert torch.equal(longer.tokens[:n], ids.tokens)
    assert [tuple(row) for row in longer.codes[n:].tolist()] == [expected[i] for i in range(n_new)]
    assert longer.item_tokens.tolist() == names.tolist()
    first, end = longer.level_slices[-1]
    assert all(first <= token < end for token in longer.tokens[1:, -1].tolist())


def test_later_items_get_the_digits_they_would_have_had():
    codes = np.random.default_rng(0).integers(0, 3, (60, 2))
    names, seen = np.array([f"i{i}" for i in range(60)]), np.arange(60) < 40
    whole = SemanticIds.from_codes(codes, (3, 3), seen, names, reserve=60)
    later = SemanticIds.from_codes(codes[:50], (3, 3), seen[:50], names[:50], reserve=60)
    later = later.extended(codes[50:55], names[50:55]).extended(codes[55:], names[55:])
    assert torch.equal(later.codes, whole.codes)


def test_later_items_that_are_refused():
    ids = SemanticIds.from_codes(np.zeros((3, 2), int), (2, 2), np.ones(3, bool), np.array(["[PAD]", "a", "b"]), 0)
    assert ids.extended(np.array([[1, 1]]), np.array(["[PAD] 2"])).codes[3].tolist() == [1, 1, 0]
    with pytest.raises(UserError, match=r"1 new items \(such as c\) have no free semantic id: all 2"):
        ids.extended(np.array([[0, 0]]), np.array(["c"]))
    with pytest.raises(UserError, match="1 items have a semantic id already, such as b"):
        ids.extended(np.array([[0, 1], [1, 1]]), np.array(["b", "c"]))
    with pytest.raises(UserError, match="1 items have a semantic id already, such as c"):
        ids.extended(np.array([[0, 1], [1, 1]]), np.array(["c", "c"]))
    with pytest.raises(UserError, match=r"Item c has the codes \[0, 2\], but the levels hold 2/2"):
        ids.extended(np.array([[0, 2]]), np.array(["c"]))


# ---- k-means ----


def test_every_centre_is_in_use_even_on_skewed_data():
    rng = np.random.default_rng(0)
    points = np.vstack([rng.normal(size=(500, 4)) * 1e-3, rng.normal(size=(30, 4)) * 100]).astype(np.float32)
    for seed in range(5):
        centres = kmeans(points, 64, seed=seed)
        index, _ = nearest(points, centres)
        assert len(np.unique(index)) == 64


def test_fewer_distinct_points_than_centres():
    points = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    centres = kmeans(points, 8, seed=0)
    index, distance = nearest(points, centres)
    assert np.isfinite(centres).all() and distance.max() < 1e-9
    assert len(np.unique(index)) == 3


def test_principal_components_against_svd():
    points = clustered()
    centred = points - points.mean(0)
    _, _, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    mine = principal_components(centred, 5)
    np.testing.assert_allclose(np.abs((axes[:5] * mine.T).sum(1)), 1, atol=1e-5)
    assert (mine[np.abs(mine).argmax(0), np.arange(5)] > 0).all()


# ---- every tokenizer ----


@pytest.fixture(params=METHODS)
def group(request) -> dict:
    return METHODS[request.param]


def test_a_gpu_fits_and_encodes_as_the_cpu_does(group, gpu):
    features = clustered()
    use = vectors_of_use(features, build_tokenizer(group).collaborative_width)
    expected, found = (
        build_tokenizer(group).fit(features, seed=0, device=device, collaborative=use).encode(features)
        for device in ("cpu", "cuda")
    )
    assert found.shape == expected.shape and (found >= 0).all() and (found < build_tokenizer(group).codebook_size).all()
    if not gpu.is_real:  # a network that is trained on another machine rounds otherwise, and so ends elsewhere
        np.testing.assert_array_equal(found, expected)


def test_nearly_all_codes_in_use_and_groups_small(group):
    features = clustered()
    tokenizer = fitted(group, features)
    codes = tokenizer.encode(features)
    assert codes.dtype == np.int64 and codes.shape == (400, 3)
    used = [len(np.unique(column)) for column in codes.T]
    assert np.all(used >= 0.85 * np.array(tokenizer.possible_codes or [16] * 3)), used
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert counts.max() <= 25


def test_same_seed_same_codes_and_global_generators_untouched(group):
    features = clustered()
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    codes = [fitted(group, features, seed).encode(features) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert (codes[0] != codes[2]).any()
    assert (torch.rand(1), np.random.rand()) == expected


def test_no_progress_bar_where_there_is_no_terminal(group, capsys):
    features = clustered(200)
    tokenizer = build_tokenizer(group)
    use = vectors_of_use(features, tokenizer.collaborative_width)
    tokenizer.fit(features, seed=0, show_progress=True, collaborative=use)
    assert capsys.readouterr().err == ""


def test_saved_tokenizer_encodes_old_and_new_items_alike(group, tmp_path):
    features, new = clustered(), clustered(50, seed=9)
    tokenizer = fitted(group, features)
    tokenizer.save(tmp_path / "tokenizer.npz")
    loaded = load_tokenizer(tmp_path / "tokenizer.npz")
    assert loaded == tokenizer  # settings
    np.testing.assert_array_equal(loaded.encode(features), tokenizer.encode(features))
    np.testing.assert_array_equal(loaded.encode(new), tokenizer.encode(new))
    with pytest.raises(UserError, match="width 24, not 3"):
        loaded.encode(new[:, :3])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "tokenizer.npz").read_bytes()[:300])
    with pytest.raises(UserError, match="holds no tokenizer"):
        load_tokenizer(tmp_path / "cut.npz")


def test_inputs_no_tokenizer_can_take(group):
    tokenizer = build_tokenizer(group)
    if tokenizer.least_items > 1:
        with pytest.raises(UserError, match=r"codebook_size 16 is larger than the number of seen items, 15"):
            fitted(group, clustered(15))
    broken = clustered(40)
    broken[3, 3] = np.nan
    with pytest.raises(UserError, match="NaN"):
        tokenizer.fit(broken, 0, collaborative=vectors_of_use(clustered(40), tokenizer.collaborative_width))
    with pytest.raises(RuntimeError, match="fitted"):
        tokenizer.encode(clustered(20))


def test_identical_features(group):
    """A third of the items without text: all of them share their codes, and nothing breaks."""
    features = clustered(120)
    features[::3] = 0
    tokenizer = fitted(group, features)
    codes = tokenizer.encode(features)
    assert len(np.unique(codes[::3], axis=0)) == 1
    assert all(np.isfinite(array).all() for array in tokenizer.state().values())


def test_wrong_settings():
    with pytest.raises(UserError, match=r"no \[tokenizer.method: rqvea\].*rqvae"):
        build_tokenizer({"method": "rqvea"})
    with pytest.raises(UserError, match="has no setting epoch"):
        build_tokenizer({"method": "rqvae", "rqvae": {"epoch": 3}})
    with pytest.raises(UserError, match="levels must be at least 1"):
        build_tokenizer({"method": "rqkmeans", "levels": 0})
    with pytest.raises(UserError, match="at least 1"):
        build_tokenizer({"method": "rqvae", "rqvae": {"epochs": 0}})


def test_reconstruction_and_nearest_codes(group):
    """Codes stand for vectors near the features; tuples near a vector are different and sorted by nearness."""
    features, new = clustered(), clustered(20, seed=9)
    tokenizer = fitted(group, features)
    error = np.square(tokenizer.reconstruct(tokenizer.encode(features)) - features).sum()
    assert error < 0.5 * np.square(features - features.mean(0)).sum()

    found = tokenizer.nearest_codes(new, 8)
    assert found.shape == (20, 8, 3)
    for vector, tuples in zip(new, found):
        assert len(np.unique(tuples, axis=0)) == 8
        assert (tuples < tokenizer.codebook_sizes).all()
        if not isinstance(tokenizer, RQVAE):  # which is near in its latent space
            distance = np.square(tokenizer.reconstruct(tuples) - vector).sum(axis=1)
            assert (np.diff(distance) > -1e-4).all()


# ---- rqkmeans and opq ----


def test_nearest_sums_are_the_nearest_where_the_beam_holds_all():
    rng = np.random.default_rng(0)
    points, codebooks = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(3, 4, 3)).astype(np.float32)
    found = nearest_sums(points, codebooks, 64)
    every = np.array(list(np.ndindex(4, 4, 4)))
    sums = sum(codebooks[level][every[:, level]] for level in range(3))
    for point, tuples in zip(points, found):
        best = every[np.argsort(np.square(sums - point).sum(1))]
        np.testing.assert_array_equal(tuples, best)


@pytest.mark.parametrize("seed", range(3))
def test_balanced_codes_are_bounded_on_every_level(seed):
    rng = np.random.default_rng(seed)
    features = np.vstack([rng.normal(size=(800, 8)) * 0.05, rng.normal(size=(200, 8))]).astype(np.float32)
    sizes = {}
    for balanced in (False, True):
        tokenizer = RQKMeans(3, 20, components=None, balanced=balanced).fit(features, seed=0)
        sizes[balanced] = np.stack([np.bincount(column, minlength=20) for column in tokenizer.encode(features).T])
    assert sizes[False][0].max() > 100
    assert sizes[True].max() <= np.ceil(1.1 * 1000 / 20)


def test_equal_items_count_once_in_the_balance():
    features = clustered(400)
    features[200:] = features[0]
    codes = RQKMeans(2, 10, components=None, balanced=True).fit(features, seed=0).encode(features)
    assert len(np.unique(codes[200:], axis=0)) == 1
    for column in codes[:200].T:
        assert np.bincount(column).max() <= np.ceil(1.1 * 200 / 10)


def test_clearing_prices_give_a_cheap_balanced_assignment():
    """Against the optimal assignment with the same capacities (the Hungarian algorithm)."""
    rng = np.random.default_rng(1)
    points, centres = rng.normal(size=(60, 2)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    prices = clearing_prices(points, centres, np.zeros(6, dtype=np.float32))
    distance = np.square(points[:, None] - centres).sum(2)
    index = (distance + prices).argmin(1)
    assert np.bincount(index).max() <= 11  # ceil(1.1 * 60 / 6)
    rows, columns = linear_sum_assignment(np.repeat(distance, 11, axis=1))
    optimum = distance[rows, columns // 11].sum()
    assert np.bincount(distance.argmin(1)).max() > 11
    assert optimum - 1e-3 <= distance[np.arange(60), index].sum() <= 1.1 * optimum


def test_opq_is_a_product_quantiser_of_rotated_features():
    features = clustered(600)
    tokenizer = OPQ(3, 16, components=None, rotations=20).fit(features, seed=0)
    np.testing.assert_allclose(tokenizer.projection.T @ tokenizer.projection, np.eye(24), atol=1e-4)
    rotated = (features - tokenizer.mean) @ tokenizer.projection
    for level, codes in enumerate(tokenizer.encode(features).T):
        part = slice(8 * level, 8 * level + 8)
        book = tokenizer.codebooks[level]
        assert not np.delete(book, np.arange(8 * level, 8 * level + 8), axis=1).any()
        distance = np.square(rotated[:, None, part] - book[:, part]).sum(2)
        assert (distance[np.arange(600), codes] <= distance.min(1) + 1e-4).all()


def test_opq_rotation_lowers_the_error():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(1000, 6)) * [4, 3, 2, 1, 0.5, 0.2] @ rng.normal(size=(6, 6))).astype(np.float32)

    def error(rotations: int) -> float:
        tokenizer = OPQ(3, 16, components=None, rotations=rotations).fit(features, seed=0)
        return np.square(tokenizer.reconstruct(tokenizer.encode(features)) - features).sum()

    assert error(30) < error(0) * 1.001
    with pytest.raises(UserError, match="as many components as levels"):
        OPQ(8, 16).fit(features, seed=0)


@pytest.mark.parametrize("components", [None, 12])
def test_opq_whitens(components, tmp_path):
    features = clustered(600) * np.linspace(0.1, 5, 24, dtype=np.float32)
    tokenizer = OPQ(4, 16, components=components, whiten=True, rotations=5).fit(features, seed=0)
    points = (features - tokenizer.mean) @ tokenizer.projection
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.eye(components or 24), atol=1e-3)
    codes = tokenizer.encode(features)
    back = (tokenizer.reconstruct(codes) - tokenizer.mean) @ tokenizer.projection
    stands_for = sum(tokenizer.codebooks[level][codes[:, level]] for level in range(4))
    np.testing.assert_allclose(back, stands_for, atol=1e-3)
    tokenizer.save(tmp_path / "tokenizer.npz")
    np.testing.assert_array_equal(load_tokenizer(tmp_path / "tokenizer.npz").encode(features), codes)


def test_opq_cannot_whiten_what_does_not_vary():
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(300, 5)) @ rng.normal(size=(5, 24))).astype(np.float32)
    with pytest.raises(UserError, match=r"vary in 5 directions, fewer than the 8 .*components 8 asks for"):
        OPQ(4, 16, components=8, whiten=True).fit(flat, seed=0)
    with pytest.raises(UserError, match="vary in 0 directions"):
        OPQ(4, 16, components=8, whiten=True).fit(np.ones((300, 24), dtype=np.float32), seed=0)


def test_components_are_dealt_out_evenly():
    variances = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25], dtype=np.float32)
    order = deal_out(variances, 3).argmax(axis=0)
    products = variances[order].reshape(3, 2).prod(axis=1)
    assert sorted(order.tolist()) == list(range(6))
    np.testing.assert_allclose(products, 2.0)


# ---- rqkmeans ----


@pytest.mark.parametrize("components", [None, 6])
def test_rqkmeans_codes_are_the_nearest_residuals(components):
    features = clustered(150)
    group = {"method": "rqkmeans", "levels": 3, "codebook_size": 10, "rqkmeans": {"components": components}}
    tokenizer = fitted(group, features)
    codes = tokenizer.encode(features)
    reduced = (features - features.mean(0)).astype(np.float64)
    if components:
        reduced = reduced @ tokenizer.projection
    for row, code in zip(reduced, codes, strict=True):
        residual = row
        for level in range(3):
            book = tokenizer.codebooks[level].astype(np.float64)
            distance = ((residual - book) ** 2).sum(1)
            assert distance[code[level]] <= distance.min() + 1e-4
            residual = residual - book[code[level]]


# ---- hierarchical k-means ----


def descend(tokenizer: HierarchicalKMeans, vector: np.ndarray) -> list[tuple[int, int]]:
    """(node, code chosen there) from the root to a leaf, by brute force."""
    path, node = [], 0
    for _ in range(tokenizer.levels):
        first, n = tokenizer.first_child[node], tokenizer.n_children[node]
        code = int(np.square(tokenizer.centres[first : first + n].astype(float) - vector).sum(1).argmin())
        path.append((node, code))
        node = first + code
    return path


@pytest.mark.parametrize("branching", [None, 3])
def test_hierarchical_codes_are_the_path_to_the_nearest_centres(branching):
    features = clustered(150)
    tokenizer = HierarchicalKMeans(3, 12, branching=branching).fit(features, seed=0)
    paths = [descend(tokenizer, row) for row in features]
    assert tokenizer.encode(features).tolist() == [[code for _, code in path] for path in paths]
    for level in range(3):
        children = {node: set() for node, _ in (path[level] for path in paths)}
        for path in paths:
            children[path[level][0]].add(path[level][1])
        for node, codes in children.items():
            assert codes == set(range(tokenizer.n_children[node]))  # no child without items
        assert tokenizer.codebook_sizes[level] == max(map(len, children.values())) <= (branching or 12)
    if branching is None:
        assert len({tuple(path) for path in paths}) > 100  # leaves of about one item


def test_a_small_cluster_is_not_split_further():
    features = np.vstack([np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)])
    tokenizer = HierarchicalKMeans(3, 8, branching=8).fit(features, seed=0)
    codes = tokenizer.encode(features)
    assert len(np.unique(codes[:4], axis=0)) == 4 and not codes[:, 1:].any()
    np.testing.assert_array_equal(codes[:4], codes[4:])
    ids = SemanticIds.from_codes(
        np.vstack([codes[:1], codes]), tokenizer.codebook_sizes, np.r_[False, np.ones(8, dtype=bool)]
    )
    assert ids.level_sizes[:3] == (4, 1, 1)


# ---- rqvae ----


def test_commitment_gradient_reaches_the_encoder_at_every_level():
    torch.manual_seed(0)
    x = torch.randn(32, 6, requires_grad=True)
    codebooks = torch.randn(3, 8, 6)
    residual, total, before = x.detach(), 0, 0
    for level in range(3):
        until = quantize(x, codebooks[: level + 1]).commitment
        (gradient,) = torch.autograd.grad(until - before, x, retain_graph=True)
        before = until
        chosen = codebooks[level][torch.cdist(residual, codebooks[level]).argmin(1)]
        expected = 2 * (residual - chosen) / x.numel()
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)
        total += (residual - chosen).square().mean()
        residual = residual - chosen
    result = quantize(x, codebooks)
    torch.testing.assert_close(result.commitment, total)
    torch.testing.assert_close(result.vectors, x.detach() - residual)


def test_codebooks_start_as_means_and_stay_moving_averages():
    torch.manual_seed(0)
    latent = torch.randn(200, 4)
    settings_ = RQVAE(levels=2, codebook_size=8, decay=0.9, restart_below=0.0)
    quantizer = ResidualQuantizer.from_kmeans(latent, settings_, 50, 0, torch.Generator().manual_seed(0))
    codes = quantizer(latent).codes
    counts = torch.stack([torch.bincount(column, minlength=8) for column in codes.T]).float()
    torch.testing.assert_close(quantizer.counts, counts / 4)  # a batch is a quarter of the items
    assert (counts > 0).all()

    before_counts, before_sums = quantizer.counts.clone(), quantizer.sums.clone()
    batch = latent[:50]
    result = quantizer(batch, learn=True)
    for level in range(2):
        for code in range(8):
            mine = result.residuals[level][result.codes[:, level] == code]
            count = 0.9 * before_counts[level, code] + 0.1 * len(mine)
            total = 0.9 * before_sums[level, code] + 0.1 * mine.sum(0)
            torch.testing.assert_close(quantizer.codebooks[level, code], total / count)


def test_dead_codes_start_anew_at_a_residual_of_the_batch():
    torch.manual_seed(0)
    latent = torch.randn(200, 4)
    settings_ = RQVAE(levels=2, codebook_size=8, decay=0.5, restart_below=0.1)
    quantizer = ResidualQuantizer.from_kmeans(latent, settings_, 50, 0, torch.Generator().manual_seed(0))
    others = torch.arange(8) != 3
    quantizer.codebooks[0, 3] = quantizer.sums[0, 3] = 1e3  # nobody will choose it
    quantizer.counts[0, 3] = 0.1
    result = quantizer(latent, learn=True)
    anew = quantizer.codebooks[0, 3]
    assert (result.residuals[0] - anew).abs().sum(1).min() < 1e-5
    assert (result.residuals[0][:, None] - quantizer.codebooks[0, others]).abs().sum(2).min() > 1e-3
    assert len(quantizer(latent).codes[:, 0].unique()) == 8


def test_rqvae_on_as_many_items_as_a_small_catalogue():
    """64 codes on 1,300 items as in ml-100k: at most a code or two unused, no large group."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(120, 64))
    features = np.stack([words[rng.choice(120, 5)].mean(0) for _ in range(1300)]).astype(np.float32)
    tokenizer = build_tokenizer(
        {"method": "rqvae", "codebook_size": 64, "rqvae": {"hidden_sizes": [64], "epochs": 30, "warmup_epochs": 5}}
    ).fit(features, seed=0)
    ids = SemanticIds.from_codes(
        np.vstack([np.zeros((1, 3), int), tokenizer.encode(features)]), (64,) * 3, np.r_[False, np.ones(1300, bool)]
    )
    report = health.measure(ids, np.r_[False, np.ones(1300, bool)], np.vstack([features[:1], features]))
    assert min(level["used"] for level in report["levels"]) >= 60
    assert report["largest_group"] <= 13 and report["distinct"] >= 1100


def test_diverging_loss_is_an_error():
    group = {"method": "rqvae", "codebook_size": 16, "rqvae": RQVAE_SMALL | {"learning_rate": 1e20}}
    with (
        pytest.raises(UserError, match="learning_rate"),
        torch.autograd.set_detect_anomaly(True),
    ):  # as RecBole leaves it
        build_tokenizer(group).fit(clustered(), seed=0)


# ---- health ----


def test_health_counts_against_loops():
    rng = np.random.default_rng(2)
    codes, seen = rng.integers(0, 3, (60, 2)), rng.random(60) < 0.6
    seen[0] = False
    features = np.round(rng.normal(size=(60, 1)))
    report = health.measure(SemanticIds.from_codes(codes, (3, 4), seen), seen, features)
    pairs = {"seen_seen": 0, "seen_unseen": 0, "unseen_unseen": 0}
    for a in range(1, 60):
        for b in range(a + 1, 60):
            if tuple(codes[a]) == tuple(codes[b]):
                pairs[("unseen_unseen", "seen_unseen", "seen_seen")[int(seen[a]) + int(seen[b])]] += 1
    assert report["collisions"] == pairs
    tuples = [tuple(row) for row in codes[1:].tolist()]
    seen_tuples = [tuple(row) for row in codes[seen].tolist()]
    assert report["distinct"] == len(set(tuples)) and report["distinct_seen"] == len(set(seen_tuples))
    assert report["largest_group"] == max(map(tuples.count, tuples))
    assert report["largest_group_seen"] == max(map(seen_tuples.count, seen_tuples))
    values = features[seen].ravel().tolist()
    assert report["largest_identical_seen"] == max(map(values.count, values))
    assert report["unseen_colliding_with_seen"] == sum(
        tuple(codes[i]) in set(seen_tuples) for i in range(1, 60) if not seen[i]
    )
    assert (report["items"], report["seen_items"], report["unseen_items"]) == (59, seen.sum(), 59 - seen.sum())
    second = report["levels"][1]
    shares = [np.mean(codes[seen][:, 1] == code) for code in range(3)]
    assert second["used"] == 3 and second["size"] == 4
    assert second["entropy"] == pytest.approx(-sum(p * np.log(p) for p in shares) / np.log(4))
    json.dumps(report)


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        (8, "codes used 4/3/3/3/3/3/3/3 of 5/5/5/5/5/5/5/5, entropy 0.86/0.65/0.65/"),
        (9, "9 digits, codes used 3 to 4 (median 3) of 5, entropy 0.65 to 0.86 (median 0.65); 4 distinct"),
    ],
)
def test_of_long_ids_the_log_has_least_median_and_most(digits, said):
    codes = np.tile(np.arange(4)[:, None] % 3, (1, digits))
    codes[:, 0] = np.arange(4)
    ids = SemanticIds.from_codes(np.vstack([np.zeros_like(codes[:1]), codes]), (5,) * digits, np.arange(5) > 0)
    report = health.measure(ids, np.arange(5) > 0, None)
    assert said in health.summary(report)


def health_of(codes: np.ndarray, size: int, features: np.ndarray) -> dict:
    seen = np.r_[False, np.ones(len(codes), dtype=bool)]
    codes = np.vstack([np.zeros((1, codes.shape[1]), int), codes])
    ids = SemanticIds.from_codes(codes, (size,) * codes.shape[1], seen)
    return health.measure(ids, seen, np.vstack([features[:1], features]))


def test_collapse_is_an_error_with_advice():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 2))
    good = rng.integers(0, 32, (300, 3))
    health.check(health_of(good, 32, features))

    dead_level = good.copy()
    dead_level[:, 0] %= 8
    with pytest.raises(health.CollapsedTokenizer, match=r"level 1 uses 8 of 32 .*rqkmeans"):
        health.check(health_of(dead_level, 32, features))
    health.check(health_of(dead_level, 32, features), min_utilisation=0.2)

    one_group = good.copy()
    one_group[:80] = good[0]
    with pytest.raises(health.CollapsedTokenizer, match="of 300 seen items have the same codes"):
        health.check(health_of(one_group, 32, features))
    features[:80] = 0  # no tokenizer could tell these apart
    health.check(health_of(one_group, 32, features))


def test_a_small_group_is_no_collapse_on_a_tiny_catalogue():
    rng = np.random.default_rng(0)
    codes, features = rng.integers(0, 4, (63, 2)), rng.normal(size=(63, 2))
    codes[:7] = codes[0]
    health.check(health_of(codes, 4, features))
    codes[:40] = codes[0]
    with pytest.raises(health.CollapsedTokenizer, match="of 63 seen items have the same codes"):
        health.check(health_of(codes, 4, features))


def test_large_groups_are_no_collapse_where_codes_are_few():
    rng = np.random.default_rng(0)
    codes, features = rng.integers(0, 64, (2454, 1)), rng.normal(size=(2454, 2))
    codes[codes == 0] = 1
    for size, accepted in ((140, True), (200, False)):  # 38 are in a group if all are alike
        codes[:64] = np.arange(64)[:, None]
        unequal = np.where(np.arange(2454)[:, None] >= 2454 - size, 0, codes)
        unequal[0] = 1
        report = health_of(unequal, 64, features)
        assert report["largest_group_seen"] == size
        if accepted:
            health.check(report)
        else:
            with pytest.raises(health.CollapsedTokenizer, match="200 of 2454 seen items have the same codes"):
                health.check(report)


def test_few_distinct_items_are_no_collapse():
    codes = np.arange(10).repeat(3)[:, None]
    health.check(health_of(codes, 64, codes.astype(float)))
    nothing_left_to_code = np.column_stack([codes, 0 * codes])
    health.check(health_of(nothing_left_to_code, 64, codes.astype(float)))
    features = np.random.default_rng(0).normal(size=(30, 1))
    with pytest.raises(health.CollapsedTokenizer, match="level 1 uses 10 of 30 possible"):
        health.check(health_of(nothing_left_to_code, 64, features))


# ---- semantic ids of a data set ----


@pytest.fixture
def setting(tmp_path, group) -> SimpleNamespace:
    """A stand-in for config and data set, with the features of 300 items, 80 of them unseen."""
    features = np.vstack([np.zeros((1, 24), np.float32), clustered(300)])
    seen = torch.zeros(301, dtype=torch.bool)
    seen[1 + torch.randperm(300, generator=torch.Generator().manual_seed(1))[:220]] = True
    dataset = SimpleNamespace(
        seen=seen, iid_field="item_id", field2id_token={"item_id": np.array(["[PAD]", *(f"i{i}" for i in range(300))])}
    )
    config = {
        "semantic_ids": None,
        "tokenizer": {**group, "min_utilisation": 0.5},
        "seed": 0,
        "run_dir": str(tmp_path / "run"),
        "cache_path": str(tmp_path / "cache"),
        "device": torch.device("cpu"),
        "show_progress": False,
    }
    return SimpleNamespace(config=config, dataset=dataset, features=features, path=tmp_path)


@pytest.fixture
def fits(monkeypatch) -> list:
    """Counts how often a tokenizer is fitted."""
    calls, real = [], Tokenizer.fit
    monkeypatch.setattr(Tokenizer, "fit", lambda self, *args: calls.append(args[0]) or real(self, *args))
    return calls


def test_unseen_features_never_influence_the_fit(setting):
    seen = setting.dataset.seen.numpy()
    first = load_semantic_ids(setting.config | {"run_dir": None}, setting.dataset, setting.features)
    changed = setting.features.copy()
    changed[~seen] = np.random.default_rng(5).permutation(changed[~seen]) * 3
    changed[0] = 7
    config = setting.config | {"run_dir": None, "cache_path": str(setting.path / "other")}
    second = load_semantic_ids(config, setting.dataset, changed)
    assert torch.equal(first.codes[setting.dataset.seen], second.codes[setting.dataset.seen])
    assert not torch.equal(first.codes, second.codes)


def test_cache_hit_is_identical_and_not_refitted(setting, fits):
    config = setting.config | {"run_dir": None}
    first = load_semantic_ids(config, setting.dataset, setting.features)
    second = load_semantic_ids(config, setting.dataset, setting.features)
    assert torch.equal(first.codes, second.codes) and len(fits) == 1
    assert len(fits[0]) == 220
    load_semantic_ids(config | {"seed": 1}, setting.dataset, setting.features)
    load_semantic_ids(
        config | {"tokenizer": {**config["tokenizer"], "codebook_size": 15}}, setting.dataset, setting.features
    )
    load_semantic_ids(config, setting.dataset, setting.features + np.float32(0.5))
    assert len(fits) == 4
    unseen = setting.features.copy()
    unseen[~setting.dataset.seen.numpy()] += 1
    load_semantic_ids(config, setting.dataset, unseen)
    assert len(fits) == 4  # the seen items are the same


def test_a_users_own_tokenizer_is_fitted_by_the_code_that_it_has_now(setting, fits, monkeypatch):
    monkeypatch.chdir(setting.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which can't tell two files of one second and size apart
    file = setting.path / "baselines" / "MyQuantizer.py"
    file.parent.mkdir()
    group = {**setting.config["tokenizer"], "method": "MyQuantizer", "min_utilisation": 0.0}
    found = []
    for first in (0, 1):
        file.write_text(
            "from dataclasses import dataclass\n"
            "import numpy as np\n"
            "from recbole_specgr.semantic_ids.additive import AdditiveQuantizer\n\n\n"
            "@dataclass\nclass MyQuantizer(AdditiveQuantizer):\n"
            "    def _fit_codebooks(self, points, seed, show_progress):\n"
            f"        return np.stack([points[{first}:][: self.codebook_size]] * self.levels)\n"
        )
        monkeypatch.delitem(sys.modules, "recbole_specgr_baselines.MyQuantizer", raising=False)  # as in a new process
        config = setting.config | {"run_dir": None, "tokenizer": group}
        found.append(load_semantic_ids(config, setting.dataset, setting.features).codes)
    assert len(fits) == 2 and not torch.equal(*found)


def test_run_directory_keeps_its_own_ids(setting, fits):
    first = load_semantic_ids(setting.config, setting.dataset, setting.features)
    run = setting.path / "run"
    assert sorted(file.name for file in run.iterdir()) == ["semantic_ids.json", "semantic_ids.npz", "tokenizer.npz"]
    report = json.loads((run / "semantic_ids.json").read_text())
    assert report["items"] == 300 and report["seen_items"] == 220
    codes = load_tokenizer(run / "tokenizer.npz").encode(setting.features)
    np.testing.assert_array_equal(codes[1:], first.codes[1:, :-1])

    order = np.r_[0, 1 + np.random.default_rng(0).permutation(300)]
    remapped = SimpleNamespace(
        seen=setting.dataset.seen[order],
        iid_field="item_id",
        field2id_token={"item_id": setting.dataset.field2id_token["item_id"][order]},
    )
    again = load_semantic_ids(setting.config | {"seed": 9}, remapped, setting.features[order])
    assert torch.equal(again.tokens, first.tokens[order]) and len(fits) == 1


def test_broken_cache_file_is_fitted_again(setting, fits, caplog):
    config = setting.config | {"run_dir": None}
    first = load_semantic_ids(config, setting.dataset, setting.features)
    (path,) = (setting.path / "cache").rglob("*.npz")
    path.write_bytes(path.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        second = load_semantic_ids(config, setting.dataset, setting.features)
    assert "fitted again" in caplog.text and len(fits) == 2
    assert torch.equal(first.codes, second.codes)


def test_collapse_leaves_nothing_in_the_run_directory(setting, monkeypatch):
    monkeypatch.setattr(Tokenizer, "encode", lambda self, features: np.zeros((len(features), 3), dtype=np.int64))
    with pytest.raises(health.CollapsedTokenizer):
        load_semantic_ids(setting.config, setting.dataset, setting.features)
    assert not (setting.path / "run").exists()


def test_codebook_larger_than_the_seen_items(setting):
    if setting.config["tokenizer"]["method"] == "hierarchical_kmeans":
        pytest.skip("a tree splits as far as there are items")
    config = setting.config | {"tokenizer": {**setting.config["tokenizer"], "codebook_size": 250}}
    with pytest.raises(UserError, match="larger than the number of seen items, 220"):
        load_semantic_ids(config, setting.dataset, setting.features)
    assert not list(setting.path.rglob("*.npz"))


# ---- neighbours of new items ----


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_of_unseen_items_against_brute_force(method):
    """Seen items are near an unseen one by text and by codes; it is near itself in neither."""
    rng = np.random.default_rng(4)
    features = np.vstack([np.zeros((1, 24)), clustered(150)]).astype(np.float32)
    seen = np.arange(151) % 3 != 0  # not 0, the padding
    tokenizer = fitted(METHODS[method], features[seen])
    ids = SemanticIds.from_codes(tokenizer.encode(features), tokenizer.codebook_sizes, seen)
    pool, users = np.flatnonzero(seen), rng.integers(0, 30, 400)
    items = rng.choice(pool, 400)
    found = Neighbours.of(features, seen, users, items, seed=0, unseen=~seen)
    assert found.sample.tolist() == list(range(3, 151, 3)) and not found.together.any()

    tuples, place = np.unique(ids.codes[:, :-1].numpy(), axis=0, return_inverse=True)
    place = place.reshape(-1)
    vectors = tokenizer.reconstruct(tuples).astype(np.float64)[place]
    weights = []
    for item in found.sample:
        cosine = {o: features[o] @ features[item] / np.linalg.norm(features[o]) for o in pool}
        distance = {o: round(float(np.square(vectors[o] - vectors[item]).sum()), 6) for o in pool}
        for neighbour in sorted(pool, key=cosine.get)[-K:]:
            nearer = sum(other < distance[neighbour] for other in distance.values())
            alike = sum(other == distance[neighbour] for other in distance.values())
            weights.append(min(max((K - nearer) / alike, 0), 1))
    near = found.in_code_space(ids, tokenizer)
    assert near == {
        "text": pytest.approx(np.mean(weights), abs=1e-6),
        "together": None,
        "chance": pytest.approx(K / len(pool)),
    }
    first = found.by_prefix(ids)[0]["any"]
    assert first == pytest.approx(np.mean(ids.codes[found.sample, None, 0].numpy() == ids.codes[pool, 0].numpy()))
    assert Neighbours.of(features, seen, users, items, seed=0, unseen=seen) is None  # none of them is unseen
