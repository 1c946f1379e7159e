"""Which interactions an imported data set keeps: a period of time, and the k-core of users and items."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from recbole_specgr.data.times import TIME_UNITS, readable_time, time_unit
from recbole_specgr.importing.timestamps import is_date_number, parse_moment
from recbole_specgr.system.errors import UserError

CORE_NOTE = (
    "The {0}-core was taken over the whole period: an item that is new after the cuts is here because {0} interactions "
    "with it follow. Results on unseen items hold for launches that catch on; --min-interactions 1 keeps them all."
)


@dataclass(frozen=True)
class Filters:
    """The period [since, until) and the least number of interactions of every user and every item.

    `since` and `until` are what was typed: an ISO 8601 date or datetime (UTC without a zone), or a time in the data's
    own unit.
    """

    since: str | None = None
    until: str | None = None
    min_interactions: int = 1

    def __post_init__(self) -> None:
        if self.min_interactions < 1:
            raise UserError(f"--min-interactions [{self.min_interactions}] must be 1 or more.")

    def __str__(self) -> str:
        given = {"--from": self.since, "--to": self.until, "--min-interactions": self.min_interactions}
        return " ".join(f"{name} {value}" for name, value in given.items() if value not in (None, 1)) or "no filter"

    def inside(self, times: np.ndarray) -> np.ndarray:
        """bool [N] of integer times [N]. Raises UserError for a bound that is no time or not in the data's unit."""
        since, until = (self._bound(flag, text, times) for flag, text in (("--from", self.since), ("--to", self.until)))
        if since is not None and until is not None and since >= until:
            raise UserError(f"--from [{self.since}] must be before --to [{self.until}].")
        kept = np.ones(len(times), dtype=bool)
        if since is not None:
            kept &= times >= since
        if until is not None:
            kept &= times < until
        return kept

    @property
    def note(self) -> str | None:
        """What must be known of results on data that was filtered so."""
        return CORE_NOTE.format(self.min_interactions) if self.min_interactions > 1 else None

    @staticmethod
    def _bound(flag: str, text: str | None, times: np.ndarray) -> int | None:
        """A date, or a whole number of five digits or more in the data's unit (four digits are a year, and eight that
        lie outside the data's times, such as 20140701, are a date)."""
        if text is None:
            return None
        unit, text = time_unit(times), text.strip()
        is_day = re.fullmatch(r"(19|20)\d{6}", text) and not times.min() <= int(text) <= times.max()
        if is_day or not re.fullmatch(r"\d{5,}", text):
            moment = parse_moment(text, flag)
            return -(-moment * TIME_UNITS[unit] // TIME_UNITS["us"])
        bound = int(text)
        if is_date_number(text) and not times.min() <= bound <= times.max():
            raise UserError(
                f"{flag} [{text}] looks like a date written as a whole number, and would be taken for {unit}. Write it "
                f"as a text, such as 2014-07-01 or 2014-07-01T12:30:00."
            )
        if not times.min() <= bound <= times.max() and time_unit([bound]) != unit:
            raise UserError(
                f"{flag} [{text}] looks like {time_unit([bound])}, but the times run from "
                f"{readable_time(int(times.min()), unit)} to {readable_time(int(times.max()), unit)}, in {unit}. "
                "Give it in that unit, or as a date."
            )
        return bound


def k_core(users: np.ndarray, items: np.ndarray, least: int) -> np.ndarray:
    """bool [N]: the largest set of interactions in which every user and every item has `least` or more.

    Args:
        users, items: integers from 0, [N]; a (user, item) pair counts as often as it is there.
    """
    kept = np.ones(len(users), dtype=bool)
    while True:
        enough = kept.copy()
        for ids in (users, items):
            enough &= np.bincount(ids[enough], minlength=int(ids.max(initial=0)) + 1)[ids] >= least
        if (enough == kept).all():
            return kept
        kept = enough
