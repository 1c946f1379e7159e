"""Encoding by a sentence-transformers model: like texts together, and a killed run that goes on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_specgr.system.errors import UserError
from recbole_specgr.text import sentence_encoder
from recbole_specgr.text.sentence_encoder import SentenceEncoder

WIDTH = 4


class Letters:
    """Stands in for a model: a text's vector is how often it has each of four letters. Notes every batch."""

    max_seq_length = 512

    def __init__(self):
        self.batches, self.dies_after = [], None

    def encode(self, texts, batch_size, show_progress_bar, convert_to_tensor):
        assert len(texts) <= batch_size
        if self.dies_after == len(self.batches):
            raise KeyboardInterrupt
        self.batches.append(texts)
        return torch.tensor([[float(text.count(letter)) for letter in "abcd"] for text in texts])


@pytest.fixture
def make(monkeypatch):
    """An encoder whose model is a `Letters`."""
    monkeypatch.setattr(sentence_encoder, "_PIECE", 10)
    monkeypatch.setattr(sentence_encoder, "_BATCH_TOKENS", 256)

    def make() -> SimpleNamespace:
        encoder = SentenceEncoder("letters")
        encoder.__dict__["_model"] = Letters()
        return SimpleNamespace(encoder=encoder, model=encoder._model)

    return make


@pytest.fixture
def texts() -> list[str]:
    rng = np.random.default_rng(1)
    return ["", *("".join(rng.choice(list("abcd"), size=n)) for n in rng.integers(0, 90, 36)), "", "a"]


def expected(texts) -> np.ndarray:
    return np.array([[text.count(letter) for letter in "abcd"] for text in texts], dtype=np.float32)


def encode(made, texts, folder) -> np.ndarray:
    return made.encoder.encode(texts, folder, show_progress=False)


def test_vectors_come_back_in_the_order_of_the_texts(make, texts, tmp_path):
    found = encode(make(), texts, tmp_path / "pieces")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected(texts))


def test_like_lengths_go_together_in_batches_of_like_size(make, texts, tmp_path):
    made = make()
    encode(made, texts, tmp_path / "pieces")
    batches = made.model.batches
    assert [len(text) for batch in batches for text in batch] == sorted((len(t) for t in texts if t), reverse=True)
    assert len(batches[0]) == 8 < max(map(len, batches)) <= 10


def test_a_killed_run_goes_on_where_it_stopped(make, texts, tmp_path):
    first = make()
    first.model.dies_after = 3
    with pytest.raises(KeyboardInterrupt):
        encode(first, texts, tmp_path / "pieces")
    kept = len(list((tmp_path / "pieces").glob("*.npy")))
    assert 0 < kept < 4
    second = make()
    np.testing.assert_array_equal(encode(second, texts, tmp_path / "pieces"), expected(texts))
    done = [text for batch in second.model.batches for text in batch]
    assert len(done) == sum(map(bool, texts)) - 10 * kept
    third = make()
    third.model.dies_after = 0
    np.testing.assert_array_equal(encode(third, texts, tmp_path / "pieces"), expected(texts))


@pytest.mark.parametrize("broken", [b"", b"\x93NUMPY no more"], ids=["empty", "cut"])
def test_a_broken_piece_is_computed_again(make, texts, tmp_path, broken):
    encode(make(), texts, tmp_path / "pieces")
    (tmp_path / "pieces" / "000001.npy").write_bytes(broken)
    np.save(tmp_path / "pieces" / "000000.npy", np.zeros((3, WIDTH)))
    made = make()
    np.testing.assert_array_equal(encode(made, texts, tmp_path / "pieces"), expected(texts))
    assert sum(map(len, made.model.batches)) == 20


def test_overflow_is_refused_and_not_kept(make, tmp_path):
    made = make()
    made.model.encode = lambda texts, **options: torch.full((len(texts), WIDTH), torch.inf)
    with pytest.raises(UserError, match="NaN or infinite vectors in fp32"):
        encode(made, ["some text"], tmp_path / "pieces")
    assert not (tmp_path / "pieces").exists()


def test_precisions(tmp_path):
    with pytest.raises(UserError, match=r"text_precision \[int8\] must be one of fp32, bf16, fp16"):
        SentenceEncoder("any", precision="int8")
    assert SentenceEncoder("any", "cpu", "bf16").precision == "fp32"
    assert SentenceEncoder("any", "cuda:0", "bf16").precision == "bf16"
    with pytest.raises(UserError, match="nothing to encode"):
        SentenceEncoder("any").encode(["", ""], tmp_path)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_near_full_precision_on_a_gpu(tiny_model, tmp_path, precision, gpu):
    texts = ["alien horror", "heat crime drama", "alien"]
    full, mixed = (
        SentenceEncoder(str(tiny_model), "cuda", kind).encode(texts, tmp_path / kind, show_progress=False)
        for kind in ("fp32", precision)
    )
    np.testing.assert_allclose(mixed, full, atol=0.05)
    assert not np.array_equal(mixed, full)
