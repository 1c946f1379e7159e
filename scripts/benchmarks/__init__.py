"""The sections of `scripts/benchmark.py`: each takes a Bench and returns a heading, a header and rows."""
