"""The layers of settings that are files: which ones a run reads, and in which order they lie over each other."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from recbole_specgr.settings import schema
from recbole_specgr.settings.own_classes import check_own_settings
from recbole_specgr.settings.precedence import Layer, deep_merge, expand_dotted
from recbole_specgr.settings.registry import ModelEntry, resolve
from recbole_specgr.settings.resources import folders, package_folder
from recbole_specgr.settings.schema import read_schema, schema_beside
from recbole_specgr.settings.yaml_values import as_lists, read_mapping
from recbole_specgr.system.errors import UserError


def property_layers(entry: ModelEntry, dataset: str, data_folder: Path, user_layers: list[Layer]) -> list[Layer]:
    """The files of a model on a data set, lowest first: what all share, the data set's, the backbone's, the model's.

    Args:
        data_folder: of the data set, whose `<dataset>.yaml` the importer wrote.
        user_layers: what lies above these files and may name another backbone.
    """
    own = data_folder / f"{dataset}.yaml"
    dataset_files = [path for path in (own, *property_files(f"dataset/{dataset}")) if path.is_file()]
    of_model = model_layers(entry, dataset)
    return [
        *(_usual(layer_of_file(path, declares=index == 0)) for index, path in enumerate(property_files("overall"))),
        *(layer_of_file(path) for path in dataset_files),
        *backbone_layers(of_model, user_layers, dataset, (entry.name,)),
        *of_model,
    ]


def recbole_types(settings: Collection[str]) -> dict[str, Any]:
    """Name -> JSON Schema of those `settings` that a model of RecBole's own has beyond what all models share."""
    declared = read_schema(folders("properties")[0] / "recbole_models.schema.json")
    return {key: declared[key] for key in declared if key in settings}


def check_names(layer: Layer) -> None:
    """Raise UserError where the layer's model, data set or folder of data is no text: which of the other files are read
    depends on them."""
    declared = schema_beside(property_files("overall")[0])
    for key in ("model", "dataset", "data_path"):
        if key in layer.values:
            schema.checked(key, layer.values[key], declared[key], layer.source)


def layer_of(values: dict[str, Any], source: str, declares: bool = False) -> Layer:
    """Settings as they were written, with dotted keys expanded and Python's other sequences as lists."""
    return Layer(source, expand_dotted({key: as_lists(value) for key, value in values.items()}, source), declares)


def layer_of_file(path: Path, declares: bool = False) -> Layer:
    """The settings in a YAML file; where it declares them, with the types in the schema beside it."""
    layer = layer_of(read_mapping(path), str(path), declares)
    return replace(layer, types=schema_beside(path)) if declares else layer


def model_layers(entry: ModelEntry, dataset: str) -> list[Layer]:
    """The property files of a model, then its baseline file where it is a baseline, then what is tuned for it; what is
    tuned for the model that a baseline is based on lies below the baseline's file."""
    base_model = settings_name(entry.model_class)
    # Whoever writes a model writes its property file, so a model file of the working directory may declare.
    layers = [_usual(layer_of_file(path, declares=True)) for path in property_files(f"model/{base_model}")]
    if entry.baseline_file is None:
        # Of a finished run the baseline's file is not read, which alone declares the settings of a class of one's own.
        of_own_class = ":" in (entry.base or "")
        return layers if of_own_class else layers + tuned_layers(base_model, dataset)
    if entry.name != base_model:
        layers += tuned_layers(base_model, dataset)
    layers.append(_baseline_layer(entry, entry.baseline_file, layers))
    return layers + tuned_layers(entry.name, dataset)


def settings_name(model_class: type) -> str:
    """The name that the property files, ours and RecBole's, have a class's settings under: its own or, where it has no
    file, that of the nearest class above it that has one. A class that derives from a model has the model's settings.
    """
    names = [one.__name__ for one in model_class.__mro__]
    return next((name for name in names if property_files(f"model/{name}") or recboles_file(name).is_file()), names[0])


def recboles_file(model: str) -> Path:
    """Where RecBole's own property file of a model of that name is, if it has one."""
    return package_folder("recbole") / "properties" / "model" / f"{model}.yaml"


def tuned_layers(model: str, dataset: str) -> list[Layer]:
    """What is tuned for a model of that name on a data set."""
    return [layer_of_file(path) for path in property_files(f"tuned/{dataset}/{model}")]


def _baseline_layer(entry: ModelEntry, file: Path, below: list[Layer]) -> Layer:
    """The settings of a baseline's file. With a class of one's own the file declares what the class reads beyond the
    settings that all models share."""
    layer = layer_of(entry.baseline, str(file))
    for key in ("model", "dataset"):
        if key in layer.values:
            raise UserError(
                f"[{key}: {layer.values[key]}] in {file} would have no effect: a baseline is the model that [base] "
                f"names, on any data set. Give --{key} to the command."
            )
    if entry.base is None or ":" not in entry.base:
        return layer
    known = {*overall_settings(), *schema_beside(property_files("overall")[0]), *merged(below)}
    types = schema_beside(file)
    check_own_settings(layer, entry.model_class, known, types)
    return replace(layer, declares=True, types=types)


def backbone_layers(built: list[Layer], over: list[Layer], dataset: str, above: tuple[str, ...]) -> list[Layer]:
    """The settings of the model that `backbone` names; they lie below those of the model that is built on it.

    Args:
        built: of the model that is built on it. They must declare the key.
        over: layers that may name another backbone.
        above: the names of the models that are built on it.
    """
    if not any(layer.declares and "backbone" in layer.values for layer in built):
        return []
    for layer in (*built, *over):
        if "backbone" in layer.values:
            schema.checked("backbone", layer.values["backbone"], {"type": "string"}, layer.source)
    entry = resolve(merged([*built, *over])["backbone"])
    if entry.name in above:
        raise UserError(f"[backbone: {entry.name}] goes round in a circle: {' on '.join([*above, entry.name])}.")
    layers = model_layers(entry, dataset)
    lent = [
        replace(layer, values={key: layer.values[key] for key in layer.values if key not in ("stages", "tune")})
        for layer in layers
    ]
    return backbone_layers(layers, [], dataset, (*above, entry.name)) + lent


def tuning_grid(layers: list[Layer]) -> dict[str, list[Any]] | None:
    """The grid of `tune`, without what a higher layer sets itself: a choice that was made is not tuned away. A layer
    whose `tune` is empty leaves nothing to tune."""
    grid: dict[str, Any] = {}
    for layer in layers:
        kept = {} if not layer.values.get("tune", True) else grid
        grid = {key: kept[key] for key in kept if key not in layer.values} | (layer.values.get("tune") or {})
    return {key: values for key, values in grid.items() if values is not None} or None


def property_files(name: str) -> list[Path]:
    """The property files of that name: the package's own, then the working directory's, which goes over it."""
    return [file for folder in folders("properties") if (file := folder / f"{name}.yaml").is_file()]


def _usual(layer: Layer) -> Layer:
    """The layer, marked as usual where it is a file of the package itself and not of the working directory."""
    return replace(layer, usual=Path(layer.source).is_relative_to(folders("properties")[0]))


def overall_settings() -> dict[str, Any]:
    """What all models share: overall.yaml, and that of the working directory over it."""
    return merged([layer_of_file(path) for path in property_files("overall")])


def merged(layers: list[Layer]) -> dict[str, Any]:
    """The layers' values, unchecked, a later layer over an earlier one."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = deep_merge(values, layer.values)
    return values
