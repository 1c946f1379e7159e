"""The Longformer of transformers, new or pre-trained, as the reader of items' attributes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recbole.config import Config

from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.hub import from_hub
from recbole_specgr.text.attribute_tokens import TOKEN_TYPES, special_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LongformerModel

LONGFORMER = "longformer.json"  # in a run's folder


def load_longformer(config: Config, tokenizer: Tokenizer) -> LongformerModel:
    """The Longformer that the run's folder describes, without parameters of its own; else the pre-trained one that the
    setting `longformer` names; else a new one of the sizes in the settings. The run's folder keeps the description.

    Args:
        tokenizer: gives the size of the vocabulary and the special tokens of a new one.

    Raises:
        UserError: there is no such pre-trained model.
    """
    from transformers import LongformerConfig, LongformerModel

    file = Path(config["run_dir"], LONGFORMER) if config["run_dir"] else None
    if file and file.is_file():
        return LongformerModel(LongformerConfig.from_json_file(file), add_pooling_layer=False)
    if config["longformer"]:
        sizes = from_hub(LongformerConfig, config["longformer"], "longformer")
        sizes.type_vocab_size = TOKEN_TYPES  # its own is one
        sizes.attention_window = [config["attention_window"]] * sizes.num_hidden_layers
        model = from_hub(
            LongformerModel,
            config["longformer"],
            "longformer",
            config=sizes,
            add_pooling_layer=False,
            ignore_mismatched_sizes=True,
        )
    else:
        pad = special_id(tokenizer, "pad")
        sizes = LongformerConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=config["hidden_size"],
            num_hidden_layers=config["n_layers"],
            num_attention_heads=config["n_heads"],
            intermediate_size=config["inner_size"],
            initializer_range=config["hidden_size"] ** -0.5,  # 0.02 is for a width of 768: all texts would be alike
            hidden_dropout_prob=config["hidden_dropout_prob"],
            attention_probs_dropout_prob=config["attn_dropout_prob"],
            attention_window=[config["attention_window"]] * config["n_layers"],
            max_position_embeddings=pad + 1 + config["max_tokens"] + config["attention_window"],
            type_vocab_size=TOKEN_TYPES,
            pad_token_id=pad,
            bos_token_id=special_id(tokenizer, "start"),
        )
        model = LongformerModel(sizes, add_pooling_layer=False)
    if file and not config["rank"]:
        with atomic_write(file) as temporary:
            temporary.write_text(model.config.to_json_string(), encoding="utf-8")
    return model
