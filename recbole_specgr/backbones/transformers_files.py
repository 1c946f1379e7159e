"""Backbones as files of `transformers`: the T5 as a `T5ForConditionalGeneration`, the decoder-only one as a
`LlamaForCausalLM`."""

from __future__ import annotations

import json
from pathlib import Path

from recbole_specgr.backbones import llama_weights, transformers_weights
from recbole_specgr.backbones.contract import Backbone
from recbole_specgr.backbones.decoder_only import DecoderOnly
from recbole_specgr.backbones.t5 import T5
from recbole_specgr.system.errors import UserError

FILES = ("config.json", "generation_config.json", "model.safetensors")  # as `save_pretrained` names them
CLASSES = {"t5": "T5ForConditionalGeneration", "llama": "LlamaForCausalLM"}  # by what `config.json` calls the model


def save(backbone: Backbone, folder: Path) -> str:
    """Write it for `from_pretrained`, and return the name of the class that reads it. Raises UserError for a network of
    a user's own, which no class of `transformers` is."""
    if isinstance(backbone, T5):
        transformers_weights.to_transformers(backbone).save_pretrained(folder)
        return CLASSES["t5"]
    if not isinstance(backbone, DecoderOnly):
        raise UserError(
            f"The backbone {type(backbone).__name__} can't be exported: no model of transformers has its network. Only "
            f"a T5 and the decoder-only backbone can."
        )
    llama_weights.to_transformers(backbone).save_pretrained(folder)
    return CLASSES["llama"]


def load(folder: Path) -> T5 | DecoderOnly:
    """What `save` wrote, or a model of the same kinds.

    Raises:
        OSError, ValueError, KeyError: the files are damaged, or of a model that no backbone is.
    """
    import transformers

    kind = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))["model_type"]
    if kind not in CLASSES:
        raise ValueError(f"its model is a [{kind}], but a backbone is one of {', '.join(CLASSES)}")
    theirs = getattr(transformers, CLASSES[kind]).from_pretrained(folder)
    weights = transformers_weights if kind == "t5" else llama_weights
    return weights.from_transformers(theirs)
