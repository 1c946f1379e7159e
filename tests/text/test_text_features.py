"""Item text and text features, against sentences written by hand, NumPy and transformers themselves."""

import logging
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.file_digests import file_digest
from recbole_specgr.system.errors import UserError
from recbole_specgr.text import features as text_features
from recbole_specgr.text.cleaning import clean_ascii, clean_unicode
from recbole_specgr.text.features import encode_lsa, load_text_features
from recbole_specgr.text.item_text import item_texts
from recbole_specgr.text.sentence_encoder import SentenceEncoder


@pytest.fixture
def written(tmp_path, monkeypatch) -> SimpleNamespace:
    """A data set with one field of each kind; `make(**settings)` gives (config, train view)."""
    folder = tmp_path / "dataset" / "written"
    folder.mkdir(parents=True)
    inter = [f"u{u}\ti{(u + t) % 5 + 1}\t{100 + 10 * t + u}" for u in range(6) for t in range(5)]
    (folder / "written.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *inter]) + "\n")
    items = [
        "i1\tTom &amp; <b>Jerry</b>  \u00e9t\u00e9\t19.5\tCartoon|Family film",
        "i2\t  Alien\t7\tHorror",
        "i3\t\t3.25\t",
        "i4\tHeat\t2\tCrime|<i>Drama</i>|Noir",
        "i5\tAlien\t1\tHorror|Sequel",
    ]
    (folder / "written.item").write_text(
        "\n".join(["item_id:token\ttitle:token\tprice:float\tgenres:token_seq", *items]) + "\n", encoding="utf-8"
    )
    (folder / "written.yaml").write_text(
        "load_col:\n  inter: [user_id, item_id, timestamp]\n  item: [item_id, title, price, genres]\n"
        "seq_separator: '|'\ntext_fields: [title, genres]\ntext_cleaning: ascii\nlaunch_holdout: ~\n"
    )
    monkeypatch.chdir(tmp_path)

    def make(**settings):
        defaults = {
            "data_path": str(tmp_path / "dataset"),
            "cache_path": str(tmp_path / "cache"),
            "show_progress": False,
            "use_gpu": False,
            "text_dim": 4,
        }
        config = Config("SASRec", "written", config_dict=defaults | settings)
        return config, InductiveDataset(config).build()[0]

    return SimpleNamespace(make=make, folder=folder, cache=tmp_path / "cache")


def by_token(dataset, rows) -> dict:
    return dict(zip(dataset.field2id_token[dataset.iid_field].tolist(), rows, strict=True))


@pytest.mark.parametrize(
    "raw, clean",
    [
        ("  Tom &amp; <b>Jerry</b>\n\n and\tco ", "Tom & Jerry and co"),
        ("&lt;br&gt;plain", "plain"),  # entities are resolved before tags are dropped
        ("caf\u00e9", "caf "),
        ("1 < 2", "1 < 2"),
        ("", ""),
    ],
)
def test_clean_ascii(raw, clean):
    assert clean_ascii(raw) == clean


@pytest.mark.parametrize(
    "raw, clean",
    [
        ("  Tom &amp; <b>Jerry</b>\n\n and\tco ", "Tom & Jerry and co"),
        ("&lt;br&gt;plain<!-- a > b -->", "plain"),
        ("caf\u00e9", "caf\u00e9"),
        ("cafe\u0301", "caf\u00e9"),  # the accent on its own
        ("\u5546\u54c1\u3000\u4e00", "\u5546\u54c1 \u4e00"),
        ("\u041a\u043d\u0438\u0433\u0430 1984", "\u041a\u043d\u0438\u0433\u0430 1984"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \U0001f600", "\u0939\u093f\u0928\u094d\u0926\u0940 \U0001f600"),
        ("a\0b\x85c\ud800d\ufeff", "a b c d"),
        ("<ul><li>USB cable</li><li>Power</li></ul>", "USB cable Power"),
        ("Fast.<br>Light.<br/>H<sub>2</sub>O<P class='x'>Quiet", "Fast. Light. H2O Quiet"),
        ("<pre>a</pre><present>b", "a b"),
        ("1 < 2 > 0, I <3 you", "1 < 2 > 0, I <3 you"),
        ("", ""),
    ],
    ids=ascii,
)
def test_clean_unicode(raw, clean):
    assert clean_unicode(raw) == clean


def test_texts_that_are_ascii_and_plain_are_the_same_either_way():
    for text in ("A plain text, no. 7", "  with   blanks\nand breaks ", "a &amp; <i>b</i>"):
        assert clean_unicode(text) == clean_ascii(text).strip()


def test_sentences_by_hand(written, caplog):
    _, dataset = written.make()
    with caplog.at_level(logging.WARNING):
        texts = by_token(dataset, item_texts(dataset, ["title", "price", "genres"]))
    assert texts == {
        "[PAD]": "",
        "i1": "Tom & Jerry t 19.5. Cartoon, Family film.",
        "i2": "Alien 7. Horror.",
        "i3": "3.25.",
        "i4": "Heat 2. Crime, Drama, Noir.",
        "i5": "Alien 1. Horror, Sequel.",
    }
    assert not caplog.records


def test_an_item_without_a_number_is_not_described_by_the_mean(written):
    """Which RecBole gives it as a feature. An item that is added later has no number either."""
    path = written.folder / "written.item"
    path.write_text(path.read_text(encoding="utf-8").replace("Heat\t2", "Heat\t"), encoding="utf-8")
    _, dataset = written.make()
    texts = by_token(dataset, item_texts(dataset, ["title", "price"]))
    assert texts["i4"] == "Heat" and texts["i5"] == "Alien 1."
    assert by_token(dataset, dataset.item_feat["price"].tolist())["i4"] == pytest.approx((19.5 + 7 + 3.25 + 1) / 4)


def test_text_cleaning_is_a_setting_and_keeps_every_language_by_default(written):
    path = written.folder / "written.item"
    path.write_text(path.read_text(encoding="utf-8").replace("Heat", "\u70ed\u529b"), encoding="utf-8")
    settings = (written.folder / "written.yaml").read_text()
    (written.folder / "written.yaml").write_text(settings.replace("text_cleaning: ascii\n", ""))
    for chosen, title in (({}, "\u70ed\u529b "), ({"text_cleaning": "ascii"}, "")):
        _, dataset = written.make(**chosen)
        assert by_token(dataset, item_texts(dataset, ["title", "genres"]))["i4"] == f"{title}Crime, Drama, Noir."
    with pytest.raises(UserError, match=r"\[text_cleaning\] must be unicode or ascii, but is \[latin\]"):
        written.make(text_cleaning="latin")


def test_order_of_fields_and_items_without_text(written, caplog):
    _, dataset = written.make()
    with caplog.at_level(logging.WARNING):
        texts = by_token(dataset, item_texts(dataset, ["genres", "title"]))
    assert texts["i5"] == "Horror, Sequel. Alien"
    assert texts["i3"] == ""
    assert "1 of 5 items have no text" in caplog.text and "i3" in caplog.text


def test_blank_separated_words_are_one_text(tiny_dataset):
    config = Config("SASRec", "tiny", config_dict=tiny_dataset)
    dataset = InductiveDataset(config).build()[0]
    texts = by_token(dataset, item_texts(dataset, ["title", "genre"]))
    lines = Path(tiny_dataset["data_path"], "tiny", "tiny.item").read_text().splitlines()[1:]
    assert len(lines) == len(texts) - 1
    for line in lines:
        item, title, genre, _ = line.split("\t")
        assert texts[item] == f"{title} {genre}"


@pytest.mark.parametrize("fields", [["titel"], [], None])
def test_wrong_text_fields(written, fields):
    _, dataset = written.make()
    with pytest.raises(UserError, match="text_fields"):
        item_texts(dataset, fields)


# ---- lsa ----


def corpus(n: int = 60) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(3)
    texts = [""] + [" ".join(rng.choice([f"w{i}" for i in range(40)], size=6)) for _ in range(n)]
    seen = rng.random(n + 1) < 0.7
    seen[0] = False
    return texts, seen


def test_lsa_is_the_svd_of_the_seen_tfidf():
    # topics of 16, 8, 4 and 2 texts, overlapping a little: singular values far apart, which a randomised SVD gets right
    topics = ["w0 w1 w2 w3", "w3 w4 w5 w4", "w5 w6 w7", "w7 w8 w0"]
    known = [topic for topic, times in zip(topics, (16, 8, 4, 2)) for _ in range(times)]
    texts = ["", *known, "w0 w4", "w6 w5 nowhere", "w1 w2 w8 w8 w8"]
    seen = np.array([False, *[True] * len(known), False, False, False])
    width = 3
    features = encode_lsa(texts, seen, width, seed=0)

    def terms(text):
        words = text.split()
        return words + [" ".join(pair) for pair in pairwise(words)]

    fitted_on = [terms(text) for text, is_seen in zip(texts, seen, strict=True) if is_seen]
    vocabulary = sorted({term for document in fitted_on for term in document})
    frequency = np.array([sum(term in document for document in fitted_on) for term in vocabulary])
    idf = np.log((1 + len(fitted_on)) / (1 + frequency)) + 1

    def tfidf(document):
        counts = np.array([document.count(term) for term in vocabulary], dtype=float)
        weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
        return weights / max(np.linalg.norm(weights), 1e-12)

    _, _, axes = np.linalg.svd(np.stack([tfidf(document) for document in fitted_on]), full_matrices=False)
    expected = np.stack([tfidf(terms(text)) for text in texts]) @ axes[:width].T
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    assert features.dtype == np.float32
    assert not features[0].any()
    np.testing.assert_allclose(features @ features.T, expected @ expected.T, atol=1e-4)  # free of the axes' signs


def test_lsa_does_not_look_at_unseen_texts():
    texts, seen = corpus()
    before = encode_lsa(texts, seen, 8, seed=0)
    changed = [text if is_seen else f"new{i} words w1 w2" for i, (text, is_seen) in enumerate(zip(texts, seen))]
    changed[0] = ""
    after = encode_lsa(changed, seen, 8, seed=0)
    np.testing.assert_array_equal(before[seen], after[seen])
    assert not np.array_equal(before[~seen], after[~seen])


def test_lsa_of_unknown_words_is_zero_and_width_is_lowered(caplog):
    texts, seen = corpus(12)
    texts[int(np.flatnonzero(~seen)[1])] = "utterly different"
    with caplog.at_level(logging.WARNING):
        features = encode_lsa(texts, seen, 500, seed=0)
    assert features.shape[1] == seen.sum() < 500
    assert "500 is lowered" in caplog.text
    assert not features[np.flatnonzero(~seen)[1]].any()
    np.testing.assert_allclose(np.linalg.norm(features[seen], axis=1), 1, rtol=1e-5)


def test_lsa_without_text_is_an_error():
    with pytest.raises(UserError, match="at least two seen items"):
        encode_lsa(["", "one", "two"], np.array([False, True, False]), 2, seed=0)


def test_cache_is_used_and_keyed_by_text_seen_and_settings(written, monkeypatch):
    calls = []
    real = text_features.encode_lsa
    monkeypatch.setattr(text_features, "encode_lsa", lambda *a, **k: calls.append(1) or real(*a, **k))
    config, dataset = written.make()
    first = load_text_features(config, dataset)
    np.testing.assert_array_equal(load_text_features(config, dataset), first)
    assert len(calls) == 1 and first.shape[0] == dataset.item_num and not first[0].any()

    load_text_features(written.make(text_dim=3)[0], dataset)
    load_text_features(written.make(text_fields=["title"])[0], dataset)
    load_text_features(written.make(seed=1)[0], dataset)
    assert len(calls) == 4
    dataset.seen = dataset.seen.clone()
    dataset.seen[dataset.seen.nonzero()[0]] = False
    load_text_features(config, dataset)
    assert len(calls) == 5
    assert {path.suffix for path in written.cache.rglob("*") if path.is_file()} == {".npy", ".npz"}


def test_truncated_cache_file_is_replaced(written, caplog):
    config, dataset = written.make()
    first = load_text_features(config, dataset)
    (path,) = written.cache.rglob("*.npy")
    path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(load_text_features(config, dataset), first)
    assert "unreadable" in caplog.text
    np.testing.assert_array_equal(np.load(path), first)


# ---- ready features ----


def save_features(path: Path, items: list[str], features: np.ndarray) -> None:
    if path.suffix == ".npz":
        np.savez(path, item_id=np.array(items), features=features)
    else:
        np.save(path, features)
        path.with_suffix(".items.txt").write_text("\n".join(items) + "\n")


@pytest.mark.parametrize("name", ["ready.npz", "ready.npy"])
@pytest.mark.parametrize("in_dataset_folder", [False, True])
def test_file_is_keyed_by_item_token(written, tmp_path, name, in_dataset_folder):
    items = ["i4", "other", "i1", "i5", "i3", "i2"]
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float16)
    save_features((written.folder if in_dataset_folder else tmp_path) / name, items, features)
    config, dataset = written.make(text_encoder=name)
    table = by_token(dataset, load_text_features(config, dataset))
    assert table["i1"].dtype == np.float32
    assert not table["[PAD]"].any()
    for row, item in enumerate(items):
        if item != "other":
            np.testing.assert_array_equal(table[item], features[row].astype(np.float32))


@pytest.mark.parametrize(
    "items, message",
    [
        (["a", "b", "c"], "wrong items"),
        (["i1", "i2", "i4"], r"lacks 2 of the 5 items .*(i3, i5|i5, i3)"),
        (["i1", "i1", "i2"], "twice"),
    ],
)
def test_file_for_other_items(written, tmp_path, items, message):
    save_features(tmp_path / "ready.npz", items, np.ones((3, 2), dtype=np.float32))
    with pytest.raises(UserError, match=message):
        load_text_features(*written.make(text_encoder="ready.npz"))


def test_malformed_files(written, tmp_path):
    items = [f"i{i}" for i in range(1, 6)]
    cases = {
        "absent.npz": (lambda path: None, "there is none"),
        "names.npz": (lambda path: np.savez(path, ids=np.array(items), features=np.ones((5, 2))), "item_id"),
        "shape.npz": (lambda path: np.savez(path, item_id=np.array(items), features=np.ones(5)), r"\[M, d\]"),
        "nan.npz": (lambda path: save_features(path, items, np.full((5, 2), np.nan)), "NaN"),
        "whole.npz": (lambda path: save_features(path, items, np.ones((5, 2), dtype=int)), "floating point"),
        "object.npz": (
            lambda path: np.savez(path, item_id=np.array(items, dtype=object), features=np.ones((5, 2))),
            "pickle",
        ),
        "cut.npz": (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), "cannot be used"),
        "lonely.npy": (lambda path: np.save(path, np.ones((5, 2))), "lonely.items.txt"),
    }
    for name, (write, message) in cases.items():
        write(tmp_path / name)
        with pytest.raises(UserError, match=message) as error:
            load_text_features(*written.make(text_encoder=name))
        assert name in str(error.value)


def test_of_two_files_of_one_name_the_data_sets_own_is_read(written, tmp_path, caplog):
    items = [f"i{number}" for number in range(1, 6)]
    for folder, value in ((tmp_path, 1.0), (written.folder, 2.0)):
        save_features(folder / "both.npz", items, np.full((5, 2), value))
    for name, value in (("both.npz", 2), ("./both.npz", 1), (str(tmp_path / "both.npz"), 1)):
        caplog.clear()
        config, dataset = written.make(text_encoder=name)
        assert load_text_features(config, dataset)[1, 0] == value
        assert ("to take that one, give --text_encoder=./both.npz" in caplog.text) is (value == 2)
        file = (written.folder if value == 2 else tmp_path) / "both.npz"
        assert file_digest("text_encoder", name, written.folder) == file_digest("text_encoder", str(file), tmp_path)


# ---- sentence-transformers ----


def test_sentence_transformers_path(written, tiny_model, monkeypatch):
    import transformers

    config, dataset = written.make(text_encoder=str(tiny_model))
    table = by_token(dataset, load_text_features(config, dataset))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    model = transformers.AutoModel.from_pretrained(tiny_model).eval()
    for item, text in {"i2": "Alien Horror.", "i4": "Heat Crime, Drama, Noir.", "i5": "Alien Horror, Sequel."}.items():
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(table[item], expected.numpy(), atol=1e-5)
    assert not table["[PAD]"].any() and not table["i3"].any()  # no text
    assert table["i2"].dtype == np.float32

    def refuse(*args, **kwargs):
        raise AssertionError("the cached vectors should have been used")

    monkeypatch.setattr(SentenceEncoder, "encode", refuse)
    again = by_token(dataset, load_text_features(config, dataset))
    np.testing.assert_array_equal(again["i2"], table["i2"])
    (tiny_model / "note.txt").write_text("a file of the model has changed")
    with pytest.raises(AssertionError, match="cached"):
        load_text_features(config, dataset)


def test_unreachable_model_is_an_error_with_advice(written, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("sentence_transformers")
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"no-such/model.*text_encoder: lsa.*\.npz"):
        load_text_features(*written.make(text_encoder="no-such/model"))
    assert not list(written.cache.rglob("*.np*"))
