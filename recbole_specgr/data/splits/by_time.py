"""The split by time: train before the first cut, valid before the second, test from then on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from recbole_specgr.data.splits.contract import PHASES, Interactions, Split
from recbole_specgr.data.times import readable_time, time_unit
from recbole_specgr.system.errors import UserError

ALWAYS = np.iinfo(np.int64).min


class ByTime(Split):
    """Cut at two times, `timestamp_split`. Valid ranks the items first seen before test, test all interacted items.

    An item that `launch_holdout` holds back exists from its launch on: what was done with it before is dropped, from
    histories too. It stays a candidate even when nothing is left of it.

    Attributes:
        cuts: t_valid and t_test, in the unit of the data.
        held_back: bool [n_items], the item is held back until its launch.
    """

    name = "by_time"

    def __init__(self, interactions: Interactions, settings: Mapping[str, Any]) -> None:
        self._setting, self._holdout = settings["timestamp_split"], settings["launch_holdout"]
        self.cuts = exact_cuts(interactions.times, self._setting)
        launch = np.full(len(interactions.item_tokens), ALWAYS)
        if self._holdout:
            used = np.unique(interactions.items)
            tokens = interactions.item_tokens[used].tolist()
            launches = launch_times(tokens, self._holdout, self.cuts)
            launch[used] = [launches.get(token, ALWAYS) for token in tokens]
        self.held_back = launch > ALWAYS
        super().__init__(interactions, settings, exists_from=launch)

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> Split:
        return super().restored({**content, "cuts": tuple(content["cuts"])})

    def divide(self) -> np.ndarray:
        return phases_at(self.times, self.cuts)

    def rankable(self, phase: str) -> np.ndarray:
        if phase == "train":
            return self.seen
        if phase == "valid":
            return self.interacted & (self.first_seen < self.cuts[1])
        return self.interacted

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "split_times": list(self.cuts),
            "launch_holdout": dict(self._holdout) if self._holdout else None,
            "candidates": "valid: items first seen before t_test; test: all interacted items; never the padding item",
            "targets": "interactions with an earlier one by the same user",
        }

    @property
    def facts(self) -> dict[str, Any]:
        return {"split_times": self.cuts, "expected_unseen_share": self._expected_unseen_share}

    @cached_property
    def _expected_unseen_share(self) -> float | None:
        """The share of unseen targets that the test phase may be expected to have, known before it: with both cuts as
        many interactions earlier as the valid phase has, so that what is valid now would be test. None where training
        has no more than valid, and where items are held back, whose launches are not those of the past."""
        train, valid = self.times[self.phases == 0], self.phases == 1
        targets, length = self.targets & valid, int(valid.sum())
        if self._holdout or not targets.any() or length >= len(train):
            return None
        earlier = np.partition(train, len(train) - length)[len(train) - length]
        return float((self.first_seen[self.items[targets]] >= earlier).mean())

    @property
    def train_end(self) -> int:
        return self.cuts[0]

    def why_empty(self, phase: str) -> str:
        first, second = (readable_time(cut) for cut in self.cuts)
        bounds = {"train": f"before {first}", "valid": f"from {first} to before {second}", "test": f"from {second} on"}
        inside = int((self.phases == PHASES.index(phase)).sum())
        return (
            f"{bounds[phase]} there are {inside:,} interactions and none with an earlier one by the same user. "
            f"timestamp_split is {self._setting}; the times run from {readable_time(int(self.times.min()))} to "
            f"{readable_time(int(self.times.max()))}. Choose two cuts inside that range, or quantiles such as "
            "[0.8, 0.9]."
        )

    @classmethod
    def eval_args(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"split": {"timestamp": settings["timestamp_split"]}, "order": "TO", "group_by": "none"}


def phases_at(times: np.ndarray, cuts: tuple[int, int]) -> np.ndarray:
    """int64 [N]: the phase of each of the times [N], as a place in PHASES. A time equal to a cut is in the later."""
    return np.searchsorted(np.asarray(cuts), times, side="right")


def exact_cuts(times: np.ndarray, setting: Sequence[float]) -> tuple[int, int]:
    """`timestamp_split: [t_valid, t_test]` -> two exact integer times in the data's own unit.

    Below 1 the two numbers are quantiles of `times` [N]: the result is the smallest time that is not before the
    linearly interpolated quantile, so that phases are those of `numpy.quantile` without its rounding. Otherwise they
    are absolute. A time equal to a cut belongs to the later phase.

    Raises UserError for anything else than two ascending quantiles or two ascending whole times in the unit of the
    data.
    """
    where = f"timestamp_split [{setting}]"
    if isinstance(setting, str) or not isinstance(setting, Sequence | np.ndarray) or len(setting) != 2:
        raise UserError(f"{where} must be two numbers, [t_valid, t_test], for example [0.8, 0.9].")
    if not all(isinstance(cut, Real) and not isinstance(cut, bool) and math.isfinite(cut) for cut in setting):
        raise UserError(f"{where} must hold numbers: quantiles below 1, or times in the unit of the data.")
    if not setting[0] < setting[1]:
        raise UserError(f"{where} must ascend: validation starts at the first, test at the second.")
    if len(times) == 0:
        raise UserError(f"{where} cannot be applied: there are no interactions.")
    if setting[0] > 0 and setting[1] < 1:
        ordered = np.sort(times)
        # Fraction(str()) because 0.7 * 10 is not always 7 in floating point.
        first, second = (int(ordered[math.ceil(Fraction(str(cut)) * (len(ordered) - 1))]) for cut in setting)
        return first, second
    if any(cut != int(cut) for cut in setting):
        raise UserError(
            f"{where} must be two quantiles above 0 and below 1, or two whole numbers in the unit of the data's times."
        )
    cuts = (int(setting[0]), int(setting[1]))
    data, given = time_unit(times), time_unit(cuts)
    if data != given and not (times.min() < cuts[0] and cuts[1] <= times.max()):
        raise UserError(
            f"{where} looks like times in {given}, but the data's times are in {data}: they run from "
            f"{readable_time(int(times.min()), data)} to {readable_time(int(times.max()), data)}. "
            f"Give the two cuts in {data}."
        )
    return cuts


def launch_times(tokens: Sequence[str], setting: Mapping[str, Any], cuts: tuple[int, int]) -> dict[str, int]:
    """`launch_holdout: {share, seed}` -> the held-back items' tokens with the time before which they did not exist.

    The draw is over the sorted `tokens` (those of all interacted items), so it depends on nothing else than them and
    the seed. One half launches at t_valid, the other, smaller by at most one, at t_test.

    Raises UserError for a share outside (0, 1) or so small that no item is drawn, a missing or negative seed, or
    another key.
    """
    unknown = set(setting) - {"share", "seed"} if isinstance(setting, Mapping) else {"not a mapping"}
    if unknown or set(setting) != {"share", "seed"}:
        raise UserError(
            f"launch_holdout [{setting}] must be a mapping of exactly two keys: {{share: 0.2, seed: 2026}}."
        )
    share, seed = setting["share"], setting["seed"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise UserError(f"launch_holdout.share [{share}] must be a number above 0 and below 1.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"launch_holdout.seed [{seed}] must be a whole number, 0 or above.")
    tokens = sorted(tokens)
    drawn = np.random.default_rng(seed).permutation(len(tokens))[: round(share * len(tokens))]
    if not len(drawn):
        raise UserError(
            f"launch_holdout.share [{share}] of {len(tokens):,} items is none at all. Give a larger share, or no "
            f"launch_holdout."
        )
    half = (len(drawn) + 1) // 2
    return {tokens[item]: cuts[order >= half] for order, item in enumerate(drawn)}
