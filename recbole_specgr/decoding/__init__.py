"""Beam search and draft-verify: how lists are made of what a generator knows of an item's digits."""
