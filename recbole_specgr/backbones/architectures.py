"""The backbones by name: what the setting `architecture` chooses from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from recbole_specgr.backbones.contract import Backbone
from recbole_specgr.backbones.decoder_only import DecoderOnly
from recbole_specgr.backbones.llama_layer import DecoderOnlyConfig
from recbole_specgr.backbones.t5 import T5, T5Config
from recbole_specgr.system.errors import UserError


def encoder_decoder(sizes: Mapping[str, Any], vocab_size: int) -> T5:
    """A T5 with `num_layers` layers in the encoder and as many in the decoder."""
    return T5(
        T5Config(
            vocab_size=vocab_size,
            d_model=sizes["d_model"],
            d_kv=sizes["d_kv"],
            d_ff=sizes["d_ff"],
            num_layers=sizes["num_layers"],
            num_decoder_layers=sizes["num_layers"],
            num_heads=sizes["num_heads"],
            dropout_rate=sizes["dropout_rate"],
        )
    )


def decoder_only(sizes: Mapping[str, Any], vocab_size: int) -> DecoderOnly:
    """A decoder of the T5's size: as many layers as its two stacks together, with feed-forward layers of as many
    parameters, whose three matrices are two thirds as wide as two would be.

    Raises:
        UserError: an odd `d_kv`.
    """
    if sizes["d_kv"] % 2:
        raise UserError(
            f"[d_kv: {sizes['d_kv']}] must be even for [architecture: decoder_only], for rotary positions turn the "
            f"numbers of a head in pairs."
        )
    return DecoderOnly(
        DecoderOnlyConfig(
            vocab_size=vocab_size,
            d_model=sizes["d_model"],
            d_kv=sizes["d_kv"],
            d_ff=-(-2 * sizes["d_ff"] // 3 // 8) * 8,
            num_layers=2 * sizes["num_layers"],
            num_heads=sizes["num_heads"],
            dropout_rate=sizes["dropout_rate"],
        )
    )


#: How each is built from a model's sizes, by the settings' names, and the size of the vocabulary.
ARCHITECTURES: dict[str, Callable[[Mapping[str, Any], int], Backbone]] = {
    "encoder_decoder": encoder_decoder,
    "decoder_only": decoder_only,
}
#: A parameter that only this one has, by the end of its name.
_TOLD_BY = {"encoder_decoder": "backbone.encoder_norm.weight", "decoder_only": "backbone.norm.weight"}


def architecture_of(names: Iterable[str]) -> str | None:
    """The architecture of the backbone whose parameters are among the names of a model's; None where there is none."""
    names = list(names)
    for architecture, end in _TOLD_BY.items():
        if any(name.endswith(end) for name in names):
            return architecture
    return None
