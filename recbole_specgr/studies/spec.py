"""What a study is: properties/study/<name>.yaml, read, checked and laid out cell by cell."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.errors import UserError, did_you_mean

KINDS = ("train", "decode", "measure")  # what an axis may vary: the training, the inference, the measuring
VARIANT = {"label", "model", "train", "uses", "decode", "measure", "grid"}


@dataclass(frozen=True)
class Setup:
    """One cell of a study, whatever its seed.

    Attributes:
        label: the variant's.
        axes: name -> value, of what the variant's grid varies.
        wanted: the run that is measured.
        decode: settings of inference, over the run's own.
        measure: measure -> its parameters.
    """

    label: str
    axes: dict[str, Any]
    wanted: Wanted
    decode: dict[str, Any]
    measure: dict[str, dict[str, Any]]

    def file_name(self, seed: int) -> str:
        """Says what is in the cell, and is no other cell's."""
        identity = json.dumps([self.label, self.axes, seed], sort_keys=True)
        words = [self.label, *(f"{axis}-{value}" for axis, value in self.axes.items()), f"seed{seed}"]
        readable = "-".join(re.sub(r"[^a-z0-9.]+", "-", word.lower()).strip("-") for word in words)
        return f"{readable[:80]}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}.json"


@dataclass
class Study:
    """A property file of properties/study.

    Attributes:
        name: the file's.
        title: what it shows.
        reproduces: the table or figure of the paper, if it is one of them.
        about: what a reader has to know.
        variants: rows of the grid, each with label, model, train, uses, decode, measure, grid.
        grid, measure: of all variants.
        slices: in place of variants: the leaderboard's own results, by a column of the test rows.
        curves: in place of variants: how the leaderboard's own results were trained, by epoch.
        unroll: {axis: name, keys: [...]}: values that are lists become an axis of their own.
        table, plots: how it is shown, see `leaderboard.study_view`.
    """

    name: str
    title: str
    reproduces: str = ""
    about: str = ""
    variants: list[dict[str, Any]] = field(default_factory=list)
    grid: dict[str, dict[str, list]] = field(default_factory=dict)
    measure: dict[str, dict[str, Any]] = field(default_factory=dict)
    slices: dict[str, Any] = field(default_factory=dict)
    curves: bool = False
    unroll: dict[str, Any] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    plots: list[dict[str, Any]] = field(default_factory=list)

    def setups(self, quick: bool = False) -> Iterator[Setup]:
        """Every cell but for the seed; `quick` takes the first and the last value of each axis only."""
        for variant in self.variants:
            axes = {
                (kind, axis): ([values[0], values[-1]] if quick and len(values) > 2 else values)
                for kind in KINDS
                for axis, values in {**self.grid.get(kind, {}), **variant.get("grid", {}).get(kind, {})}.items()
            }
            for point in product(*axes.values()):
                yield self._setup(variant, dict(zip(axes, point)))

    def _setup(self, variant: dict[str, Any], point: dict[tuple[str, str], Any]) -> Setup:
        varied = {kind: {axis: value for (of, axis), value in point.items() if of == kind} for kind in KINDS}
        measure = {name: dict(given or {}) for name, given in {**self.measure, **variant.get("measure", {})}.items()}
        for axis, value in varied["measure"].items():
            name, _, parameter = axis.partition(".")
            measure[name][parameter] = value
        return Setup(
            variant["label"],
            {axis: value for (_, axis), value in point.items()},
            _wanted(variant, varied["train"]),
            {**variant.get("decode", {}), **varied["decode"]},
            measure,
        )


def list_studies() -> list[str]:
    return sorted(_files())


def read_study(name: str) -> Study:
    """Raises UserError for a name that is none, and for a file that is no study."""
    files = _files()
    if name not in files:
        raise UserError(
            f"There is no study [{name}].{did_you_mean(name, files)} There are: {', '.join(sorted(files))}."
        )
    path, given = files[name], read_mapping(files[name])
    _check_keys(given, Study.__dataclass_fields__.keys() - {"name"}, path)
    if not given.get("title") or sum(bool(given.get(key)) for key in ("variants", "slices", "curves")) != 1:
        raise UserError(f"{path} needs a title, and either variants or slices or curves.")
    for variant in given.get("variants", []):
        _check_keys(variant, VARIANT, path)
        if not {"label", "model"} <= variant.keys():
            raise UserError(f"{path}: every variant needs a label and a model, unlike {variant}.")
    study = Study(name, **given)
    for grid in [study.grid, *(variant.get("grid", {}) for variant in study.variants)]:
        _check_grid(grid, study, path)
    labels = [variant["label"] for variant in study.variants]
    if len(set(labels)) < len(labels):
        raise UserError(f"{path}: two variants have the same label.")
    return study


def _check_keys(given: dict[str, Any], known, path: Path) -> None:
    for key in given:
        if key not in known:
            raise UserError(
                f"{path}: there is no key [{key}].{did_you_mean(key, known)} There are: {', '.join(sorted(known))}."
            )


def _check_grid(grid: dict[str, Any], study: Study, path: Path) -> None:
    _check_keys(grid, KINDS, path)
    for axes in grid.values():
        for axis, values in axes.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{path}: the axis [{axis}] must be a list of values, but is [{values}].")
    for axis in grid.get("measure", {}):
        if "." not in axis or axis.partition(".")[0] not in study.measure:
            raise UserError(
                f"{path}: the axis [{axis}] must be MEASURE.PARAMETER, with one of {', '.join(study.measure)}."
            )


def _wanted(given: dict[str, Any] | str, train: dict[str, Any] | None = None) -> Wanted:
    """A variant's run, or one that it uses: by its model's name, or by model, train and uses."""
    given = {"model": given} if isinstance(given, str) else given
    uses = {key: _wanted(other) for key, other in given.get("uses", {}).items()}
    return Wanted(given["model"], {**given.get("train", {}), **(train or {})}, uses)


def _files() -> dict[str, Path]:
    """name -> file; those of the working directory go over the package's own."""
    return {path.stem: path for folder in folders("properties") for path in sorted((folder / "study").glob("*.yaml"))}
