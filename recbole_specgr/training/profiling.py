"""A trace of a few training steps by torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule


@contextmanager
def traced_steps(file: Path | None) -> Iterator[Callable[[], None]]:
    """Yield what is to be called after each step. Steps 4 to 6, or what comes of them, are written to `file`, for
    chrome://tracing and https://ui.perfetto.dev; without a file nothing is traced."""
    if file is None:
        yield lambda: None
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with profile(
        schedule=schedule(wait=1, warmup=2, active=3, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(file)),
        record_shapes=True,
        profile_memory=True,
    ) as profiler:
        yield profiler.step
