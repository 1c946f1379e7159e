"""RecBole's Config with our layers, YAML values and no surprises.

Lowest to highest: RecBole's own files, `properties/overall.yaml`, the `<D>.yaml` beside the data, `properties/`:
`dataset/<D>.yaml`, `model/<M>.yaml`; the baseline's file, `properties/tuned/<D>/<M>.yaml` (that of the model that a
baseline is based on lies below the baseline's file), `config_file_list`, `config_dict`. The command line hands its
`--key=value` in as the last: a Config never looks at `sys.argv`.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.config import Config as RecBoleConfig
from recbole.utils import InputType

from recbole_specgr.settings import schema
from recbole_specgr.settings.checks import (
    check_extra_files,
    check_item_columns,
    check_model_class,
    check_reading,
    check_values,
)
from recbole_specgr.settings.datasets import find_dataset
from recbole_specgr.settings.device import find_device
from recbole_specgr.settings.eval_args import check_eval_args, with_split
from recbole_specgr.settings.file_digests import FILE_DIGESTS, file_digest, naming_files
from recbole_specgr.settings.following import following
from recbole_specgr.settings.foreign import left_out, without_foreign
from recbole_specgr.settings.layer_files import (
    check_names,
    layer_of,
    merged,
    overall_settings,
    property_layers,
    recbole_types,
    recboles_file,
    settings_name,
    tuning_grid,
)
from recbole_specgr.settings.named_classes import bigger_is_better, split_class
from recbole_specgr.settings.older_runs import BEFORE_THE_SETTING
from recbole_specgr.settings.own_classes import words_of
from recbole_specgr.settings.own_code import code_digests
from recbole_specgr.settings.own_tokenizer import own_tokenizer_settings
from recbole_specgr.settings.precedence import Layer, deep_merge, kind_of, stack, types_of
from recbole_specgr.settings.precision import choose_precision, slow_precision
from recbole_specgr.settings.presets import DataSize, dotted, follow_data, look_up, open_keys, put
from recbole_specgr.settings.recbole_limits import within_recboles_limits
from recbole_specgr.settings.registry import ModelEntry, base_class, resolve
from recbole_specgr.settings.yaml_values import Loader, plain, read_mapping
from recbole_specgr.system.compat import alias_numpy
from recbole_specgr.system.errors import UserError

# What is derived anew from the other settings on whatever machine a run is loaded.
DERIVED = {
    "MODEL_TYPE",
    "MODEL_INPUT_TYPE",
    "eval_type",
    "eval_args",
    "valid_metric_bigger",
    "valid_neg_sample_args",
    "test_neg_sample_args",
    "device",
    "single_spec",
    "rank",
    "local_rank",
    "world_size",
    "verbose",
}
# What a loss that compares pairs draws where nothing else is said; RecBole's defaults, written out.
ONE_NEGATIVE = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
# What a model that is made of others never shares with them: what it is, where it is kept, how it is trained and tuned.
OWN = {"model", "base", "base_model", "display_name", "group", "dataset", "backbone"}
OWN |= {"run_dir", "checkpoint_dir", "trained_run", "stages", "tune"}
# What decides which histories and targets there are: a model and its parts read the same.
OF_HISTORIES = (
    *("MAX_ITEM_LIST_LENGTH", "split", "timestamp_split", "launch_holdout", "valid_rows", "val_interval"),
    *("filter_inter_by_user_or_item", "user_inter_num_interval", "item_inter_num_interval"),
)


class Settings(dict):
    """A config_dict that says where it came from, for error messages."""

    def __init__(self, values: dict[str, Any], source: str):
        super().__init__(values)
        self.source = source


class Config(RecBoleConfig):
    """Every setting of a run, by `config["key"]`.

    `config["model"]` is the model's canonical name (a baseline keeps its own), `config["base_model"]` the name of the
    class that is built, `config["display_name"]` and `config["group"]` how tables call and sort it, `config["stages"]`
    the ordered stages with what each overrides.

    Args:
        model: a name (see `settings.registry`) or a class; None takes `model` from the files or `config_dict`.
        dataset: a data set's name; None takes `dataset` from there.
        config_file_list: YAML files.
        config_dict: settings; dotted keys reach into groups.
        settings: what `to_dict` returned; takes the place of all property and baseline files.
        trained: settings of the run that `trained_run` names, by dotted names; they lie over all files but those of the
            user, and no preset changes them.

    Raises:
        UserError: an unknown model, data set or setting, or a value that can't be.
    """

    # RecBole's own attributes that its steps fill and ours change.
    parameters: dict[str, list[str]]
    internal_config_dict: dict[str, Any]

    def __init__(
        self,
        model: str | type | None = None,
        dataset: str | None = None,
        config_file_list: list[str] | None = None,
        config_dict: dict[str, Any] | None = None,
        *,
        settings: dict[str, Any] | None = None,
        trained: dict[str, Any] | None = None,
    ):
        self._settings = settings
        self._trained = trained or {}
        self._untrained: dict[str, Any] = {}  # the settings without those of the run that `trained_run` names
        self._types: dict[str, Any] = {}  # name -> JSON Schema of the settings that have one
        self._given: list[str] = []  # the settings that a preset does not change
        self.size: DataSize | None = None  # of the data, once it is known
        self.preset_changes: dict[str, tuple[Any, Any]] = {}
        self._user_layers: list[Layer] = []
        self._digests: dict[str, tuple[str, str | None]] = {}  # of files: setting -> what it names, and the digest
        self._code: dict[str, tuple[Any, str]] | None = None  # the same of the user's classes, once it is asked for
        self._read = {"backbone"}  # names of settings that were read; this one says which property files are
        self._usual: Mapping[str, Any] = {}  # of settings that change nothing although RecBole's code reads them
        self._lender: tuple[Config, Collection[str]] | None = None  # of a part: the whole, and what comes from it
        self._borrowers: list[Config] = []  # of a whole: the parts that it has lent to
        super().__init__(model, dataset, config_file_list, config_dict)

    @classmethod
    def from_dict(cls, settings: dict[str, Any], config_dict: dict[str, Any] | None = None) -> "Config":
        """The Config that `to_dict` was called on, on this machine; `config_dict` overrides (`data_path`, `gpu_id`)."""
        return cls(settings["model"], settings["dataset"], config_dict=config_dict, settings=settings)

    def __getitem__(self, item: str) -> Any:
        self._note(item)
        return super().__getitem__(item)

    def __getattr__(self, item: str) -> Any:
        value = super().__getattr__(item)  # RecBole reads some settings so
        self._note(item)
        return value

    def _note(self, name: str) -> None:
        self._read.add(name)
        if self._lender is not None and name in self._lender[1]:
            self._lender[0]._note(name)

    @contextmanager
    def noting_reads(self) -> Iterator[set[str]]:
        """Yield a set that gets the names of the settings that are read meanwhile."""
        earlier, self._read = self._read, set()
        try:
            yield self._read
        finally:
            self._read = self._read | earlier

    def given(self) -> dict[str, str]:
        """The settings that came in files and words of the user, by dotted names, and where each came from."""
        return {name: layer.source for layer in self._user_layers for name in dotted(layer.values)}

    def chosen(self) -> set[str]:
        """The settings, by dotted names, that the user gives or the baseline's own file."""
        return {*self.given(), *dotted(layer_of(self._entry.baseline, "the baseline's file").values)}

    def give_back(self, names: Iterable[str]) -> dict[str, Any]:
        """Let settings that were taken from the run that `trained_run` names have the values that they have without it.

        Args:
            names: of settings, of which some may have been taken.

        Returns:
            The values of those that were.
        """
        own = {name: self._untrained[name] for name in names if name in self._trained}
        self.final_config_dict.update(own)
        return own

    def was_read(self, name: str) -> bool:
        """Somebody has asked for the setting, or for the group that it is in, since there is this Config. Of what it
        lends to its parts, they may have asked. A setting that `has_no_effect` does not count as read."""
        return name.partition(".")[0] in self._read and not self.has_no_effect(name)

    def without_effect(self, usual: Mapping[str, Any]) -> None:
        """Let it be known that these settings change nothing, although RecBole's code asks for them.

        Args:
            usual: their names, each with its usual value, which misleads nobody.
        """
        self._usual = usual

    def has_no_effect(self, name: str) -> bool:
        """The setting is one of `without_effect`, of another value than is usual, and the model's own code does not
        name it."""
        top = name.partition(".")[0]
        unusual = top in self._usual and self.final_config_dict[top] != self._usual[top]
        return unusual and top not in words_of(self._entry.model_class)

    def tokenizer_methods(self) -> set[str]:
        """The tokenizers that this model's settings and those of its parts name; none of its own where ids or codebooks
        are given, so that none is fitted. To ask is not to read them."""
        parts = {method for part in self._borrowers for method in part.tokenizer_methods()}
        group = self.final_config_dict["tokenizer"]
        given = self.final_config_dict["semantic_ids"] or group.get("codebooks")
        return parts if given else {str(group["method"]), *parts}

    @property
    def of_a_run(self) -> bool:
        """These are the settings of a run that was begun before, for which files that it names need not be there."""
        return self._settings is not None

    def type_of(self, name: str) -> dict[str, Any]:
        """The JSON Schema of a setting; of one that no schema declares, that of its value's kind."""
        return self._types.get(name) or kind_of(self.final_config_dict.get(name))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data for YAML, without what depends on the machine; `from_dict` takes it back."""
        values = {key: plain(value) for key, value in self.final_config_dict.items() if key not in DERIVED}
        values["data_path"] = self._data_root
        if values["train_neg_sample_args"]["distribution"] == "none":
            values["train_neg_sample_args"] = None
        values.pop(FILE_DIGESTS, None)
        digests = self._file_digests()
        return values | ({FILE_DIGESTS: digests} if digests else {})

    def changed_code(self) -> dict[str, tuple[str, str]]:
        """The settings whose classes, the user's own, have other code now than when this run was begun: both digests of
        each. Runs of earlier versions did not keep them."""
        known = (self._settings or {}).get(FILE_DIGESTS) or {}
        now = self._code_digests()
        return {
            f"code of {look_up(self.final_config_dict, name)}": (known[name], now[name][1])
            for name in known.keys() & now.keys()
            if known[name] != now[name][1] and now[name][0] == look_up(self._settings or {}, name)
        }

    def _code_digests(self) -> dict[str, tuple[Any, str]]:
        if self._code is None:
            self._code = code_digests(self.final_config_dict, self._entry.model_class)
        return self._code

    def _file_digests(self) -> dict[str, str]:
        """The digests of the files that settings name, and of the code of classes of the user's own: of a run that was
        begun before, those that it was begun with, except where a setting names something else now."""
        final, saved = self.final_config_dict, self._settings or {}
        known = saved.get(FILE_DIGESTS) or {}
        found: dict[str, str | None] = {}
        for name in naming_files(final):
            value = look_up(final, name)
            if self.of_a_run and value == look_up(saved, name):
                found[name] = known.get(name)
                continue
            if self._digests.get(name, (None,))[0] != value:  # read once: what is written there later is no input
                self._digests[name] = value, file_digest(name, value, self._data_folder)
            found[name] = self._digests[name][1]
        for name, (value, digest) in self._code_digests().items():
            begun_with_it = self.of_a_run and value == look_up(saved, name)
            found[name] = known.get(name) if begun_with_it else digest
        return {name: digest for name, digest in found.items() if digest is not None}

    def check_data(self) -> None:
        """Raise UserError where the data set is not there, which a Config of a finished run bears."""
        find_dataset(self.dataset, self._data_root)

    def part(self, model: str, settings: dict[str, Any], source: str, inherits: bool = False) -> "Config":
        """The Config of a model that this run's model is made of.

        It has this run's data, text, evaluation and environment. How it is built and trained stands in its own files.

        Args:
            model: its name.
            settings: over its own files.
            source: where these come from, for error messages.
            inherits: take every setting it knows from this run (whose `backbone` it is), except stages.

        Raises:
            UserError: a setting that this run does not have, or one of the histories with another value than here.
        """
        for key in OF_HISTORIES:
            if key in settings and settings[key] != self.final_config_dict[key]:
                raise UserError(
                    f"{source}: [{key}: {settings[key]}] can't be another than the whole's, which is "
                    f"[{self.final_config_dict[key]}]: a model and its parts read the same histories. Set it for the "
                    f"whole: --{key}={settings[key]}"
                )
        theirs = self.shared_settings()
        if inherits:
            known = Config(model, self.dataset, config_dict=theirs).final_config_dict.keys() - OWN
            theirs = {key: value for key, value in self.to_dict().items() if key in known}
        part = Config(model, self.dataset, config_dict=Settings(deep_merge(theirs, settings), source))
        part._lender = self, theirs.keys()
        self._borrowers.append(part)
        if self.size is not None:
            part.follow_data(self.size)
        return part

    def follow_data(self, size: DataSize) -> None:
        """Let the preset set what follows from the size of the data; `preset_changes` says what it changed. The
        settings of a finished or interrupted run stay as they are."""
        final, self.size = self.final_config_dict, size
        if self._settings is None:
            self.preset_changes = follow_data(final["preset"], final, self._given, size)
            for key, (_, value) in self.preset_changes.items():
                put(final, key, value)

    @property
    def follows_data(self) -> set[str]:
        """The settings, by dotted names, that `follow_data` may change."""
        final = self.final_config_dict
        return set() if self._settings is not None else set(open_keys(final["preset"], final, self._given))

    def shared_settings(self) -> dict[str, Any]:
        """The settings that a model and its parts have in common: data, text, evaluation and environment."""
        names = {name for category in ("General", "Evaluation", "Dataset") for name in self.parameters[category]}
        names |= overall_settings().keys()
        names -= {*self.parameters["Training"], *OWN, "tokenizer", "warmup_steps", "schedule", "train_on"}
        return {key: value for key, value in self.to_dict().items() if key in names}

    def _named(self, name: str) -> str:
        """A `display_name` with the settings that it names in braces put in: `SpecGR ({drafter}, {backbone})`."""
        if "{" not in name:
            return name
        try:
            return name.format_map(self.internal_config_dict)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise UserError(
                f"[display_name: {name}] names {error} in braces, which is no setting of [{self._entry.name}]."
            ) from error

    # RecBole's steps, in the order its __init__ takes them.

    def compatibility_settings(self) -> None:
        alias_numpy()

    def _init_parameters_category(self) -> None:
        super()._init_parameters_category()
        # RecBole appends to these lists, which are its modules' own: one config would leak into the next.
        self.parameters = {category: list(names) for category, names in self.parameters.items()}

    def _build_yaml_loader(self) -> type:
        return Loader

    def _load_config_files(self, file_list: list[str] | None) -> dict[str, Any]:
        if isinstance(file_list, (str, Path)):
            file_list = [file_list]
        layers = [layer_of(read_mapping(Path(file)), str(file)) for file in file_list or []]
        self._user_layers += layers
        return merged(layers)

    def _load_variable_config_dict(self, config_dict: dict[str, Any] | None) -> dict[str, Any]:
        source = config_dict.source if isinstance(config_dict, Settings) else "config_dict"
        layers = [layer_of(config_dict, source)] if config_dict else []
        self._user_layers += layers
        return merged(layers)

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _merge_external_config_dict(self) -> None:
        self.external_config_dict = merged(self._user_layers)

    def _get_model_and_dataset(self, model: str | type | None, dataset: str | None) -> tuple[str, type, str]:
        for layer in self._user_layers:
            check_names(layer)
        model = model or self.external_config_dict.get("model")
        if model is None:
            raise UserError("No model is named. Give --model=NAME (--list-models shows them all).")
        self._entry = self._resolve(model)
        check_model_class(self._entry.name, self._entry.model_class)
        overall = overall_settings()
        dataset = dataset or self.external_config_dict.get("dataset") or overall["dataset"]
        saved = self._settings or {}
        self._data_root = str(
            self.external_config_dict.get("data_path") or saved.get("data_path") or overall["data_path"]
        )
        try:
            self._data_folder = find_dataset(str(dataset), self._data_root)
        except UserError:
            if self._settings is None:
                raise
            self._data_folder = Path(self._data_root) / str(dataset)  # a finished run can be used without its data
        return self._entry.name, self._entry.model_class, str(dataset)

    def _resolve(self, model: str | type) -> ModelEntry:
        if isinstance(model, type):
            return ModelEntry(model.__name__, model, {})
        if self._settings is None:
            return resolve(model)
        # A finished run names its class itself: the baseline's file may have changed or gone since.
        base = self._settings.get("base")
        for key, name in (("base", base), ("base_model", self._settings.get("base_model"))):
            schema.checked(key, name, {"type": ["string", "null"]}, "the run's settings")
        found = base_class(base or self._settings["base_model"], "the run's settings")
        named, group = self._settings.get("display_name"), self._settings.get("group")
        return ModelEntry(model, found, {}, base=base, display_name=named, group=group)

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        base_model = model_class.__name__
        super()._load_internal_config_dict(settings_name(model_class), model_class, dataset)
        model_type = self.internal_config_dict.pop("MODEL_TYPE")
        known = {name for names in self.parameters.values() for name in names}
        taken = [layer_of(self._trained, "the run that [trained_run] names")] if self._trained else []
        layers = [
            Layer("RecBole", self.internal_config_dict, True, True, recbole_types(self.internal_config_dict), True),
            *property_layers(self._entry, dataset, self._data_folder, [*taken, *self._user_layers]),
        ]
        if self._settings is not None:
            there_or_derived = self._settings.keys() | DERIVED
            newer = {key: value for key, value in stack(layers, known).items() if key not in there_or_derived}
            newer |= {key: value for key, value in BEFORE_THE_SETTING.items() if key in newer}
            layers = [  # a run that was made before there was some setting has its default
                Layer("settings newer than the run", newer, True, True, types_of(layers)),
                Layer("the run's settings", self._settings, declares=True, open_groups=True),
            ]
        else:
            layers = own_tokenizer_settings([*layers, *taken, *self._user_layers]) + layers
        known |= {"model", "dataset", *(key for layer in layers if layer.declares for key in layer.values)}
        strict = merged([*layers, *self._user_layers])["strict"]
        of_user, self._left_out = without_foreign(self._user_layers, known, strict)
        files = [with_split(layer) for layer in layers]
        if taken:
            self._untrained = stack([*files, *of_user], known)
        layers = [*files, *taken, *of_user]
        self.internal_config_dict = stack(layers, known)
        self._types = types_of(layers)
        self._given = [key for layer in layers if not layer.usual for key in dotted(layer.values)]
        self.internal_config_dict |= following(self.internal_config_dict, self._given)
        split = split_class(self.internal_config_dict["split"])
        try:
            check_eval_args(layers, split.eval_args(self.internal_config_dict))
        except UserError as error:
            if strict:
                raise
            self._left_out.append(left_out(str(error)))
        tried = self.internal_config_dict["tune"]
        self.internal_config_dict["tune"] = {key: tried[key] for key in tuning_grid([*files, *of_user]) or ()} or None
        self.internal_config_dict.update(
            MODEL_TYPE=model_type,
            base_model=base_model,
            display_name=self._named(self._entry.display_name or self._entry.name),
            group=self._entry.group,
        )
        if self._entry.base is not None:
            self.internal_config_dict["base"] = self._entry.base

    def _get_final_config_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.internal_config_dict)

    def _set_default_parameters(self) -> None:
        final = self.final_config_dict
        final.update(model=self.model, dataset=self.dataset)
        final["eval_args"] = {**split_class(final["split"]).eval_args(final), "mode": "full"}
        check_values(final)
        # RecBole's own default for these is a column of ml-100k; the data set's file names its own.
        check_item_columns(final, self._model_keys() & {"selected_features", "item_attribute"})
        check_extra_files(final, self._data_folder)
        check_reading(final)
        with within_recboles_limits(final):
            super()._set_default_parameters()
        pairwise = final["MODEL_INPUT_TYPE"] == InputType.PAIRWISE or final.get("loss_type") == "BPR"
        if pairwise and final.get("train_neg_sample_args") is None:
            final["train_neg_sample_args"] = dict(ONE_NEGATIVE)
        final["data_path"] = str(self._data_folder)
        final["valid_metric_bigger"] = bigger_is_better(final["valid_metric"])

    def _model_keys(self) -> set[str]:
        """The settings that RecBole's property file of the model declares."""
        path = recboles_file(settings_name(self._entry.model_class))
        return set(read_mapping(path)) if path.is_file() else set()

    def _init_device(self) -> None:
        final = self.final_config_dict
        final.update(find_device(final["use_gpu"], final["gpu_id"], final["wait_minutes"]))
        choose_precision(final)
        if final["rank"]:
            final.update(state="error", show_progress=False, verbose=False, log_wandb=False)
            return
        for sentence in [*self._left_out, *slow_precision(final)]:
            getLogger().warning(sentence)
