"""Is a tokenizer healthy?  Use of the codes, collisions, and an error where it has collapsed."""

from collections.abc import Sequence
from math import prod
from statistics import median_high

import numpy as np

from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.system.errors import UserError

MANY_LEVELS = 8  # more than these are not listed one by one
SMALL_GROUP = 16  # so many items with equal codes are never a collapse, however few items there are
FEW_TUPLES = 4  # nor are so many times as many as a tuple has if all tuples are equally used


class CollapsedTokenizer(UserError):
    """The codes distinguish the items too badly to train a model on them."""


def measure(
    ids: SemanticIds, seen: np.ndarray, features: np.ndarray | None, possible_codes: Sequence[int] | None = None
) -> dict:
    """Describe the codes of all items but the padding one.

    Args:
        ids: the table.
        seen: bool [n_items].
        features: float [n_items, d], to see which items no tokenizer could tell apart; None: it could all.
        possible_codes: `Tokenizer.possible_codes`.

    Returns:
        plain data:
        levels: for each level but the identification digit, over the seen items: size, used (codes), possible (the most
            codes that the seen items' distinct features could use; 1 where the levels before tell all of them apart),
            utilisation (used / possible), entropy (0 to 1, of the uniform distribution on all codes), largest_group
            (items with one code).
        items, seen_items, unseen_items: counts.
        distinct, distinct_seen: tuples of codes (identification digit left out) among all and the seen items.
        largest_group, largest_group_seen: most items with equal tuples.
        largest_identical_seen: most seen items with equal features.
        collisions: pairs of items with equal tuples: seen_seen, seen_unseen, unseen_unseen.
        unseen_colliding_with_seen: unseen items whose tuple a seen item has, too.
        identification_size: size of the identification digit's level.
    """
    codes, seen = ids.codes[1:, :-1].cpu().numpy(), np.asarray(seen, dtype=bool)[1:]
    identical = np.ones(int(seen.sum()), dtype=np.int64)
    if features is not None:
        _, identical = np.unique(features[1:][seen], axis=0, return_counts=True)
    levels = []
    for level, size in enumerate(ids.level_sizes[:-1]):
        counts = np.bincount(codes[seen, level], minlength=size)
        share = counts[counts > 0] / max(1, counts.sum())
        told_apart = level > 0 and len(np.unique(codes[seen, :level], axis=0)) >= len(identical)
        used, possible = len(share), 1 if told_apart else min(size, len(identical))
        if possible_codes is not None:
            possible = min(possible, possible_codes[level])
        levels.append(
            {
                "size": int(size),
                "used": used,
                "possible": possible,
                "utilisation": used / max(1, possible),
                "entropy": float(-(share * np.log(share)).sum() / np.log(size)) if size > 1 else 1.0,
                "largest_group": int(counts.max(initial=0)),
            }
        )
    _, group = np.unique(codes, axis=0, return_inverse=True)
    group = group.reshape(-1)
    n_groups = int(group.max(initial=-1)) + 1
    n_seen, n_unseen = (np.bincount(group[mask], minlength=n_groups) for mask in (seen, ~seen))
    return {
        "levels": levels,
        "items": len(codes),
        "seen_items": int(seen.sum()),
        "unseen_items": int((~seen).sum()),
        "distinct": n_groups,
        "distinct_seen": int((n_seen > 0).sum()),
        "largest_group": int((n_seen + n_unseen).max(initial=0)),
        "largest_group_seen": int(n_seen.max(initial=0)),
        "largest_identical_seen": int(identical.max(initial=0)),
        "collisions": {
            "seen_seen": int((n_seen * (n_seen - 1) // 2).sum()),
            "seen_unseen": int((n_seen * n_unseen).sum()),
            "unseen_unseen": int((n_unseen * (n_unseen - 1) // 2).sum()),
        },
        "unseen_colliding_with_seen": int(n_unseen[n_seen > 0].sum()),
        "identification_size": int(ids.level_sizes[-1]),
    }


def summary(report: dict) -> str:
    """One line for the log."""
    used = _of_levels([level["used"] for level in report["levels"]], "d")
    sizes = _of_levels([level["size"] for level in report["levels"]], "d")
    entropy = _of_levels([level["entropy"] for level in report["levels"]], ".2f")
    pairs = report["collisions"]
    digits = f"{len(report['levels'])} digits, " if len(report["levels"]) > MANY_LEVELS else ""
    return (
        f"Semantic ids: {digits}codes used {used} of {sizes}, entropy {entropy}; "
        f"{report['distinct_seen']} distinct tuples of {report['seen_items']} seen items (largest group "
        f"{report['largest_group_seen']}), {report['distinct']} of all {report['items']} (largest group "
        f"{report['largest_group']}); pairs of equal tuples: "
        f"{pairs['seen_seen']} seen-seen, {pairs['seen_unseen']} seen-unseen, {pairs['unseen_unseen']} unseen-unseen."
    )


def _of_levels(values: Sequence[float], form: str) -> str:
    """The values of all levels, such as `8/7/8`; of more than can be read in a line the least, the median and the most,
    such as `29 to 32 (median 31)`, or the one value that all have."""
    if len(values) <= MANY_LEVELS:
        return "/".join(f"{value:{form}}" for value in values)
    least, most = f"{min(values):{form}}", f"{max(values):{form}}"
    return least if least == most else f"{least} to {most} (median {median_high(values):{form}})"


def check(report: dict, min_utilisation: float = 0.5, max_group_share: float = 0.05) -> None:
    """Raise `CollapsedTokenizer` where the seen items' codes have collapsed.

    That is: a level uses less than `min_utilisation` of the codes it could use, or one group of equal tuples (beyond
    those whose very features are equal) outgrows the codebooks, holds more than `max_group_share` of the seen items,
    and is FEW_TUPLES times as large as it had to be if all possible tuples were equally used.
    """
    advice = (
        "Use tokenizer.method: rqkmeans, which cannot leave codes unused, a smaller tokenizer.codebook_size, or for "
        "rqvae more tokenizer.rqvae.epochs and a smaller learning_rate or batch_size. Also check that text_fields "
        "tell the items apart."
    )
    for number, level in enumerate(report["levels"], start=1):
        if level["utilisation"] < min_utilisation:
            raise CollapsedTokenizer(
                f"The tokenizer has collapsed: level {number} uses {level['used']} of {level['possible']} possible "
                f"codes (tokenizer.min_utilisation is {min_utilisation}). {advice}"
            )
    excess = report["largest_group_seen"] - report["largest_identical_seen"]
    possible = prod(level["possible"] for level in report["levels"])
    bounds = (
        *(level["size"] for level in report["levels"]),
        max_group_share * report["seen_items"],
        FEW_TUPLES * report["seen_items"] / possible,
        SMALL_GROUP,
    )
    if excess > max(bounds):
        raise CollapsedTokenizer(
            f"The tokenizer has collapsed: {report['largest_group_seen']} of {report['seen_items']} seen items have "
            f"the same codes, {report['largest_identical_seen']} of them at most because of equal text. {advice}"
        )
