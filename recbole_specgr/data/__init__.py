"""Data: from interaction files to time-split, lazily assembled sequences, item text and its features."""
