"""The state of every generator of random numbers that training may draw from, as plain data."""

import random
from typing import Any

import numpy as np
import torch
from recbole.utils import init_seed


def generator_states(device: torch.device) -> dict[str, Any]:
    """Of Python, numpy and torch, on the CPU and on this process's GPU."""
    ours = np.random.get_state(legacy=False)
    keys = torch.from_numpy(ours["state"]["key"].astype(np.int64))
    states = {
        "python": random.getstate(),
        "numpy": (ours["bit_generator"], keys, ours["state"]["pos"], ours["has_gauss"], ours["gauss"]),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, Any], device: torch.device) -> None:
    """Let the generators go on from what `generator_states` returned."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def seed_generators(key: list[int], reproducibility: bool) -> int:
    """Seed every generator by `key`, and return the seed. Keys that differ give independent random numbers."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    init_seed(seed, reproducibility)
    return seed
