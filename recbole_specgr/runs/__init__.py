"""What a run leaves behind: its folder, checkpoints, its record and the checks of it."""
