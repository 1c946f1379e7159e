"""The T5 encoder-decoder and the one decoding primitive that beam search and draft-verify share."""

from recbole_specgr.backbones.t5 import T5, T5Config

__all__ = ["T5", "T5Config"]
