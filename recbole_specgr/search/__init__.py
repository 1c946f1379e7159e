"""Hyper-parameter search on the valid phase: RecBole's parameter files, optuna's sampler, our quick start."""
