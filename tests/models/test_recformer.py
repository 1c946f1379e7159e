"""Recformer's input against plain lists, its stages, and the weights it can start from."""

from __future__ import annotations

import pytest
import torch
from recbole.data.interaction import Interaction
from tokenizers import Tokenizer
from transformers import LongformerConfig, LongformerModel, PreTrainedTokenizerFast

from recbole_specgr.building.build import model_of
from recbole_specgr.building.warm_start import read_pretrained
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.models.recformer import Recformer
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.attribute_tokens import train_tokenizer
from recbole_specgr.text.item_text import attribute_texts

SMALL = {"hidden_size": 16, "inner_size": 16, "n_layers": 2, "vocab_size": 400, "max_tokens": 40, "topk": [5, 10]}
SMALL |= {"valid_metric": "NDCG@10", "max_attributes": 2, "max_attribute_length": 5, "attention_window": 8}


def build(settings: dict, **more) -> tuple[Recformer, Interaction, dict[str, list[str]]]:
    """A model with random weights, ten training rows, and the items' texts."""
    config = Config("Recformer", "tiny", config_dict={**settings, **SMALL, **more})
    train = InductiveDataset(config).build()[0]
    torch.manual_seed(0)
    rows = torch.cat([torch.arange(5), torch.arange(len(train) - 5, len(train))])
    return model_of(config, train).eval(), train[rows], attribute_texts(train, config["text_fields"])


def test_a_history_is_read_from_its_last_item_back(tiny_dataset):
    model, batch, texts = build(tiny_dataset)
    known = batch["item_id"].new_tensor(range(1, model.n_items))
    tokenizer = train_tokenizer([], 400)
    assert tokenizer.token_to_id("<s>") == model.start and tokenizer.token_to_id("<pad>") == model.pad
    words, types, positions = model.sequence(batch["item_id_list"], batch["item_length"])
    assert words.size(1) % 8 == 0 and words.size(1) < 40 + 8
    for row in range(len(words)):
        expected = [(model.start, 0, 0)]
        history = batch["item_id_list"][row, : batch["item_length"][row]].tolist()
        for place, item in enumerate(reversed(history), 1):
            alone = model.words[item][model.words[item] != model.pad].tolist()
            kinds = model.types[item][: len(alone)].tolist()
            assert len(alone) <= 10  # two attributes of five tokens
            expected += [(word, kind, place) for word, kind in zip(alone, kinds)]
        expected = expected[:40]
        expected += [(model.pad, 3, 0)] * (words.size(1) - len(expected))
        assert list(zip(words[row].tolist(), types[row].tolist(), positions[row].tolist())) == expected
    assert len(texts) == 3 and (model.types[known][:, 0] == 1).all()


def test_an_item_is_its_first_attributes_key_before_value(tiny_dataset, tmp_path):
    (tmp_path / "run").mkdir()
    model, _, texts = build(tiny_dataset, run_dir=str(tmp_path / "run"))
    tokenizer = Tokenizer.from_file(str(tmp_path / "run" / "attribute_tokenizer.json"))
    for item in (1, 7, 40):
        expected, kinds = [], []
        for key in ("title", "genre"):
            parts = [tokenizer.encode(text).ids for text in (key, texts[key][item])]
            expected += (parts[0] + parts[1])[:5]
            kinds += ([1] * len(parts[0]) + [2] * len(parts[1]))[:5]
        real = model.words[item] != model.pad
        assert model.words[item][real].tolist() == expected and model.types[item][real].tolist() == kinds
        assert tokenizer.decode(tokenizer.encode(texts["title"][item]).ids).strip() == texts["title"][item].lower()
    again, _, _ = build(tiny_dataset, run_dir=str(tmp_path / "run"))
    assert torch.equal(again.words, model.words)


def test_padding_and_other_rows_do_not_matter(tiny_dataset):
    model, batch, _ = build(tiny_dataset)
    together = model.full_sort_predict(batch)
    for row in range(len(batch)):
        alone = model.full_sort_predict(Interaction({key: batch[key][row : row + 1] for key in batch}))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


def test_items_are_encoded_anew_in_the_first_stage_only(tiny_dataset):
    model, batch, _ = build(tiny_dataset)
    model.start_stage("first")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def epoch() -> torch.Tensor:
        model.train()
        model.calculate_loss(batch).backward()
        optimizer.step()
        model.eval()
        return model.item_vectors().clone()

    first, second = epoch(), epoch()
    assert not torch.allclose(first, second)
    model.start_stage("second")
    assert torch.equal(epoch(), second) and torch.equal(epoch(), second)
    encoder = model.item_table.clone()
    model.is_encoded.fill_(False)
    assert not torch.allclose(model.item_vectors(), encoder)
    items = torch.tensor([3, 9])
    torch.testing.assert_close(model.read(items[:, None], torch.ones(2, dtype=torch.long)), model.item_vectors()[items])


def published(model: Recformer, prefix: str) -> dict[str, torch.Tensor]:
    """Other weights for `model`, named as Recformer's authors name them."""
    state = {f"{prefix}{name}": torch.randn_like(value) for name, value in model.longformer.state_dict().items()}
    state[f"{prefix}embeddings.item_position_embeddings.weight"] = torch.randn_like(model.item_position.weight)
    state[f"{prefix}embeddings.position_ids"] = torch.arange(9)[None]  # of an older transformers
    return state


@pytest.mark.parametrize("prefix", ["", "longformer.", "_forward_module.model.longformer."])
def test_published_weights_are_taken_over(prefix, tiny_dataset, tmp_path):
    model, _, _ = build(tiny_dataset)
    with pytest.raises(UserError, match=r"recformer\.bin.*no such file"):
        read_pretrained(tmp_path / "recformer.bin")
    state = published(model, prefix)
    torch.save(state, tmp_path / "recformer.bin")
    model.start_from(read_pretrained(tmp_path / "recformer.bin"))
    torch.testing.assert_close(model.item_position.weight, state[f"{prefix}embeddings.item_position_embeddings.weight"])
    for name, value in model.longformer.state_dict().items():
        assert torch.equal(value, state[prefix + name])
    other, _, _ = build(tiny_dataset, hidden_size=8)
    with pytest.raises(UserError, match=r"recformer\.bin.*does not fit"):
        other.start_from(read_pretrained(tmp_path / "recformer.bin"))


def test_a_pretrained_longformer_is_read_from_its_folder(tiny_dataset, tmp_path):
    tokenizer = train_tokenizer(["The winter river", "A drama about a king"], 300)
    sizes = LongformerConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=64,
        pad_token_id=tokenizer.token_to_id("<pad>"),
    )
    theirs = LongformerModel(sizes)
    theirs.save_pretrained(tmp_path / "plm")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>")
    fast.save_pretrained(tmp_path / "plm")
    (tmp_path / "run").mkdir()
    settings = {"longformer": str(tmp_path / "plm"), "run_dir": str(tmp_path / "run")}
    model, batch, _ = build(tiny_dataset, **settings)
    assert model.longformer.config.type_vocab_size == 4 and model.longformer.config.attention_window == [8]
    ours = model.longformer.state_dict()
    for name, value in theirs.state_dict().items():
        if "pooler" not in name and "token_type" not in name:
            assert torch.equal(ours[name], value), name
    assert model.full_sort_predict(batch).isfinite().all()
    # A run is loaded without the folder.
    again, _, _ = build(tiny_dataset, **{**settings, "longformer": str(tmp_path / "gone")})
    assert torch.equal(again.words, model.words) and again.state_dict().keys() == model.state_dict().keys()


def test_a_longformer_that_is_nowhere_is_explained(tiny_dataset, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def nothing_there(seconds: float = 10) -> str:
        raise OSError("offline")

    monkeypatch.setattr("recbole_specgr.system.hub.reach_hub", nothing_there)
    with pytest.raises(UserError, match=r"longformer: no/such-model.*offline"):
        build(tiny_dataset, longformer="no/such-model")
