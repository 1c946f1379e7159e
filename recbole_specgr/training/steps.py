"""The steps of an epoch, which may begin in its middle."""

from collections.abc import Callable, Iterator
from typing import Any


class EpochSteps:
    """A loader's batches from one in the middle on, in the order and with the random numbers they would have had.

    It passes for the loader in RecBole's epochs.

    Args:
        loader: gives the same batches again after the same seeding; `batches_from` of it skips without making them.
        first: batches that are left out.
        start: called before the first batch, after what was left out.
        done: called with the number of each step, 1-based, when it is done.
    """

    def __init__(self, loader, first: int, start: Callable[[], None], done: Callable[[int], None]):
        self._loader, self._first, self._start, self._done = loader, first, start, done

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        if hasattr(self._loader, "batches_from"):
            batches = self._loader.batches_from(self._first)
        else:
            batches = iter(self._loader)
            for _ in range(self._first):
                next(batches)
        self._start()
        for step, batch in enumerate(batches, self._first + 1):
            yield batch
            self._done(step)
