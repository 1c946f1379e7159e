"""What tests/training/test_interruption.py has done by processes that it then kills."""

import contextlib


def work(model: str, settings: dict, out: str) -> None:
    """Run `model` on the tiny data set; what it prints goes to the file `out`."""
    from recbole_specgr.quick_start import run_recbole

    with open(out, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        run_recbole(model, "tiny", config_dict=settings)
