"""Semantic ids: text features -> codes -> the token table that generative models read and write."""

from recbole_specgr.semantic_ids.build import build_tokenizer, load_tokenizer
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.semantic_ids.fit import load_semantic_ids
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer

__all__ = ["SemanticIds", "Tokenizer", "build_tokenizer", "load_semantic_ids", "load_tokenizer"]
