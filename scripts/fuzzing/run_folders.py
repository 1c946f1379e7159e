"""Folders of finished runs that were damaged: files cut, swapped, gone, with flipped bits or other values."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.trials import Fault
from recbole_specgr.items.catalogue import ITEMS
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.runs.checks import check_ranks, read_record
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import CONFIG
from recbole_specgr.runs.record import RANKS, RESULT, read_columns
from recbole_specgr.serving import Recommender

_HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e30, float("nan"), float("inf"), "", "x", "a|b", "../../x", "<b>", "\0", "a" * 5000),
    *([], [1], ["x"], [[1]], {}, {"x": 1}),
)
_HISTORIES = [["i1", "i2"], ["i5"], ["i7", "i3", "i9"]]
_NUMBERS = {"epochs": 1, "hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 1, "topk": [2, 5]}
_NUMBERS |= {"train_batch_size": 16, "MAX_ITEM_LIST_LENGTH": 5, "text_dim": 4}
_QUIET = {"use_gpu": False, "show_progress": False, "valid_metric": "NDCG@5", "timestamp_split": [0.6, 0.8]}


def damage_run_folders(random: Random, folder: Path) -> None:
    """A `Kind` of trial: a file of a run is damaged; then the run is recommended from, resumed, or its record read."""
    run, expected = _finished_run()
    copy = folder / "run"
    shutil.copytree(run, copy)
    name = random.choice(sorted(USES))
    kind = _damage(random, copy / name)
    there = _contents(copy)
    before = Path.cwd()
    os.chdir(folder)
    try:
        use = random.choice(USES[name])
        found = use(copy)
    finally:
        os.chdir(before)
        if _contents(copy) != there:
            raise Fault(f"{use.__name__} changed the folder, after: {kind}")
        if [path.name for path in folder.iterdir()] != ["run"]:
            raise Fault(f"{use.__name__} left {[path.name for path in folder.iterdir()]}, after: {kind}")
    if use is _recommend and found != expected and not kind.startswith("other value"):
        raise Fault(f"other lists, after: {kind}")
    if use is _read and json.loads((copy / RESULT).read_text()) != json.loads((run / RESULT).read_text()):
        raise Fault(f"the record was read, after: {kind}")


def _recommend(run: Path) -> list[list[str]]:
    return Recommender.load(run).recommend(_HISTORIES, 4).items


def _read(run: Path) -> None:
    check_ranks(read_record(run / RESULT), read_columns(run / RANKS), run / RANKS)


def _resume(run: Path) -> None:
    """The settings alone: what is gone on with."""
    configure(None, None, None, {"resume": str(run)})


# What is read when -> how the run is used then.
USES = {
    CONFIG: (_recommend, _resume),
    RESULT: (_recommend, _resume, _read),
    ITEMS: (_recommend,),
    RANKS: (_read,),
    "finetune.pth": (_recommend,),
}


def _damage(random: Random, file: Path) -> str:
    """Change a file, and say how."""
    run, data, name = file.parent, file.read_bytes(), file.name
    if file.name in (CONFIG, RESULT) and random.random() < 0.7:
        return _other_value(random, file)
    kind = random.choice(("cut", "bit", "gone", "empty", "swapped", "folder", "appended"))
    if kind == "cut":
        file.write_bytes(data[: random.randrange(len(data) or 1)])
    elif kind == "bit":
        place = random.randrange(len(data) or 1)
        file.write_bytes(data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :])
    elif kind == "appended":
        file.write_bytes(data + bytes(random.randrange(1, 50)))
    else:
        file.unlink()
        if kind == "empty":
            file.touch()
        elif kind == "folder":
            file.mkdir()
        elif kind == "swapped":
            other = random.choice(sorted(path for path in run.rglob("*") if path.is_file()))
            shutil.copy(other, file)
            name = f"{name} with {other.name}"
    # A text that was changed may say something else that can be.
    return f"{'other value' if file.suffix in ('.yaml', '.json') else kind} in {name} ({kind})"


def _other_value(random: Random, file: Path) -> str:
    """A key that is gone, has another value, or stands in another place."""
    content = yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())
    inner = content
    while isinstance(members := inner[random.choice(list(inner))], dict) and members and random.random() < 0.6:
        inner = members
    key = random.choice(list(inner))
    kind = random.choice(("gone", "hostile", "hostile", "sorted"))
    if kind == "gone":
        del inner[key]
    elif kind == "hostile":
        inner[key] = random.choice(_HOSTILE)
    text = yaml.safe_dump(content) if file.suffix == ".yaml" else json.dumps(content, sort_keys=True)
    file.write_text(text)
    return "sorted keys" if kind == "sorted" else f"other value in {file.name}: [{key}] {inner.get(key, 'gone')!r:.80}"


def _contents(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@functools.cache
def _finished_run() -> tuple[Path, list[list[str]]]:
    """A run of two stages, and its lists."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = folder / "dataset" / "small"
    data.mkdir(parents=True)
    random = Random(0)
    rows = [f"u{user}\ti{random.randrange(12)}\t{1000 + 40 * step + user}" for user in range(12) for step in range(9)]
    (data / "small.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *dict.fromkeys(rows)])
    )
    items = [f"i{item}\tthing {item}\tk{item % 3}" for item in range(12)]
    (data / "small.item").write_text("\n".join(["item_id:token\ttitle:token_seq\tkind:token", *items]))
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "title", "kind"]}
    properties = {
        "load_col": columns,
        "text_fields": ["title"],
        "item_attribute": "kind",
        "selected_features": ["kind"],
    }
    (data / "small.yaml").write_text(yaml.safe_dump(properties))
    places = {"data_path": str(folder / "dataset"), "run_dir": str(folder / "run"), "cache_path": str(folder / "cache")}
    run_recbole("S3Rec", "small", config_dict={**_NUMBERS, **_QUIET, **places})
    return folder / "run", _recommend(folder / "run")
