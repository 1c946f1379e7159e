"""Cells of studies that nobody measured."""

import json

from recbole_specgr.runs.record import digest
from recbole_specgr.studies.cells import RUNS


def made_up(study, folder, value, seeds=(1, 2), protocol="p", **settings):
    """Cells with what `value(setup, seed)` gives, of runs with these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for setup in study.setups():
        for seed in seeds:
            cell = {"seed": seed, "label": setup.label, "axes": setup.axes, "protocol_hash": protocol}
            cell |= {"model": setup.wanted.model, "train": setup.wanted.train, "set": setup.decode}
            cell |= {"measure": setup.measure, "measured": value(setup, seed)}
            cell["finished"] = f"2026-01-0{seed}T00:00:00+0000"
            identity = {"settings": {"model": setup.wanted.model, **settings}, "uses": {}}
            cell["run_id"] = digest(identity)[:16]
            runs = folder / RUNS
            known = json.loads(runs.read_text()) if runs.is_file() else {}
            runs.write_text(json.dumps({**known, cell["run_id"]: identity}))
            (folder / setup.file_name(seed)).write_text(json.dumps({**cell, "digest": digest(cell)}))
