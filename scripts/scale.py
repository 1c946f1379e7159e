"""What a configuration takes of memory: python scripts/scale.py --model NAME ... [--items=N] [--setting=VALUE ...]

Everything that grows with items, users or interactions, tensor by tensor: what the data set and the model hold, and
what a training step and the ranking of a batch need beside it. The model is built twice on a small made-up catalogue,
and its growth is read off; nothing is trained. `--check` then builds it on 10,000, 100,000 and 1,000,000 items, ranks a
batch there, and compares. `--memory` says how many items fit. Settings are those of run_recbole.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]  # need no install

from scaling.data import Sizes, arrays  # noqa: E402
from scaling.model import Growth, Kept, kept_tensors, made_up, rank, ranking_growth, training_growth  # noqa: E402
from scaling.process import peak, resident  # noqa: E402
from tabulate import tabulate  # noqa: E402

from recbole_specgr.evaluation.ranking import SCORES_AT_ONCE  # noqa: E402
from recbole_specgr.settings.arguments import parse  # noqa: E402
from recbole_specgr.settings.config import Config  # noqa: E402

CHECKED = (10_000, 100_000, 1_000_000)
OF_A_PARAMETER = 4  # value, gradient, and AdamW's two moments


@dataclass(frozen=True)
class Account:
    """A configuration's memory as a function of the number of items.

    Attributes:
        kept: the model's tensors.
        training, ranking: the most that a step of `rows` rows and a batch of `users` users need beside them.
    """

    kept: list[Kept]
    training: Growth
    ranking: Growth
    users: int

    def tensors_at(self, items: int) -> float:
        """Bytes of the model's tensors."""
        return sum(tensor.fixed + tensor.per_item * items for tensor in self.kept)

    def training_at(self, items: int) -> float:
        """Bytes of the model while it is trained, its tensors, their gradients and moments with it."""
        state = sum((OF_A_PARAMETER - 1) * (t.fixed + t.per_item * items) for t in self.kept if t.trained)
        gradients = sum(t.fixed + t.per_item * items for t in self.kept if t.trained)
        return self.tensors_at(items) + state + max(self.training.at(items) - gradients, 0.0)

    def ranking_at(self, items: int) -> float:
        """Bytes of the model while a batch is ranked."""
        return self.tensors_at(items) + self.ranking.at(items, min(SCORES_AT_ONCE, self.users * items))

    def most_items(self, free: float, at: str) -> int:
        """The number of items up to which `training_at` or `ranking_at` is below `free` bytes, to three digits."""
        low, high = 0, 10**12
        while high - low > max(low, 1000) // 1000:
            middle = (low + high) // 2
            low, high = (middle, high) if getattr(self, f"{at}_at")(middle) <= free else (low, middle)
        return low


def account(config: Config, text_width: int, users: int, rows: int) -> Account:
    """Build the model small, and read off how it grows."""
    kept = kept_tensors(config, text_width)
    return Account(kept, training_growth(config, text_width, rows), ranking_growth(config, text_width, users), users)


def measured(arguments: tuple[str, dict, int, int, int]) -> float:
    """Bytes by which this process grows when the model is built on so many items and ranks a batch."""
    model, settings, items, text_width, users = arguments
    config = Config(model, "ml-100k", config_dict=settings)
    rank(*made_up(config, 100, text_width), config, 2)  # what torch needs for itself
    before = resident()
    built = made_up(config, items, text_width)
    rank(*built, config, users)
    return peak() - before


def data_report(sizes: Sizes) -> str:
    """The table of the data set's arrays."""
    rows = [
        (name, shape, _gb(size), "shared" if shared else "") for name, (shape, size, shared) in arrays(sizes).items()
    ]
    title = f"{sizes.interactions:,} interactions, {sizes.users:,} users, {sizes.items:,} items"
    return tabulate([*rows, ("all", "", _gb(_of_data(sizes)), "")], (title, "", "GB", "between processes"))


def model_report(found: Account, sizes: Sizes, memory: float | None) -> str:
    """The table of a model's tensors, of what it needs at work, and of how many items fit into `memory` GB."""
    rows = [
        (t.name, " x ".join(map(str, t.shape)), f"{t.per_item:,.0f}", _gb(t.fixed + t.per_item * sizes.items))
        for t in found.kept
        if t.per_item
    ]
    rest = sum(tensor.fixed for tensor in found.kept if not tensor.per_item)
    rows += [
        ("all other tensors", "", "", _gb(rest)),
        ("all, while it trains", "with gradients and moments", "", _gb(found.training_at(sizes.items))),
        ("all, while it ranks", "", "", _gb(found.ranking_at(sizes.items))),
    ]
    if memory:
        free = memory * 1e9 - _of_data(sizes)
        rows += [
            (f"{at} in {memory:g} GB", "beside the data set", "", f"up to {found.most_items(free, at):,} items")
            for at in ("training", "ranking")
        ]
    return tabulate(rows, ("tensor", "", "bytes an item", "GB"), disable_numparse=True)


def check(found: Account, model: str, settings: dict, numbers: Sequence[int], text_width: int) -> str:
    """The table of what is computed and what is measured, each number of items in a process of its own."""
    lines = []
    for items in numbers:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            real = pool.apply(measured, ((model, settings, items, text_width, found.users),))
        computed = found.ranking_at(items)
        lines.append((f"{items:,}", _gb(computed), _gb(real), f"{real / computed:.2f}"))
    return tabulate(lines, ("items", "computed, ranking, GB", "measured, GB", "measured / computed"))


def _of_data(sizes: Sizes) -> int:
    return sum(size for _, size, _ in arrays(sizes).values())


def _gb(size: float) -> str:
    return f"{size / 1e9:,.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, nargs="+")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--text-width", type=int, default=256, help="width of the items' text vectors")
    parser.add_argument("--memory", type=float, help="GB that there are")
    parser.add_argument("--check", type=int, nargs="*", help="measure at so many items (10,000, 100,000 and 1,000,000)")
    options, settings_words = parser.parse_known_args()
    settings = {"use_gpu": False, **parse(settings_words).settings}
    sizes = Sizes(options.interactions, options.users, options.items)
    print(data_report(sizes), flush=True)
    for model in options.model:
        config = Config(model, "ml-100k", config_dict=settings)
        users, rows = config["eval_batch_size"], config["train_batch_size"]
        found = account(config, options.text_width, users, rows)
        print(f"\n{model}: a batch of {users:,} users is ranked, a step has {rows:,} rows")
        print(model_report(found, sizes, options.memory), flush=True)
        if options.check is not None:
            print(check(found, model, settings, options.check or CHECKED, options.text_width), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
