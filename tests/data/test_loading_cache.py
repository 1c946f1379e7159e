"""The cache of a loaded data set: the same arrays without the files, and never those of other files or settings."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
import torch
from test_loading import CONFIGURATIONS, config_of, write

from recbole_specgr.data import loading, loading_cache
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.loading_cache import LoadingCache

SPLITS = {
    "cuts": {"timestamp_split": [0.6, 0.8]},
    "held back": {"launch_holdout": {"share": 0.3, "seed": 1}},
    "leave-one-out": {"split": "leave_one_out"},
    "unused": {"unused_col": {"inter": ["rating"]}},
}
DERIVED = ("fingerprint", "repeats", "protocol", "interactions", "candidates", "seen", "rows", "starts", "first_seen")


@pytest.fixture(autouse=True)
def every_size_is_kept(monkeypatch):
    monkeypatch.setattr(loading_cache, "WORTH", 0)


def same(one, other) -> bool:
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor | np.ndarray):
        return one.dtype == other.dtype and np.array_equal(np.asarray(one), np.asarray(other))
    return type(one) is type(other) and one == other


def check_same(ours: InductiveDataset, plain: InductiveDataset) -> None:
    for one, other in zip([ours, *ours.build()], [plain, *plain.build()], strict=True):
        assert all(same(getattr(one, name), getattr(other, name)) for name in DERIVED)
        for feature in ("inter_feat", "item_feat", "user_feat"):
            columns, expected = getattr(one, feature), getattr(other, feature)
            assert (columns is None) == (expected is None)
            assert list(columns or ()) == list(expected or ())
            assert all(same(columns[field], expected[field]) for field in expected or ())
        if other.phase:
            batch, wanted = one[torch.arange(len(one))], other[torch.arange(len(other))]
            assert all(same(batch[field], wanted[field]) for field in wanted)
    for name in ("field2type", "field2source", "field2seqlen", "field2bucketnum", "feat_name_list"):
        assert getattr(ours, name) == getattr(plain, name)
    assert vars(ours.split).keys() == vars(plain.split).keys()
    assert all(same(value, vars(plain.split)[name]) for name, value in vars(ours.split).items())
    for field, tokens in plain.field2id_token.items():
        assert same(ours.field2id_token[field], tokens) and ours.field2token_id[field] == plain.field2token_id[field]


@pytest.fixture
def no_reading(monkeypatch):
    """A function from which on files of data can't be read."""

    def forbid() -> None:
        def fail(*given):
            raise AssertionError("the files were read")

        monkeypatch.setattr(loading, "read_columns", fail)
        monkeypatch.setattr(loading.SequentialDataset, "_load_feat", fail)

    return forbid


@pytest.mark.parametrize("name", [*CONFIGURATIONS, *SPLITS])
def test_what_is_kept_is_what_was_loaded(name, tmp_path, monkeypatch, no_reading):
    settings = {"text_fields": ["title"], **{**CONFIGURATIONS, **SPLITS}[name]}
    if "title" not in ((settings.get("load_col", {"item": ["title"]}) or {}).get("item") or ()):
        settings["text_fields"] = None
    write(tmp_path / "log", settings.get("field_separator", "\t"))
    monkeypatch.setattr(loading_cache, "WORTH", 10**9)
    plain = InductiveDataset(config_of(tmp_path, **settings))
    monkeypatch.setattr(loading_cache, "WORTH", 0)
    first = InductiveDataset(config_of(tmp_path, **settings))
    no_reading()
    again = InductiveDataset(config_of(tmp_path, **settings))
    check_same(again, plain)
    check_same(first, plain)
    assert isinstance(first.split.items.base, np.memmap) or isinstance(first.split.items, np.memmap)


def test_other_files_and_other_settings_are_loaded(tmp_path):
    write(tmp_path / "log")

    def folder(**settings):
        return LoadingCache.of(config_of(tmp_path, **settings)).folder

    before = folder()
    assert folder() == before and folder(seed=5, epochs=3, eval_batch_size=7) == before
    changed = [{"split": "leave_one_out"}, {"timestamp_split": [0.5, 0.6]}, {"user_inter_num_interval": "[5,inf)"}]
    changed.append({"repeats_removed": True})
    others = {folder(**settings) for settings in (*changed, {"load_col": None}, {"text_fields": ["kind"]})}
    assert len(others) == 6 and before not in others
    path = tmp_path / "log" / "log.item"
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert folder() != before
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert folder() == before
    with open(path, "a") as file:
        file.write("i99\tnew\t1\tk1\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert folder() != before


@pytest.mark.parametrize(
    "damage", ["truncated", "gone", "another array", "no facts", "half the facts", "a member is missing"]
)
def test_a_damaged_folder_is_made_again(damage, tmp_path, caplog, no_reading, monkeypatch):
    write(tmp_path / "log")
    config = config_of(tmp_path)
    with monkeypatch.context() as nothing_kept:
        nothing_kept.setattr(loading_cache, "WORTH", 10**9)
        plain = InductiveDataset(config)
    InductiveDataset(config)
    folder = LoadingCache.of(config).folder
    array, facts = folder / "1.npy", folder / "facts.txt"
    if damage == "truncated":
        array.write_bytes(array.read_bytes()[:-8])
    elif damage == "gone":
        array.unlink()
    elif damage == "another array":
        np.save(array, np.zeros(3))
    elif damage == "no facts":
        facts.unlink()
    elif damage == "half the facts":
        facts.write_text(facts.read_text()[:200])
    else:
        facts.write_text(facts.read_text().replace('"repeats"', '"others"'))
    with caplog.at_level(logging.WARNING):
        check_same(InductiveDataset(config), plain)
    assert ("is damaged" in caplog.text) == (damage != "no facts")
    no_reading()
    check_same(InductiveDataset(config), plain)


def test_writing_to_a_mapped_array_leaves_the_file(tmp_path):
    write(tmp_path / "log")
    config = config_of(tmp_path)
    InductiveDataset(config)
    loaded = InductiveDataset(config)
    before = loaded.inter_feat["item_id"].clone()
    loaded.inter_feat["item_id"].zero_()
    assert torch.equal(InductiveDataset(config).inter_feat["item_id"], before)


def test_small_data_and_splits_of_ones_own_are_not_kept(tmp_path, monkeypatch):
    write(tmp_path / "log")
    own = tmp_path / "baselines"
    own.mkdir()
    (own / "MySplit.py").write_text(
        "from recbole_specgr.data.splits.leave_one_out import LeaveOneOut\n\n\n"
        "class MySplit(LeaveOneOut):\n    name = 'MySplit'\n"
    )
    monkeypatch.chdir(tmp_path)
    assert LoadingCache.of(config_of(tmp_path)) is not None
    assert LoadingCache.of(config_of(tmp_path, split="MySplit")) is None
    monkeypatch.setattr(loading_cache, "WORTH", 10**9)
    assert LoadingCache.of(config_of(tmp_path)) is None
    InductiveDataset(config_of(tmp_path))
    assert not (tmp_path / "cache").exists()
