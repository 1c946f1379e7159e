"""Tokenizers: text vectors -> codes, one file a method."""
