"""Settings: RecBole's Config in layers, their checks, and names turned into classes."""
