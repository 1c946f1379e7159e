"""Beam search and draft-verify: two clients of the backbone's one primitive, `T5.extend`."""
