"""The result as people read it."""

from tabulate import tabulate

from recbole_specgr.data.dataset import InductiveDataset

PARTS = {"": "overall", "in_sample_": "in-sample", "unseen_": "unseen"}  # key prefix -> row title


def three_part_table(result: dict[str, float], metrics: list[str], topk: list[int]) -> str:
    """Rows overall, in-sample and unseen, with their numbers of targets; `-` where a part has no targets."""
    counts = {"in_sample_": result["in_sample_count"], "unseen_": result["unseen_count"]}
    counts[""] = sum(counts.values())
    rows = [
        [
            title,
            f"{counts[part]:,}",
            *(_cell(result.get(f"{part}{metric}@{k}".lower())) for metric in metrics for k in topk),
        ]
        for part, title in PARTS.items()
    ]
    headers = ["", "targets", *(f"{metric}@{k}" for metric in metrics for k in topk)]
    align = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)


def describe_data(train: InductiveDataset, valid: InductiveDataset, test: InductiveDataset) -> str:
    """The phases' rows and the items in a line."""

    def part(view: InductiveDataset) -> str:
        targets = view.inter_feat[view.iid_field]
        unseen = f", {(~view.seen[targets]).float().mean():.1%} unseen" if view.phase != "train" else ""
        return f"{view.phase} {len(view):,} rows{unseen}"

    candidates, seen = int(test.candidates.sum()), int(test.seen.sum())
    return f"{'; '.join(map(part, (train, valid, test)))}; {seen:,} of {candidates:,} items seen"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
