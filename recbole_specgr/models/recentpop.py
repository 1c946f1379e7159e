from __future__ import annotations

import numpy as np
from recbole.config import Config

from recbole_specgr.data.times import TIME_UNITS, time_unit
from recbole_specgr.models.mostpop import MostPop
from recbole_specgr.system.errors import UserError

DAY = 86_400  # seconds


class RecentPop(MostPop):
    """The items with the most interactions in the last days of training; equals by their popularity in all of it.

    Ji et al., "A Re-visit of the Popularity Baseline in Recommender Systems", SIGIR 2020, with one window at the end of
    training.
    """

    def count(self, items: np.ndarray, times: np.ndarray, end: int, config: Config) -> np.ndarray:
        if not config["window_days"] > 0:
            raise UserError(f"[window_days] must be above 0, but is [{config['window_days']}].")
        window = config["window_days"] * DAY * TIME_UNITS[time_unit(times)]
        recent = np.bincount(items[times >= end - window], minlength=self.n_items)
        return apart_in_float32(recent + super().count(items, times, end, config) / (len(items) + 1))


def apart_in_float32(values: np.ndarray) -> np.ndarray:
    """float32 [n] as near to the float64 values [n], none below 0, as they can be in the same order: what differs, if
    only by a fraction that float32 would round away, differs still."""
    distinct, place = np.unique(values, return_inverse=True)
    # Read as whole numbers, the bits of floats that are not negative are in the floats' order, neighbours 1 apart.
    bits, number = distinct.astype(np.float32).view(np.int32).astype(np.int64), np.arange(len(distinct))
    bits = np.maximum.accumulate(bits - number) + number
    return bits.astype(np.int32).view(np.float32)[place]
