"""The result as people read it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_specgr.runs.record import RUNS
from recbole_specgr.settings.result_keys import PARTS
from recbole_specgr.system.terminal import column_widths, plain_table, table_width, terminal_width

if TYPE_CHECKING:  # records are read without torch
    from recbole_specgr.data.dataset import InductiveDataset

FEW_DRAFTS = 0.01  # a share of the listed items below which drafting is as good as off
FEW_HAD = 0.01  # a share of the listed items that changes no result


def three_part_table(result: dict[str, float], metrics: list[str], topk: list[int], width: int | None = None) -> str:
    """Rows overall, in-sample and unseen, with their numbers of targets; `-` where a part has no targets.

    With more metrics than the width has room for, the metrics are the rows and the parts the columns.

    Args:
        width: in characters; None: the terminal's.
    """
    width = terminal_width() if width is None else width
    counts = {"in_sample_": result["in_sample_count"], "unseen_": result["unseen_count"]}
    counts[""] = sum(counts.values())
    columns = [
        [f"{metric}@{k}", *(_cell(result.get(f"{part}{metric}@{k}".lower())) for part in PARTS)]
        for metric in metrics
        for k in topk
    ]
    columns = [["targets", *(f"{counts[part]:,}" for part in PARTS)], *columns]
    titles = [part.title for part in PARTS.values()]
    headers = ["", *(column[0] for column in columns)]
    rows = [[title, *(column[at] for column in columns)] for at, title in enumerate(titles, 1)]
    if table_width(column_widths(rows, headers)) > width:
        return plain_table(columns, ["", *titles], width=width)
    return plain_table(rows, headers, width=width)


def none_can_be_listed(model: str, inductive: bool, result: Mapping[str, float]) -> str:
    """The sentence that tells an unseen metric of 0 that says nothing of the model's quality from one that does; ""
    where the model ranks new items, or no target is new.

    Args:
        model: its name.
        inductive: it ranks items that training did not have.
        result: of an evaluation.
    """
    if inductive or not result["unseen_count"]:
        return ""
    return (
        f"{model} ranks items of its training data only. So its results on unseen targets are 0 by its making, and "
        f"{result['unseen_count'] / (result['in_sample_count'] + result['unseen_count']):.0%} of the targets are "
        f"beyond its reach."
    )


def describe_data(train: InductiveDataset, valid: InductiveDataset, test: InductiveDataset) -> str:
    """The phases' rows and the items in a line."""

    def part(view: InductiveDataset) -> str:
        targets = view.inter_feat[view.iid_field]
        unseen = ""
        if view.phase != "train":
            share, new = (~view.seen[targets]).float().mean(), _new_items(view)
            unseen = f", {share:.1%} unseen ({new:,} new item{'s' if new != 1 else ''})"
        phase_rows = view.phase_rows
        of_all = f" drawn from {phase_rows:,}" if len(view) < phase_rows else ""
        return f"{view.phase} {len(view):,} rows{of_all}{unseen}"

    candidates, seen = int(test.candidates.sum()), int(test.seen.sum())
    return f"{'; '.join(map(part, (train, valid, test)))}; {seen:,} of {candidates:,} items seen"


def few_new_items(view: InductiveDataset, topk: Sequence[int]) -> str:
    """`all_new_listed` of a phase's data; "" where no target is new.

    Args:
        view: of valid or test.
        topk: the list lengths that metrics are taken at.
    """
    if bool(view.seen[view.inter_feat[view.iid_field]].all()):
        return ""
    return all_new_listed(str(view.phase), _new_items(view), topk)


def all_new_listed(phase: str, new: int, topk: Sequence[int]) -> str:
    """The sentence for a phase with so few new items that a list can hold all of them; "" where none can.

    Args:
        new: how many new items the phase ranks, some of which are targets.
        topk: the list lengths that metrics are taken at.
    """
    long = [k for k in sorted(topk) if k >= new]
    if not long:
        return ""
    one = new == 1
    return (
        f"In {phase} there {'is' if one else 'are'} {new:,} new item{'' if one else 's'} to rank, no more than a "
        f"list of {' or '.join(map(str, long))} holds. A model that lists new items first finds "
        f"{'it' if one else 'all of them'}, whatever it knows: unseen recall is then 1 there. Trust shorter lists "
        f"(--topk), or more new items (--timestamp_split)."
    )


def how_to_show(run_dir: Path, runs_path: Path, dataset: str) -> str:
    """The sentences for a run whose folder is not where tables look for runs; "" where it is.

    Args:
        run_dir: its folder.
        runs_path: the folder of all runs, as the settings have it.
        dataset: the name of the run's data set.
    """

    def holds_it(runs: Path) -> bool:
        return run_dir.resolve().is_relative_to((runs / dataset).resolve())

    if holds_it(RUNS):
        return ""
    runs = shlex.quote(str(runs_path if holds_it(runs_path) else run_dir))
    return (
        f"Tables look for runs in {RUNS / dataset}. To show this one: recbole-specgr leaderboard --dataset={dataset} "
        f"--runs={runs}"
    )


def _new_items(view: InductiveDataset) -> int:
    """How many of the items that a phase ranks do not occur in train."""
    return int((view.candidates & ~view.seen).sum())


def next_to_no_drafts(share: float | None, decoding: Mapping[str, Any]) -> str:
    """The sentences for a run whose lists hold next to no drafts; "" where they hold some.

    Args:
        share: of the listed items, those that were drafted and accepted; None from a model that does not draft.
        decoding: the model's settings of inference.
    """
    if share is None or share >= FEW_DRAFTS:
        return ""
    return (
        f"{share:.1%} of the items in the lists are drafts that the verifier accepted: the lists are its own, and new "
        f"items that only the drafter finds are not in them. Its log-probabilities of a digit are hardly ever above "
        f"[accept_threshold: {decoding['accept_threshold']}]. Give a lower --accept_threshold; -99 accepts whatever is "
        f"drafted. The thresholds of SpecGR_Aux are made for TIGER: for RPG as the verifier, take "
        f"--model=SpecGR_RPG or SpecGR_RPG_in_place."
    )


def places_lost(had: float) -> str:
    """The sentences for lists that hold what their users have had; "" where they hold next to nothing of it.

    No target is among that: of repeated interactions with an item only the first counts.

    Args:
        had: the share of the listed items that their user has had.
    """
    if had < FEW_HAD:
        return ""
    return (
        f"{had:.0%} of the items in the lists are such as their user has had, and no target is. --repeatable=False "
        f"leaves them out: another protocol, with a table of its own."
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
