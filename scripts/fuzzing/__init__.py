"""Random wrong inputs, one file a kind; scripts/fuzz.py runs them for long, the tests for a moment."""
