"""What runs did before there was a setting for it, where that may not be what the setting's default says."""

BEFORE_THE_SETTING = {"train_on": "rows", "schedule": "cosine", "preset": "paper", "architecture": "encoder_decoder"}
