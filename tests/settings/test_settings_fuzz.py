"""Settings and run folders that are wrong in random ways are used as they are or refused; see scripts/fuzz.py."""

import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(ROOT / "scripts"))

from fuzzing.run_folders import damage_run_folders
from fuzzing.settings import draw_settings
from fuzzing.trials import try_once


@pytest.mark.parametrize("kind", [draw_settings, damage_run_folders])
def test_what_is_wrong_is_refused_and_leaves_nothing(kind):
    @settings(max_examples=25, deadline=None, database=None)
    @given(st.randoms(use_true_random=False))
    def trial(random):
        with tempfile.TemporaryDirectory() as folder:
            found = try_once(kind, random, Path(folder))
        assert found is None or not found.startswith("fault"), found

    trial()
