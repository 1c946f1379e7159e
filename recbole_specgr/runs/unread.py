"""Settings that were given to a run and that nothing reads: they change nothing, and without a word nobody would know.

A Config knows which of its settings were asked for. When the model and its trainer are made, almost everything has been
read that ever will be, so most of this is known before training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from logging import getLogger

from recbole_specgr.runs.comparison import ENVIRONMENT
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.layer_files import overall_settings
from recbole_specgr.settings.named_classes import tokenizer_class
from recbole_specgr.settings.presets import look_up
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import from_first_process

COMMAND_LINE = "the command line"
OURS = __name__.partition(".")[0] + "."  # what the names of this package's modules begin with
# Settings that may be read for the first time once training has begun.
READ_IN_TRAINING = {
    "contrastive_batch_size",
    "precision",
    "schedule",
    "train_on",
    "tune",
    "tune_unseen_share",
    "unseen_history",
    "warmup_steps",
}


def unread(config: Config) -> dict[str, str]:
    """The given settings that nothing has read yet, by dotted names, and where each came from. What says only where and
    how a run runs is not among them: it changes no result, and a user may give it to every run."""
    methods = config.tokenizer_methods()
    return {
        name: source
        for name, source in config.given().items()
        if _top(name) in config
        and _top(name) not in ENVIRONMENT
        and (not config.was_read(name) or _of_other_tokenizer(config, name, methods))
    }


def check_given(config: Config, classes: Iterable[type], parts: Sequence[str] = ()) -> set[str]:
    """Tell of given settings that nothing in this model reads. To be called when the model and its trainer are made, by
    all processes.

    On the command line such a setting is an error: the line names one model, and a user who gives it
    `--ranking_index=HNSW32` would take exact lists for those of an index. One in a file, or handed in from Python, is a
    warning, for those are written once for several models; so is all of it with `strict: False`.

    It is all settings of this package's models. A class from elsewhere may read settings of its own at any time: of
    these, only what overall.yaml has is told of, and the rest is left to `unread` when the run ends.

    Args:
        classes: of the model and its parts.
        parts: names of the parts that the model is made of.

    Returns:
        The names that a warning told of.

    Raises:
        UserError: there is one on the command line.
    """
    usual = overall_settings()
    all_ours = all(one.__module__.startswith(OURS) for one in classes)
    found = {
        name: source
        for name, source in _unusual(config, unread(config)).items()
        if (all_ours or _top(name) in usual or config.has_no_effect(name)) and _top(name) not in READ_IN_TRAINING
    }
    # A process may take from a cache what another has computed, and so read fewer settings: the first one decides.
    found = from_first_process(found)
    typed = [name for name, source in found.items() if source == COMMAND_LINE]
    if typed and config["strict"]:
        said = _sentence(_reader(config, typed), typed, COMMAND_LINE)
        said += " Leave it out, or give --strict=False to go on without it."
        if parts:
            said += f" A part of {config['model']} has settings of its own: --{parts[0]}_settings.{typed[0]}=..."
        raise UserError(said)
    tell_of(config, found)
    return set(found)


def tell_of_other_tokenizers(config: Config, methods: Collection[str]) -> None:
    """Warnings of given settings of tokenizers that are none of `methods`, for who fits these without a model."""
    given = config.given().items()
    found = {name: source for name, source in given if _of_other_tokenizer(config, name, methods)}
    _warn(config, _unusual(config, found), f"tokenizer.method {' and '.join(methods)}")


def tell_of(config: Config, found: Mapping[str, str]) -> None:
    """A warning for each place that settings came from which nothing read. What is as it stands in overall.yaml is
    passed over: it misleads nobody."""
    found = _unusual(config, found)
    _warn(config, found, _reader(config, found))


def _warn(config: Config, found: Mapping[str, str], reader: str) -> None:
    for source in () if config["rank"] else sorted(set(found.values())):
        getLogger().warning(_sentence(reader, [name for name in found if found[name] == source], source))


def _reader(config: Config, names: Iterable[str]) -> str:
    """What does not read the settings, for a sentence: the model, and where its ids come from where that decides."""
    methods, model = config.tokenizer_methods(), config["model"]
    if not config.was_read("tokenizer") or not any(_of_other_tokenizer(config, name, methods) for name in names):
        return str(model)
    if methods:
        return f"{model} with tokenizer.method {' and '.join(sorted(methods))}"
    by = next(name for name in ("semantic_ids", "tokenizer.codebooks") if look_up(config.final_config_dict, name))
    return f"{model} with {by} {look_up(config.final_config_dict, by)}"


def _of_other_tokenizer(config: Config, name: str, methods: Iterable[str]) -> bool:
    """The setting is of a tokenizer's fit, and none of `methods` reads it; of the fit of any, where there are none."""
    top, _, inner = name.partition(".")
    group = _top(inner)
    if top != "tokenizer":
        return False
    if isinstance(look_up(config.final_config_dict, f"{top}.{group}"), dict):
        return all(group not in tokenizer_class(method).groups() for method in methods)
    kept = {"reserve", "min_utilisation", *(() if config.final_config_dict["semantic_ids"] else ("codebooks",))}
    return not methods and group not in kept


def _unusual(config: Config, found: Mapping[str, str]) -> dict[str, str]:
    """Those whose values are not those of overall.yaml."""
    usual, values = overall_settings(), config.final_config_dict
    return {
        name: source
        for name, source in found.items()
        if _top(name) not in usual or look_up(values, name) != look_up(usual, name)
    }


def _top(name: str) -> str:
    return name.partition(".")[0]


def _sentence(reader: str, names: list[str], source: str) -> str:
    named = ", ".join(f"[{name}]" for name in names)
    return f"{reader} does not read {named} from {source}: it has no effect."
