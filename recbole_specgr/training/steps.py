"""The steps of an epoch, which may begin in its middle."""

from collections.abc import Callable, Iterator
from typing import Any


class EpochSteps:
    """A loader's batches from one in the middle on, in the order and with the random numbers they would have had.

    It passes for the loader in RecBole's epochs.

    Args:
        loader: gives the same batches again after the same seeding.
        batches: those of them that are left to do.
        first: how many were done before.
        start: called before the first batch.
        done: called with the number of each step, 1-based, when it is done.
    """

    def __init__(
        self,
        loader: Any,
        batches: Iterator[Any],
        first: int,
        start: Callable[[], None],
        done: Callable[[int], None],
    ) -> None:
        self._loader, self._batches, self._first = loader, batches, first
        self._start, self._done = start, done

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        self._start()
        for step, batch in enumerate(self._batches, self._first + 1):
            yield batch
            self._done(step)
