"""From settings and items to a model: its parts, what it takes over from finished runs, and the model itself."""
