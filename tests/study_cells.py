"""Cells of studies that nobody measured."""

import json

from recbole_specgr.runs.record import digest


def made_up(study, folder, value, seeds=(1, 2), protocol="p"):
    """Cells with what `value(setup, seed)` gives."""
    folder.mkdir(parents=True, exist_ok=True)
    for setup in study.setups():
        for seed in seeds:
            cell = {"seed": seed, "label": setup.label, "axes": setup.axes, "protocol_hash": protocol}
            cell["measured"] = value(setup, seed)
            (folder / setup.file_name(seed)).write_text(json.dumps({**cell, "digest": digest(cell)}))
