"""Settings from inside and outside of what their schemas allow, in every layer."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import yaml

from fuzzing.trials import Fault
from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.settings.schema import read_schema, schema_beside
from recbole_specgr.settings.yaml_values import Loader
from recbole_specgr.system.errors import UserError

PROPERTIES = Path(__file__).resolve().parents[2] / "properties"
_MODELS = ("SASRec", "GRU4Rec", "S3Rec", "TIGER", "DSI", "LIGER", "SpecGRPP", "SpecGR_Aux", "TIGER_C", "UniSRec")
_MODELS += ("RPG", "Recformer", "Ensemble", "SemanticKNN", "RecentPop")
_HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.1, 0.5, 1e-320, 1e30, -1e30, 10**400, 2**31, 2**63, math.nan, math.inf),
    *("", " ", "x", "None", "10,20", "[10", "1e-3", "0", "True", "a" * 3000, "\0", "\u5546", "../x", "/proc/x"),
    *([], [1], [0], [10, 20], [None], [math.nan], ["x"], [[1]], [True], [1] * 300, {}, {"x": 1}, {"share": 0.5}),
)
_PLACES = ("config_dict", "the command line", "a file", "overall", "the model's file", "tuned", "a baseline", "a stage")


def draw_settings(random: Random, folder: Path) -> None:
    """A `Kind` of trial: one setting of a model has a value by chance, in a layer by chance."""
    _write_dataset(folder)
    model = random.choice(_MODELS)
    types = _types(model)
    name, schema = random.choice(sorted(_leaves(types)))
    schema = json.loads(schema)
    value, place = random.choice(_HOSTILE), random.choice(_PLACES)
    allowed = _is_allowed(_as_read(value, place), schema)
    there = sorted(folder.rglob("*"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        written = _configure(folder, model, name, value, place)
        if not allowed and place != "a stage":
            raise Fault(f"[{name}: {value!r}] of {model} was taken from {place}, against {schema}")
    except UserError as error:
        if "\n" in str(error):
            raise Fault(f"more than one line: {error}") from error
        raise
    finally:
        os.chdir(before)
    left = sorted({*folder.rglob("*")} - {*there, *written})
    if left:
        raise Fault(f"[{name}: {value!r}] left {left}")


def _configure(folder: Path, model: str, name: str, value: Any, place: str) -> list[Path]:
    """Make the Config; returns the files that were written for it."""
    common = {"data_path": str(folder / "dataset"), "use_gpu": False, "show_progress": False}
    group = value
    for part in reversed(name.split(".")):
        group = {part: group}
    key = name.split(".")[0]
    if key in common and place in ("config_dict", "the command line"):
        common.pop(key)
    if place == "config_dict":
        Config(model, "tiny", config_dict={**common, **group})
        return []
    if place == "the command line":
        arguments = parse([f"--{name}={_typed(value)}", *(f"--{key}={text}" for key, text in common.items())])
        Config(
            arguments.model or model,
            arguments.dataset or "tiny",
            None,
            Settings(arguments.settings, "the command line"),
        )
        return []
    if place == "a stage":
        Config(model, "tiny", config_dict={**common, "stages": {"train": group}})
        return []
    files = {
        "a file": "given.yaml",
        "overall": "properties/overall.yaml",
        "tuned": f"properties/tuned/tiny/{model}.yaml",
    }
    files |= {"the model's file": f"properties/model/{model}.yaml", "a baseline": "baselines/Own.yaml"}
    file = folder / files[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"base": model, **group} if place == "a baseline" else group, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
    named = "Own" if place == "a baseline" else model
    Config(named, "tiny", [str(file)] if place == "a file" else None, common)
    return [file, *file.parents]


def _as_read(value: Any, place: str) -> Any:
    """What the value is once it was written there: some texts are numbers, and `None` is nothing."""
    if place in ("config_dict", "a stage"):
        return value
    text = _typed(value) if place == "the command line" else yaml.safe_dump(value, allow_unicode=True)
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError:
        return value


def _typed(value: Any) -> str:
    """As one would type it after `--name=`."""
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n")


def _types(model: str) -> dict[str, Any]:
    recbole = read_schema(PROPERTIES / "recbole_models.schema.json") if model in ("SASRec", "GRU4Rec", "S3Rec") else {}
    known = Config(model, "ml-100k", config_dict={"use_gpu": False}).final_config_dict
    own = {**{key: recbole[key] for key in recbole if key in known}}
    return {**schema_beside(PROPERTIES / "overall.yaml"), **own, **schema_beside(PROPERTIES / f"model/{model}.yaml")}


def _leaves(types: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, schema in types.items():
        if prefix + name != "launch_holdout" and schema.get("type") == "object" and schema.get("properties"):
            found += _leaves(schema["properties"], f"{prefix}{name}.")
        found.append((f"{prefix}{name}", json.dumps(schema)))
    return found


def _is_allowed(value: Any, schema: dict[str, Any]) -> bool:
    """By the plain validator, which takes NaN for a number and 1.0 for a whole one."""
    if isinstance(value, (list, dict)):
        members = value if isinstance(value, list) else value.values()
        if any(isinstance(one, float) and not math.isfinite(one) for one in members):
            return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def _write_dataset(folder: Path) -> None:
    tiny = folder / "dataset" / "tiny"
    tiny.mkdir(parents=True)
    (tiny / "tiny.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ti\t1\n")
    (tiny / "tiny.item").write_text("item_id:token\tkind:token\ni\ta\n")
    columns = "load_col: {inter: [user_id, item_id, timestamp], item: [item_id, kind]}\n"
    (tiny / "tiny.yaml").write_text(f"{columns}selected_features: [kind]\nitem_attribute: kind\ntext_fields: [kind]\n")
