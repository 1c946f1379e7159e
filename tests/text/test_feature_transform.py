"""Principal components and standardisation against scikit-learn's, fitted on the seen items by hand."""

import logging

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text import feature_transform
from recbole_specgr.text.feature_transform import FeatureTransform
from recbole_specgr.text.features import load_text_features

N, D = 50, 6


@pytest.fixture
def features() -> np.ndarray:
    """Correlated columns of unlike sizes; row 0, an item among the seen and one among the unseen have none."""
    rng = np.random.default_rng(4)
    found = (rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) * 10.0 ** np.arange(D) + 3).astype(np.float32)
    found[[0, 5, 45]] = 0
    return found


SEEN = np.arange(N) < 30
FITTED_ON = np.array([row for row in range(1, 30) if row != 5])
FILLED = np.array([row for row in range(1, N) if row not in (5, 45)])


@pytest.mark.parametrize("components", [None, 1, 4])
@pytest.mark.parametrize("standardise", [False, True])
def test_it_is_what_scikit_learn_gives_on_the_seen_rows(features, components, standardise, monkeypatch):
    if components is None and not standardise:
        assert FeatureTransform.fit(features, SEEN) is None
        return
    monkeypatch.setattr(feature_transform, "_ROWS", 7)  # several pieces
    expected = features.astype(np.float64)
    if components is not None:
        expected = PCA(components, svd_solver="full").fit(expected[FITTED_ON]).transform(expected)
    if standardise:
        expected = StandardScaler().fit(expected[FITTED_ON]).transform(expected)
    elif components is None:
        expected -= expected[FITTED_ON].mean(axis=0)
    found = FeatureTransform.fit(features, SEEN, components, standardise)(features)
    assert found.dtype == np.float32
    signs = np.sign((found[FILLED] * expected[FILLED]).sum(axis=0))  # an axis may point either way
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(found[FILLED] / scale, expected[FILLED] * signs / scale, atol=2e-4)
    assert not found[[0, 5, 45]].any()


def test_unseen_rows_change_nothing_for_the_others(features):
    first = FeatureTransform.fit(features, SEEN, 3, True)(features)
    changed = features.copy()
    changed[30:] *= -7
    again = FeatureTransform.fit(changed, SEEN, 3, True)(changed)
    np.testing.assert_array_equal(first[:30], again[:30])
    assert not np.allclose(first[30:], again[30:])


def test_more_components_than_there_are_dimensions_are_lowered(features, caplog):
    with caplog.at_level(logging.WARNING):
        assert FeatureTransform.fit(features[:, :3], SEEN, 9)(features[:, :3]).shape == (N, 3)
    assert "text_pca 9 is lowered to 3" in caplog.text
    flat = np.repeat(features[:, :1], 4, axis=1)
    assert FeatureTransform.fit(flat, SEEN, 4, True)(flat).shape == (N, 1)


def test_a_dimension_that_is_constant_over_the_seen_becomes_zero(features):
    features[:30, 2] = 8
    features[0] = 0
    found = FeatureTransform.fit(features, SEEN, standardise=True)(features)
    assert not found[:, 2].any()
    assert np.isfinite(found).all()


def test_what_cannot_be_fitted_is_refused(features):
    for components in (0, -1, True):
        with pytest.raises(UserError, match=r"text_pca \[.*\] must be a whole number from 1"):
            FeatureTransform.fit(features, SEEN, components)
    with pytest.raises(UserError, match="two seen items with text at least, but there are 1"):
        FeatureTransform.fit(features, np.arange(N) < 2, 2)


@pytest.mark.parametrize("encoder", ["lsa", "ready.npz"])
def test_every_encoder_is_transformed(tiny_dataset, tmp_path, encoder):
    def features_of(**settings):
        config = Config("SASRec", "tiny", config_dict={**tiny_dataset, "text_encoder": encoder, **settings})
        dataset = InductiveDataset(config).build()[0]
        return load_text_features(config, dataset), dataset

    items = [f"i{item}" for item in range(80)]
    np.savez(tmp_path / "ready.npz", item_id=items, features=np.random.default_rng(0).normal(size=(80, 9)))
    plain, dataset = features_of()
    found, _ = features_of(text_pca=5, text_standardise=True)
    seen = dataset.seen.numpy()
    assert plain.shape[1] > found.shape[1] == 5
    np.testing.assert_allclose(found[seen].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(found[seen].T, bias=True), np.eye(5), atol=1e-3)  # white
    assert not found[0].any()
