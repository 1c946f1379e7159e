"""A short log: one line an event, on the console and in the run's log.txt."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import recbole
from recbole.utils.logger import RemoveColorFilter
from tqdm import tqdm

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import locked
from recbole_specgr.system.terminal import wrapped

TIME_WIDTH = len("14:40:48  ")  # before every message
RECBOLE = f"{Path(recbole.__file__).parent}{os.sep}"  # not the folder of recbole_specgr beside it


class ConsoleHandler(logging.Handler):
    """Prints above a progress bar instead of through it; in a terminal no line is longer than that is wide."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        tqdm.write(wrapped(text, indent=TIME_WIDTH) if sys.stdout.isatty() else text, file=sys.stdout)


class Line(logging.Formatter):
    """A message with the time before it; of a warning or an error, the word for what it is stands between them."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s  %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            kind = "error" if record.levelno >= logging.ERROR else "warning"
            return f"{record.asctime}  {kind}: {record.message}"
        return super().formatMessage(record)


class OurNews(logging.Filter):
    """Lets through warnings of anyone, but information only of this package and of scripts that use it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            return True
        ours = record.name == "root" or record.name.partition(".")[0] == "recbole_specgr"
        return ours and not record.pathname.startswith(RECBOLE)


class RunLog:
    """The log of one run. Messages before `write_to` are on the console only, and are then written to the file."""

    def __init__(self, logger: logging.Logger, console: bool):
        self._logger = logger
        self._file: logging.FileHandler | None = None
        self._early = _EarlyHandler()
        self._handlers: list[logging.Handler] = []
        self._add(self._early)
        if console:
            self._add(ConsoleHandler())

    def write_to(self, path: Path) -> None:
        """Append to `path` from now on, and keep others from it until `close`.

        Raises:
            UserError: another process writes it, so its run goes on still.
        """
        file = logging.FileHandler(path, encoding="utf-8")
        assert file.stream is not None  # a handler opens its file at once
        if not locked(file.stream):
            file.close()
            raise UserError(f"Another process is at work on the run {path.parent}. Wait for its end, or end it first.")
        self._file = file
        self._add(self._file)
        for record in self._early.records:
            self._file.handle(record)
        self._logger.removeHandler(self._early)

    def close(self) -> None:
        for handler in self._handlers:
            self._logger.removeHandler(handler)
            handler.close()

    def _add(self, handler: logging.Handler) -> None:
        handler.setFormatter(Line())
        handler.addFilter(OurNews())
        handler.addFilter(RemoveColorFilter())
        self._logger.addHandler(handler)
        self._handlers.append(handler)


class _EarlyHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def run_log(leads: bool) -> Iterator[RunLog]:
    """The root logger with a run's handlers; `leads`: this process is the one that prints."""
    logger = logging.getLogger()
    before, log = logger.level, RunLog(logger, console=leads)
    logger.setLevel(logging.INFO if leads else logging.ERROR)
    try:
        yield log
    finally:
        log.close()
        logger.setLevel(before)
