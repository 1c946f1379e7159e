"""The T5 against the decoder-only backbone of as many layers and parameters: training, its memory, and decoding."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from benchmarks.bench import PAPER, Bench, K
from benchmarks.training import optimisation_step
from recbole_specgr.models.tiger import TIGER

LONGEST = 20  # items of a history


def architectures(bench: Bench):
    """The same work by each architecture, in turn: everything in float32, without `transformers`."""
    models = {
        "encoder_decoder": bench.model("TIGER")[0],
        "decoder_only": bench.model("TIGER", architecture="decoder_only")[0],
    }
    targets = 128 if bench.quick else 256
    lengths = {"full histories": [LONGEST]}
    if bench.data is not None and (folder := bench.data / "amazon_beauty_2014").is_dir():
        lengths["as long as amazon_beauty_2014's"] = windows_of_beauty(folder)
    rows = [["parameters", *(f"{sum(p.numel() for p in model.parameters()):,}" for model in models.values()), ""]]
    for name, some in lengths.items():
        rows += training(bench, list(models.values()), name, some, targets)
    shallow = bench.model("TIGER", {**PAPER, "num_layers": PAPER["num_layers"] // 2}, architecture="decoder_only")[0]
    users = 32 if bench.quick else 128
    _, _, test = bench.model("TIGER")
    for name, other in {
        "as many layers in all": models["decoder_only"],
        "as many as the T5's decoder": shallow,
    }.items():
        rows.append(decoding(bench, models["encoder_decoder"], other, test, users, name))
    return "T5 against decoder-only", ["", "T5", "decoder-only", "x"], rows


def windows_of_beauty(folder: Path) -> list[int]:
    """How many items the windows of its users read."""
    counts = pd.read_csv(folder / "interactions.csv.gz", usecols=["user_id"])["user_id"].value_counts()
    return (counts - 1).clip(upper=LONGEST).tolist()


def training(bench: Bench, models: list[TIGER], name: str, lengths: list[int], targets: int) -> list[list[str]]:
    """Targets a second, and what a step keeps for its backward pass, on rows and on windows of the same histories."""
    batches = rows_of(models[0], lengths, targets), windows_of(models[1], lengths, targets)
    steps, kept, count = [], [], []
    for model, batch in zip(models, batches, strict=True):
        model.train()
        batch = batch.to(bench.device)
        loss = lambda m=model, b=batch: sum(m.calculate_loss(b).values())  # noqa: E731
        steps.append(optimisation_step(bench, model, loss))
        kept.append(kept_for_backward(loss))
        count.append(int((batch["item_id"] > 0).sum()))
    times = bench.times(*steps, repeats=3 if bench.quick else 9)
    rate = [n / taken.median for n, taken in zip(count, times, strict=True)]
    memory = [n / c for n, c in zip(kept, count, strict=True)]
    return [
        [f"training, {name}: targets/s", *(f"{value:,.0f}" for value in rate), f"{rate[1] / rate[0]:.1f}"],
        [
            f"training, {name}: KiB kept a target",
            *(f"{n / 2**10:,.0f}" for n in memory),
            f"{memory[1] / memory[0]:.2f}",
        ],
    ]


def decoding(bench: Bench, t5: TIGER, other: TIGER, test, users: int, name: str) -> list[str]:
    """Users a second that beam search ranks."""
    batch, candidates = bench.users(test, users), test.candidates
    runs = [lambda m=model: m.eval().full_sort_topk(batch, K, candidates) for model in (t5, other)]
    times = bench.times(*runs, repeats=3 if bench.quick else 9)
    rate = [users / taken.median for taken in times]
    return [f"decoding, {name}: users/s", *(f"{value:,.0f}" for value in rate), f"{rate[1] / rate[0]:.1f}"]


def rows_of(model: TIGER, lengths: list[int], targets: int) -> Interaction:
    """Rows as they come of windows of such lengths: of 1 to so many items, mixed by chance."""
    generator = torch.Generator().manual_seed(0)
    whole = [LONGEST] if lengths == [LONGEST] else [n for length in lengths for n in range(1, length + 1)]
    length = torch.tensor(whole)[torch.randint(len(whole), (targets,), generator=generator)]
    items = random_items(model, (targets, LONGEST), generator)
    return interaction(items.masked_fill(torch.arange(LONGEST) >= length[:, None], 0), length, items[:, 0])


def windows_of(model: TIGER, lengths: list[int], targets: int) -> Interaction:
    """Windows of about one length, as the loader puts them together: the one that the middle target has."""
    generator = torch.Generator().manual_seed(0)
    by_target = torch.tensor(lengths).sort().values.repeat_interleave(torch.tensor(lengths).sort().values)
    length = int(by_target[len(by_target) // 2])
    items = random_items(model, (-(-targets // length), length + 1), generator)
    return interaction(items[:, :-1], torch.full((len(items),), length), items[:, 1:])


def random_items(model: TIGER, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.randint(1, model.n_items, shape, generator=generator)


def interaction(items: Tensor, length: Tensor, targets: Tensor) -> Interaction:
    return Interaction({"item_id_list": items, "item_length": length, "item_id": targets})


def kept_for_backward(loss) -> int:
    """Bytes of the tensors that the backward pass of `loss()` waits for, each counted once."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = loss()
    del kept
    return sum(seen.values())
