"""Settings: RecBole's Config in layers, their checks, and the registry that turns names into classes."""
