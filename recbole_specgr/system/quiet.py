"""Libraries that talk about what no user of this package can change are made silent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def quiet_torch() -> None:
    """Let torch's C++ part print errors only. To be called before torch is imported, which reads it once.

    Under torchrun it would warn in every process that all parameters took part in the first step, which is as it should
    be: other batches and stages leave some out, so DDP is told to look for them (`find_unused_parameters`).
    A value of TORCH_CPP_LOG_LEVEL in the environment stays.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the progress bars of `transformers`, which draws one for every file of weights, in a pipe too."""
    from transformers.utils import logging  # not at the top: an optional library, and slow to load

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
