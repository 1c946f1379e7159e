"""A run's log: what its lines look like."""

from __future__ import annotations

import logging
import re

import pytest

from recbole_specgr.system.log import run_log

TIME = r"\d\d:\d\d:\d\d  "


def lines(text: str) -> list[str]:
    """The lines without their times."""
    assert all(re.match(TIME, line) for line in text.splitlines())
    return [re.sub(f"^{TIME}", "", line) for line in text.splitlines()]


@pytest.mark.parametrize("logger", ["root", "recbole_specgr.training", "elsewhere"])
def test_warnings_and_errors_are_told_from_information(logger, tmp_path, capsys):
    of_others = logger == "elsewhere"  # whose information is not ours to tell
    with run_log(leads=True) as log:
        logging.getLogger(logger).warning("Few [%s] are new.", "items")
        log.write_to(tmp_path / "log.txt")
        logging.getLogger(logger).info("epoch 1")
        logging.getLogger(logger).error("It is gone.")
    expected = ["warning: Few [items] are new.", *([] if of_others else ["epoch 1"]), "error: It is gone."]
    assert lines(capsys.readouterr().out) == lines((tmp_path / "log.txt").read_text()) == expected
