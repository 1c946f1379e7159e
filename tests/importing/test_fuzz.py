"""Files that are wrong in random ways are imported as they are or refused with a sentence; see scripts/fuzz.py."""

import sys
import tempfile
from pathlib import Path
from random import Random

from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(ROOT / "scripts"))

from fuzzing.importer_files import import_mutated_files
from fuzzing.trials import Fault, run_trials, try_once

from recbole_specgr.system.errors import UserError


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False))
def test_mutated_files_are_handled_or_refused(random):
    with tempfile.TemporaryDirectory() as folder:
        found = try_once(import_mutated_files, random, Path(folder))
    assert found is None or not found.startswith("fault"), found


def test_a_trial_tells_refusals_from_faults():
    def raising(error):
        def kind(random: Random, folder: Path) -> None:
            raise error

        return kind

    outcomes = {
        "sentence": raising(UserError("This is wrong.")),
        "crash": raising(KeyError("x")),
        "fault": raising(Fault("it left a file")),
        "unprintable": raising(UserError("\ud800")),
        "endless": raising(UserError("x" * 10_000)),
        "fine": lambda random, folder: None,
    }
    found = {name: try_once(kind, Random(0), Path()) for name, kind in outcomes.items()}
    assert found["sentence"] == "This is wrong." and found["fine"] is None
    assert all(found[name].startswith("fault") for name in ("crash", "fault", "unprintable", "endless"))
    tally = run_trials(outcomes["crash"], 60, only=7)
    assert (tally.tried, tally.refused, tally.handled) == (1, 0, 0) and tally.faults[0][0] == 7
