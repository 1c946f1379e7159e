"""The tokenizer of items' attributes: a pre-trained language model's, or one that is made from the seen items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recbole.config import Config
from torch import Tensor

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.hub import from_hub
from recbole_specgr.text.attribute_tokens import train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "attribute_tokenizer.json"  # in a run's folder


def load_attribute_tokenizer(config: Config, attributes: Mapping[str, list[str]], seen: Tensor) -> Tokenizer:
    """The tokenizer in the run's folder, else that of the language model which the setting `longformer` names, else
    one of `vocab_size` tokens made from the seen items. The run's folder, if there is one, keeps it.

    Args:
        attributes: field -> the text of every item in it.
        seen: items of the training data, BoolTensor [n_items].

    Raises:
        UserError: tokenizers or transformers is not installed, or there is no such language model.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise UserError(f"{config['model']} needs transformers: pip install '.[hub]' in the checkout.") from error
    file = Path(config["run_dir"], TOKENIZER) if config["run_dir"] else None
    if file and file.is_file():
        return Tokenizer.from_file(str(file))
    if config["longformer"]:
        from transformers import AutoTokenizer

        tokenizer = from_hub(AutoTokenizer, config["longformer"], "longformer").backend_tokenizer
    else:
        known = seen.nonzero().squeeze(1).tolist()
        texts = [text for key, values in attributes.items() for text in (key, *(values[item] for item in known))]
        tokenizer = train_tokenizer(texts, config["vocab_size"])
    if file and not config["rank"]:
        with atomic_write(file) as temporary:
            tokenizer.save(str(temporary))
    return tokenizer
