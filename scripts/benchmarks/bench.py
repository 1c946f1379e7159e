"""What the sections share: how a time is taken, and a model and users to take it with."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

PAPER = {"d_model": 64, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_heads": 4}  # its Video Games model
TINY = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
K = 50


@dataclass
class Times:
    """Seconds that the repetitions of something took, in ascending order."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def late(self) -> float:
        """95th percentile."""
        return self.seconds[round(0.95 * (len(self.seconds) - 1))]


class Bench:
    """What the sections share: the device, how often to repeat, and a model on ml-100k."""

    def __init__(self, device: str, quick: bool, data: Path | None, tiny: bool = False) -> None:
        self.device, self.quick, self.data = torch.device(device), quick or tiny, data
        self.sizes = TINY if tiny else PAPER
        self.side = 512 if tiny else 4096  # of the matrices that say how fast the machine multiplies
        self.repeats = 3 if self.quick else 7

    def times(self, *runs: Callable[[], object], repeats: int | None = None) -> list[Times]:
        """How long each of the runs takes, after one call that is not counted.

        They are repeated in turn: a machine that others use, too, is slower in one minute than in the next, and ratios
        are to be of the same minutes.
        """
        for run in runs:
            run()
        rounds = [[self.seconds(run) for run in runs] for _ in range(repeats or self.repeats)]
        return [Times(sorted(own)) for own in zip(*rounds, strict=True)]

    def median(self, run: Callable[[], object], repeats: int | None = None) -> float:
        """Median seconds of `run`, after one call that is not counted."""
        return self.times(run, repeats=repeats)[0].median

    def seconds(self, run: Callable[[], object]) -> float:
        self.wait()
        started = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def peak_memory(self) -> int:
        """The most bytes that this process ever had, of the GPU's memory where it is on one."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def model(self, name: str, sizes: Mapping[str, int] | None = None, **settings):
        """The model `name` on ml-100k, by default a T5 of the benchmark's sizes, and the train and test views."""
        from recbole.utils import init_seed

        from recbole_specgr.building.build import model_of
        from recbole_specgr.data.dataset import InductiveDataset
        from recbole_specgr.settings.config import Config

        settings = {
            **(self.sizes if sizes is None else sizes),
            "tokenizer": {"method": "rqkmeans", "codebook_size": 64},
            "MAX_ITEM_LIST_LENGTH": 20,
            "show_progress": False,
            "use_gpu": self.device.type == "cuda",
            "cache_path": str(Path(tempfile.gettempdir()) / "recbole-specgr-benchmark"),
            **settings,
        }
        config = Config(name, "ml-100k", config_dict=settings)
        init_seed(config["seed"], False)
        train, _, test = InductiveDataset(config).build()
        model = model_of(config, train).to(self.device)
        torch.autograd.set_detect_anomaly(False)  # importing RecBole's models switches it on
        return model, train, test

    def users(self, test, n: int):
        """A batch of n test users with full histories."""
        _, length = test.histories(torch.arange(len(test)))
        rows = (length == length.max()).nonzero().squeeze(1)
        return test[rows[torch.arange(n) % len(rows)]].to(self.device)
