"""Items as key-value attributes in tokens of a language model: `title The river  genre drama`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKEN_TYPES = 4
START, KEY, VALUE, PAD = range(TOKEN_TYPES)
SPECIAL = {"pad": ("<pad>", "[PAD]"), "start": ("<s>", "[CLS]")}  # as RoBERTa's family and as BERT's call them


class AttributeTokens(NamedTuple):
    """Items in tokens.

    Attributes:
        words: token ids `[n_items, longest item]`, padded on the right.
        types: KEY or VALUE of each, PAD for padding `[n_items, longest item]`.
    """

    words: Tensor
    types: Tensor


def tokenize(
    attributes: dict[str, list[str]], tokenizer: Tokenizer, max_attributes: int, max_attribute_length: int
) -> AttributeTokens:
    """Write each item as its attributes, one after the other, the key before the value.

    Args:
        attributes: field -> n_items texts; an item does not have an attribute whose text is empty.
        max_attributes: an item keeps its first so many.
        max_attribute_length: tokens of one attribute, key included, that are kept.
    """
    values = {
        key: [encoded.ids for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]
        for key, texts in attributes.items()
    }
    keys = {key: tokenizer.encode(key, add_special_tokens=False).ids for key in attributes}
    words, types = [], []
    for item in range(len(next(iter(values.values())))):
        item_words: list[int] = []
        item_types: list[int] = []
        for key in [key for key in values if values[key][item]][:max_attributes]:
            value = values[key][item]
            item_words += (keys[key] + value)[:max_attribute_length]
            item_types += ([KEY] * len(keys[key]) + [VALUE] * len(value))[:max_attribute_length]
        words.append(item_words)
        types.append(item_types)
    return AttributeTokens(_table(words, special_id(tokenizer, "pad")), _table(types, PAD))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer of lower-case text, made from `texts`; the same from the same texts."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[names[0] for names in SPECIAL.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def special_id(tokenizer: Tokenizer, name: str) -> int:
    """The id of the `pad` or `start` token. Raises ValueError for a tokenizer that has none."""
    for token in SPECIAL[name]:
        number = tokenizer.token_to_id(token)
        if number is not None:
            return number
    raise ValueError(f"the tokenizer has no {name} token: neither {' nor '.join(SPECIAL[name])}")


def _table(rows: list[list[int]], fill: int) -> Tensor:
    table = torch.full((len(rows), max(1, max(map(len, rows)))), fill)
    for number, row in enumerate(rows):
        table[number, : len(row)] = torch.tensor(row, dtype=torch.long)
    return table
