"""What was fitted on seen items' texts is kept with the run and encodes later texts as it encoded the first."""

import numpy as np
import pytest

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.feature_transform import FeatureTransform
from recbole_specgr.text.features import FEATURES, FITTED_LSA, TRANSFORM, load_text_features
from recbole_specgr.text.item_text import item_texts
from recbole_specgr.text.lsa import LSA


def test_the_run_keeps_what_encodes_later_texts(tiny_dataset, tmp_path):
    run_dir = tmp_path / "run"
    settings = {**tiny_dataset, "run_dir": str(run_dir), "text_pca": 6, "text_standardise": True}
    config = Config("SASRec", "tiny", config_dict=settings)
    dataset = InductiveDataset(config).build()[0]
    features = load_text_features(config, dataset)
    texts = item_texts(dataset, config["text_fields"])

    lsa, transform = LSA.load(run_dir / FITTED_LSA), FeatureTransform.load(run_dir / TRANSFORM)
    one_by_one = np.concatenate([transform(lsa.encode([text])) for text in texts])
    np.testing.assert_allclose(one_by_one, features, atol=1e-5)
    np.testing.assert_array_equal(np.load(run_dir / FEATURES), features)

    other = load_text_features(Config("SASRec", "tiny", config_dict={**settings, "run_dir": "again"}), dataset)
    np.testing.assert_array_equal(other, features)  # from the cache, and the second run has its own, too
    assert LSA.load(tmp_path / "again" / FITTED_LSA).terms == lsa.terms


def test_lsa_reads_back_what_it_wrote(tmp_path):
    lsa = LSA.fit(["a red boat", "a blue boat", "the blue \u00e9tude"], width=2, seed=0)
    lsa.save(tmp_path / "lsa.npz")
    again = LSA.load(tmp_path / "lsa.npz")
    assert again.terms == lsa.terms and "blue boat" in again.terms
    texts = ["blue", "", "nothing known", "a red \u00e9tude"]
    np.testing.assert_array_equal(again.encode(texts), lsa.encode(texts))
    np.testing.assert_array_equal(lsa.encode(texts).any(axis=1), [True, False, False, True])


@pytest.mark.parametrize("components, standardise", [(3, False), (None, True), (3, True)])
def test_a_transform_reads_back_what_it_wrote(tmp_path, components, standardise):
    features = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    features[0] = 0
    transform = FeatureTransform.fit(features, np.arange(20) < 12, components, standardise)
    transform.save(tmp_path / "transform.npz")
    np.testing.assert_array_equal(FeatureTransform.load(tmp_path / "transform.npz")(features), transform(features))


@pytest.mark.parametrize("kind", [LSA, FeatureTransform])
def test_a_cut_file_is_refused(tmp_path, kind):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"cut\.npz holds no"):
        kind.load(tmp_path / "cut.npz")


def test_a_lost_lsa_is_fitted_again(tiny_dataset, tmp_path):
    config = Config("SASRec", "tiny", config_dict=tiny_dataset)
    dataset = InductiveDataset(config).build()[0]
    first = load_text_features(config, dataset)
    (fitted,) = (tmp_path / "cache").rglob("*.lsa.npz")
    fitted.unlink()
    np.testing.assert_array_equal(load_text_features(config, dataset), first)
    assert fitted.is_file()
