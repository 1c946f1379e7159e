"""RecBole's parameter file -> what may be tried.

One parameter a line, `name type range`; blank lines and what follows a `#` are left out:

    learning_rate loguniform -8,-4        # e^-8 to e^-4
    dropout_prob uniform 0.0,0.5
    train_batch_size quniform 128,1024,128
    hidden_size choice [64,128,256]
    tokenizer.levels choice [2,3,4]
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from recbole_specgr.settings.yaml_values import parse_value
from recbole_specgr.system.errors import UserError, did_you_mean

# Settings that say which rows are validated, from which histories and by which results: trials of other values of these
# have scores that can't be compared, and the best one would be the one that was measured most gently.
OF_WHAT_IS_MEASURED = {
    *("valid_metric", "metrics", "topk", "valid_rows", "repeatable", "eval_args", "seed"),
    *("dataset", "data_path", "split", "timestamp_split", "launch_holdout", "MAX_ITEM_LIST_LENGTH"),
    *("filter_inter_by_user_or_item", "user_inter_num_interval", "item_inter_num_interval", "val_interval"),
    *("rm_dup_inter", "repeats_removed", "normalize_all", "normalize_field", "encoding"),
    *("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "field_separator", "benchmark_filename"),
}


@dataclass(frozen=True)
class Space:
    """What may be tried.

    Attributes:
        text: the parameters as they were written, for reports.
        distributions: name -> optuna's distribution; choices are JSON texts, because optuna takes plain ones only.
    """

    text: list[str]
    distributions: dict[str, BaseDistribution]

    def settings(self, sampled: dict[str, Any]) -> dict[str, Any]:
        """The setting's values of what optuna sampled."""
        choices = {name for name, kind in self.distributions.items() if isinstance(kind, CategoricalDistribution)}
        return {name: json.loads(value) if name in choices else value for name, value in sampled.items()}

    def sampled(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """What optuna would have sampled for these settings; None where one of them lies outside."""
        found = {}
        for name, kind in self.distributions.items():
            value = settings[name]
            if isinstance(kind, CategoricalDistribution):
                value = next((choice for choice in kind.choices if _same(json.loads(str(choice)), value)), None)
            if value is None or not _contains(kind, value):
                return None
            found[name] = value
        return found

    def first(self) -> dict[str, Any]:
        """The first choice or lowest value of each parameter, as optuna samples it."""
        return {
            name: kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low
            for name, kind in self.distributions.items()
        }

    def each(self) -> Iterator[dict[str, Any]]:
        """What is to be checked before anything runs, as optuna samples it: every choice, and both ends of every range
        with a value between them, each with the first value of the other parameters."""
        for name, kind in self.distributions.items():
            values = kind.choices if isinstance(kind, CategoricalDistribution) else _of_range(kind)
            yield from ({**self.first(), name: value} for value in values)

    def combinations(self) -> list[dict[str, Any]] | None:
        """All there is to try, as optuna samples it; None when there is no end to it."""
        kinds = self.distributions.values()
        if not all(isinstance(kind, CategoricalDistribution) for kind in kinds):
            return None
        return [dict(zip(self.distributions, values)) for values in product(*(kind.choices for kind in kinds))]


def read_space(file: Path) -> Space:
    """Read a parameter file. Raises UserError that names the line which is no parameter."""
    try:
        written = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"[params_file: {file}] can't be read: {error}.") from error
    text, distributions = [], {}
    for number, line in enumerate(written, 1):
        words = line.partition("#")[0].split(maxsplit=2)
        if not words:
            continue
        where = f"line {number} of {file}"
        if len(words) < 3:
            raise UserError(f"{where} must be `name type range`, such as `learning_rate loguniform -8,-4`.")
        name, kind, values = words
        if kind not in KINDS:
            raise UserError(f"{where}: [{kind}] is none of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
        if measured := OF_WHAT_IS_MEASURED.intersection(name.split(".")):
            raise UserError(
                f"{where}: [{measured.pop()}] says what is measured, so it can't be searched: trials of other values "
                f"have scores that can't be compared. Give one value to all: --{name}=VALUE"
            )
        if name in distributions:
            raise UserError(f"{where} names [{name}] a second time.")
        distributions[name] = KINDS[kind](values.strip(), where)
        text.append(f"{name} {kind} {values.strip()}")
    if not distributions:
        raise UserError(f"[params_file: {file}] names no parameter.")
    return Space(text, distributions)


def _choice(values: str, where: str) -> BaseDistribution:
    choices = parse_value(values, where)
    if not isinstance(choices, list) or not choices:
        raise UserError(f"{where}: a choice is among a list, such as [64,128], but is [{values}].")
    return CategoricalDistribution([json.dumps(choice) for choice in choices])


def _uniform(values: str, where: str) -> BaseDistribution:
    return FloatDistribution(*_numbers(values, 2, where))


def _quniform(values: str, where: str) -> BaseDistribution:
    low, high, step = _numbers(values, 3, where)
    if step <= 0:
        raise UserError(f"{where}: the step of [{values}] must be above 0.")
    return FloatDistribution(low, low + step * math.floor((high - low) / step + 1e-9), step=step)


def _loguniform(values: str, where: str) -> BaseDistribution:
    low, high = _numbers(values, 2, where)
    return FloatDistribution(math.exp(low), math.exp(high), log=True)


#: RecBole's types of a range, which are hyperopt's.
KINDS: dict[str, Callable[[str, str], BaseDistribution]] = {
    "choice": _choice,
    "uniform": _uniform,
    "quniform": _quniform,
    "loguniform": _loguniform,
}


def _numbers(values: str, count: int, where: str) -> list[float]:
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)) or not numbers[0] < numbers[1]:
        raise UserError(
            f"{where}: the range must be {'low,high' if count == 2 else 'low,high,step'}, but is [{values}]."
        )
    return numbers


def _of_range(kind: FloatDistribution) -> tuple[float, ...]:
    """Both ends of a range, and of one without steps a value between them that is no whole number."""
    if kind.step is not None:
        return kind.low, kind.low + kind.step, kind.high
    between = kind.low + (kind.high - kind.low) / math.pi
    return kind.low, between, kind.high


def _same(one: Any, other: Any) -> bool:
    """Equal, as 0 and 0.0 are; but True is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _contains(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    steps = 0.0 if kind.step is None else (value - kind.low) / kind.step
    return kind.low <= value <= kind.high and abs(steps - round(steps)) < 1e-9
