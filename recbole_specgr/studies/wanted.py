"""A trained run, by what it is."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """A run that is wanted, whatever its seed.

    Attributes:
        model: its name.
        train: settings over the model's own.
        uses: settings that name a trained run (`backbone_run`) -> the run that is to be taken.
    """

    model: str
    train: dict[str, Any] = field(default_factory=dict)
    uses: dict[str, "Wanted"] = field(default_factory=dict)
