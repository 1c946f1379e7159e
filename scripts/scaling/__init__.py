"""What `scripts/scale.py` computes and measures."""
