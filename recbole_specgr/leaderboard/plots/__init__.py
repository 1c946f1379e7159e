"""Plots as small static SVG: the same bytes for the page, for README files and for slides."""
