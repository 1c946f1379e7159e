"""Grids of trained runs and of settings, measured cell by cell; `leaderboard.study_view` draws what comes out."""
