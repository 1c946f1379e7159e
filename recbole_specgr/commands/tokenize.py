"""`recbole-specgr tokenize`: fit tokenizers on a data set, report how good their ids are, keep ids for every model."""

import json
import time
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np
from recbole.data.dataset import Dataset
from recbole.utils import init_seed

from recbole_specgr.building.collaborative import collaborative_of
from recbole_specgr.commands.usage import program
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.leaderboard.semantic_ids_page import comparison, text_report, write_page
from recbole_specgr.runs.unread import tell_of_other_tokenizers
from recbole_specgr.semantic_ids import health, quality
from recbole_specgr.semantic_ids.fit import REPORT, MadeIds, make_ids, take_ids
from recbole_specgr.semantic_ids.table_files import write_csv
from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.settings.named_classes import TOKENIZER, names_of, tokenizer_class
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.log import run_log
from recbole_specgr.text.features import load_text_features

USAGE = """\
usage: {program} --dataset=NAME [--tokenizer=METHOD] [--out=DIR] [--KEY=VALUE ...]

Fits a tokenizer on the items of the training data, encodes all items, reports how good the ids are, and writes to DIR
  semantic_ids.npz   the ids, for --semantic_ids=DIR of any model     tokenizer.npz      encodes further items
  semantic_ids.csv   the same as a table                              semantic_ids.json  the report
  report.html        the report with its plots

  --dataset=NAME          ml-100k when not given
  --tokenizer=METHOD      {methods}; several (M,M,...) or all: one
                          folder of DIR each, and a table that compares them
  --semantic_ids=PATH     report on ids made before or elsewhere; nothing is fitted
  --out=DIR               runs/<dataset>/semantic_ids/<method> when not given
  --model=NAME            whose settings apply (TIGER when not given)
  --KEY=VALUE             any setting, such as --tokenizer.codebook_size=128 or --text_encoder=FILE.npz

examples:
  {program} --dataset=ml-100k --tokenizer=rqkmeans
  {program} --dataset=ml-100k --tokenizer=all
"""


def run(words: list[str]) -> int:
    """0, or 1 where a tokenizer collapsed."""
    arguments = parse(words)
    if "help" in arguments.switches:
        print(USAGE.format(program=program("tokenize"), methods=", ".join(names_of(TOKENIZER))), end="")
        return 0
    settings = dict(arguments.settings)
    out, methods = settings.pop("out", None), settings.pop("tokenizer", None)
    names = _methods(methods)
    if names:  # so that the settings of a tokenizer of one's own are known
        settings["tokenizer.method"] = names[0]
    config = Config(
        arguments.model or "TIGER",
        arguments.dataset,
        arguments.config_files,
        Settings(settings, "the command line"),
    )
    with run_log(leads=True):
        tell_of_other_tokenizers(config, names or [config["tokenizer"]["method"]])
        dataset = _Data.load(config)
        results = {}
        for name in names or [""]:  # none: the settings' own, or the ids that they give
            if name:
                config["tokenizer"]["method"] = name
            label = "given" if config["semantic_ids"] else config["tokenizer"]["method"]
            folder = Path(out) if out else Path(config["runs_path"], config["dataset"], "semantic_ids", label)
            results[label] = _work(config, dataset, label, folder / label if out and len(names) > 1 else folder)
    if len(results) > 1:
        print(f"\n{comparison(results)}")
    return int(any(report["collapse"] for report in results.values()))


def _methods(given: object) -> list[str]:
    """The methods that `--tokenizer` names; none where it was not given."""
    if given is None:
        return []
    if given == "all":
        return names_of(TOKENIZER)
    names = [str(name).strip() for name in (given if isinstance(given, list) else str(given).split(","))]
    for name in names:
        tokenizer_class(name)  # an unknown one is an error before the first is fitted
    return names


@dataclass
class _Data:
    """The items that ids are made for.

    Attributes:
        dataset: the train view.
        features: float32 [n_items, d].
        neighbours: of seen items; None for too few items.
        neighbours_of_unseen: of unseen items, among the seen ones; None where there are none.
    """

    dataset: Dataset
    features: np.ndarray
    neighbours: quality.Neighbours | None
    neighbours_of_unseen: quality.Neighbours | None

    @classmethod
    def load(cls, config: Config) -> "_Data":
        init_seed(config["seed"], config["reproducibility"])
        dataset = InductiveDataset(config)
        config.follow_data(dataset.size)
        train = dataset.build()[0]
        features = load_text_features(config, train)
        users, items, _ = train.train_interactions
        seen = np.asarray(train.seen, dtype=bool)
        of_seen, of_unseen = (
            quality.Neighbours.of(features, seen, users, items, config["seed"], unseen=unseen)
            for unseen in (None, ~seen)
        )
        return cls(train, features, of_seen, of_unseen)


def _work(config: Config, data: _Data, label: str, folder: Path) -> dict:
    """Make (or take) the ids, measure them, print and keep what came out."""
    started = time.perf_counter()
    if config["semantic_ids"]:
        made = take_ids(config, data.dataset, data.features)
    else:
        made = make_ids(config, data.dataset, data.features, collaborative_of(config, data.dataset))
    report = {"dataset": config["dataset"], "ids": label, "levels_and_codes": list(made.ids.level_sizes)}
    report |= {"seconds": time.perf_counter() - started} | made.report | _quality(made, data)
    try:
        health.check(made.report, config["tokenizer"]["min_utilisation"])
        report["collapse"] = None
    except health.CollapsedTokenizer as error:
        report["collapse"] = str(error)
    print(f"\n{text_report(report)}")
    if report["collapse"]:
        getLogger().error(f"{report['collapse']} Only the report is kept.")
    else:
        made.save(folder)
        write_csv(made.ids, folder / "semantic_ids.csv")
    with atomic_write(folder / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_page(folder / "report.html", report, made.ids)
    print(f"\n{folder / 'report.html'}")
    if not report["collapse"]:
        print(f"Train on these ids: --semantic_ids={folder}")
    return report


def _quality(made: MadeIds, data: _Data) -> dict:
    """Reconstruction and neighbours, as far as they can be told."""
    seen = np.asarray(data.dataset.seen, dtype=bool)
    keys = ("reconstruction", "prefixes", "neighbours", "neighbours_of_unseen", "use_in_text")
    found: dict = dict.fromkeys(keys)
    if made.tokenizer is not None:
        found["reconstruction"] = quality.reconstruction_errors(made.tokenizer, made.ids, data.features, seen)
    if data.neighbours is not None:
        found["prefixes"] = data.neighbours.by_prefix(made.ids)
        found["use_in_text"] = data.neighbours.of_use_in_text()
        if made.tokenizer is not None:
            found["neighbours"] = data.neighbours.in_code_space(made.ids, made.tokenizer)
    if data.neighbours_of_unseen is not None and made.tokenizer is not None:
        found["neighbours_of_unseen"] = data.neighbours_of_unseen.in_code_space(made.ids, made.tokenizer)
    return found
