"""A run as files for others: its backbone as `transformers` has it, the rest in safetensors, and a model card."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import torch
import yaml
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr import __version__
from recbole_specgr.backbones.contract import Backbone
from recbole_specgr.backbones.transformers_files import FILES as BACKBONE_FILES
from recbole_specgr.backbones.transformers_files import load, save
from recbole_specgr.data.splits.contract import described
from recbole_specgr.items.catalogue import ITEMS
from recbole_specgr.models.generative_recommender import GenerativeRecommender
from recbole_specgr.runs.checkpoint import load_checkpoint
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.folder import CONFIG, EXPORTED, read_config, read_settings
from recbole_specgr.runs.record import RESULT
from recbole_specgr.runs.report import three_part_table
from recbole_specgr.serving.recommender import Recommender
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.quiet import quiet_transformers

WEIGHTS, CARD = "recbole_specgr.safetensors", "README.md"
_PREFIX = "backbone."
_MACHINE = {
    "data_path": "dataset",
    "runs_path": "runs",
    "cache_path": ".cache",
    "run_dir": None,
    "checkpoint_dir": None,
}
_NOT_COPIED = (CONFIG, "log.txt", "*.pth", "tensorboard", ".*")
_FORMAT = 1


def export_run(run: Path, to: Path) -> str:
    """Write the finished run `run` to the folder `to`: for a model with a backbone, the files that `from_pretrained` of
    `transformers` reads, of a T5 or a Llama; all other parameters; ids, text vectors, items and settings as the run
    has them; the result and a model card. Parts of a composite model get folders of their own.

    Returns:
        What was written, in a line.

    Raises:
        FileNotFoundError: `run` is no run.
        UserError: it is not finished, `to` holds something, or transformers or safetensors is not installed.
    """
    _require_libraries()
    config = read_config(run)
    if not (run / ITEMS).is_file() or not (run / RESULT).is_file():
        raise UserError(f"{run} is not finished: it has no {ITEMS if (run / RESULT).is_file() else RESULT}.")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is there already and not empty. Name a new folder.")
    model = Recommender.load(run, device="cpu", precision="fp32").model
    temporary = to.with_name(f".{to.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        classes = {
            part: _export_weights(run / part, temporary / part, _backbone(module))
            for part, module in _folders(model).items()
        }
        card = _card(run, to.name, classes[Path()])
        (temporary / CARD).write_text(card, encoding="utf-8")
        if to.is_dir():
            to.rmdir()
        temporary.replace(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"{config['display_name']} on {config['dataset']} is in {to}"


def import_run(folder: Path, to: Path | None = None) -> str:
    """Make a run, which every command takes, of what `export_run` wrote.

    Args:
        to: the run's folder; None makes one under runs/<dataset>/<model>/.

    Returns:
        Where the run is, in a line.

    Raises:
        FileNotFoundError: `folder` is no export.
        UserError: a file of it is damaged or of another version, or `to` is there already.
    """
    _require_libraries()
    settings = read_mapping(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not (folder / EXPORTED).is_file() or not settings:
        raise FileNotFoundError(f"{folder} is no exported run: it has no {EXPORTED} or no {CONFIG}.")
    if to is None:
        to = Path("runs", settings["dataset"], settings["model"], f"{time.strftime('%Y%m%d-%H%M%S')}-imported")
    if to.exists():
        raise UserError(f"{to} is there already. Name a new folder.")
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f".{to.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns(*BACKBONE_FILES, EXPORTED, WEIGHTS, CARD))
        for file in sorted(folder.rglob(EXPORTED)):
            _import_weights(file.parent, temporary / file.parent.relative_to(folder))
        temporary.replace(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"{settings['display_name']} on {settings['dataset']} is in {to}"


# -- weights -----------------------------------------------------------------------------------------------------------


def _folders(model: SequentialRecommender, folder: Path = Path()) -> dict[Path, SequentialRecommender]:
    """The model and, where it is composite, its parts, by their folders in the run's."""
    found = {folder: model}
    for name in model.part_configs:
        found |= _folders(model.parts[name], folder / name)
    return found


def _backbone(model: SequentialRecommender) -> Backbone | None:
    """What a model generates with."""
    return model.backbone if isinstance(model, GenerativeRecommender) else None


def _export_weights(run: Path, to: Path, backbone: Backbone | None) -> str | None:
    """The settings and the last checkpoint of a run, or of a part of one. Returns the name of the `transformers` class
    that reads the backbone; None where there is none."""
    from safetensors.torch import save_file

    settings = read_settings(run)
    text = yaml.safe_dump({**settings, **_MACHINE}, sort_keys=False, allow_unicode=True)
    (to / CONFIG).write_text(text, encoding="utf-8")
    stage = list(settings["stages"])[-1]
    checkpoint = load_checkpoint(run / f"{stage}.pth")
    if checkpoint.get("other_parameter") not in (None, {}) and any(checkpoint["other_parameter"].values()):
        raise UserError(f"{checkpoint['model']} keeps more than parameters in its checkpoint, and can't be exported.")
    state = dict(checkpoint["state_dict"])
    manifest = {"format": _FORMAT, "version": __version__, "model": checkpoint["model"], "stage": stage}
    backbone_class = None
    if backbone is not None:
        with quiet_transformers():
            backbone_class = save(backbone, to)
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_PREFIX)}
    if state:
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, to / WEIGHTS)
    (to / EXPORTED).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return backbone_class


def _import_weights(folder: Path, to: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        manifest = json.loads((folder / EXPORTED).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise UserError(
                f"{folder} was exported by recbole-specgr {manifest['version']} in format {manifest['format']}; this "
                f"version reads format {_FORMAT}. Use that version."
            )
        state: dict[str, Tensor] = {}
        if (folder / BACKBONE_FILES[-1]).is_file():
            with quiet_transformers():
                backbone = load(folder)
            state = {f"{_PREFIX}{name}": tensor for name, tensor in backbone.state_dict().items()}
        if (folder / WEIGHTS).is_file():
            state |= load_file(folder / WEIGHTS)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"{folder} can't be read as an exported run ({type(error).__name__}: {error}).") from error
    with atomic_write(to / f"{manifest['stage']}.pth") as temporary:
        torch.save({"model": manifest["model"], "state_dict": state, "other_parameter": {}}, temporary)


def _require_libraries() -> None:
    try:
        import safetensors  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Exporting and importing needs {error.name}: pip install '.[hub]' safetensors in the checkout"
        ) from error


# -- the card ----------------------------------------------------------------------------------------------------------


def _card(run: Path, name: str, backbone_class: str | None) -> str:
    record, settings = read_record(run / RESULT), read_mapping(run / CONFIG)
    result, protocol = record["metrics"]["test"], record["protocol"]
    table = three_part_table(result, settings["metrics"], settings["topk"])
    head = {
        "library_name": "recbole-specgr",
        "tags": ["recommendation", "sequential-recommendation", "inductive"],
        "datasets": [record["dataset"]],
        "metrics": [metric.lower() for metric in settings["metrics"]],
    }
    use = f"""\
```sh
recbole-specgr import-run {name} --to my_run
```
```python
from recbole_specgr.serving import Recommender

recommender = Recommender.load("my_run")
recommender.recommend([["item token", "a later item token"]], k=10)
```
"""
    backbone = f"""
The backbone alone, which reads and writes semantic ids (`semantic_ids.npz`), loads into transformers:

```python
from transformers import {backbone_class}

{backbone_class}.from_pretrained("{name}")
```
"""
    return f"""\
---
{yaml.safe_dump(head, sort_keys=False).strip()}
---
# {record["display_name"]} on {record["dataset"]}

Trained by recbole-specgr {record["versions"]["recbole_specgr"]}, seed {record["seed"]}, finished {record["finished"]}.
All settings: `{CONFIG}`. All results: `{RESULT}`.

## Results on the test phase

Split, {described(protocol)}.
Candidates, {protocol["candidates"]}.
An item is unseen when no training interaction has it. Protocol {record["protocol_hash"]}.

```
{table}
```

## Use

{use}{backbone if backbone_class else ""}"""
