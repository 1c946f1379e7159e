"""The networks that read histories and score tokens: an encoder-decoder, a decoder-only one, and what they share."""

from recbole_specgr.backbones.decoder_only import DecoderOnly
from recbole_specgr.backbones.llama_layer import DecoderOnlyConfig
from recbole_specgr.backbones.t5 import T5, T5Config

__all__ = ["T5", "DecoderOnly", "DecoderOnlyConfig", "T5Config"]
