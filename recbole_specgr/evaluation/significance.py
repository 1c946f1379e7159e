"""How sure a result is: intervals and paired tests over users, corrected for the number of comparisons.

Users are what is sampled: the rows of one user stay together. A result is a ratio, the sum of all users' values over
the number of their rows. Arrays named `sums` and `counts` are [U, C]: for each of U users and C columns (a metric of
all, in-sample or unseen rows), the sum of the user's values and the number of rows it is over.
"""

import numpy as np

RESAMPLES = 2000  # of an interval
# Of a test, unless all of them are fewer. With 60 tests to correct for, a p near 0.001 decides: 10,000 would give it a
# standard error of a third, 100,000 of a tenth.
PERMUTATIONS = 100_000
_CHUNK = 2**24  # numbers drawn at once
_IN_CACHE = 4096  # exchanges whose sums are added up while they are in the processor's cache


def by_user(values: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Sum rows' values [N, C] by user [N] -> [U, C], users in sorted order."""
    _, user = np.unique(users, return_inverse=True)
    out = np.zeros((int(user.max()) + 1, values.shape[1]))
    np.add.at(out, user, values)
    return out


def bootstrap_interval(
    sums: np.ndarray, counts: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Percentile intervals of sum/count, users drawn with replacement.

    Args:
        sums, counts: [U, C].
        level: share of the resamples inside.

    Returns:
        [2, C], lower and upper ends; NaN in a column without rows.
    """
    users, rng = len(sums), np.random.default_rng(seed)
    both = np.concatenate([sums, counts], axis=1).astype(float)
    ratios = []
    for part in _chunks(resamples, users):
        drawn = rng.integers(users, size=(part, users)) + users * np.arange(part)[:, None]
        times = np.bincount(drawn.ravel(), minlength=part * users).reshape(part, users)
        numerator, denominator = np.split(times @ both, 2, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios.append(numerator / denominator)
    drawn_ratios, ends = np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2]
    interval = np.full((2, sums.shape[1]), np.nan)
    there = ~np.isnan(drawn_ratios).all(0)  # a resample may miss the few users that have such rows
    interval[:, there] = np.nanquantile(drawn_ratios[:, there], ends, axis=0)
    return interval


def paired_test(differences: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> np.ndarray:
    """Two-sided p values of the paired randomisation test: under H0 a user's two results could be exchanged.

    Args:
        differences: [U, C], one model's sums minus another's, over the same rows.
        permutations: random exchanges; where all of them are not more, all are taken, and p is exact.

    Returns:
        [C]. A drawn p is (1 + as extreme ones) / (1 + permutations), never 0.
    """
    active = differences[(differences != 0).any(1)]  # an exchange of equals changes nothing
    users, columns = active.shape
    observed = np.abs(active.sum(0)) * (1 - 1e-12)  # equal up to rounding counts as equal
    if users < 60 and 2**users <= permutations:
        signs = 1.0 - 2 * ((np.arange(2**users)[:, None] >> np.arange(users)) & 1)
        return np.asarray((np.abs(signs @ active) >= observed).mean(0))
    rng, extreme, tables = np.random.default_rng(seed), np.zeros(columns), _sums_by_byte(active)
    for part in _chunks(permutations, users):
        drawn = rng.integers(256, size=(part, len(tables)), dtype=np.uint8)
        for rows in np.split(drawn, range(_IN_CACHE, part, _IN_CACHE)):
            sums = np.zeros((len(rows), columns))
            for table, byte in zip(tables, np.ascontiguousarray(rows.T)):
                sums += table.take(byte, axis=0, mode="clip")
            extreme += (np.abs(sums) >= observed).sum(0)
    return (1 + extreme) / (1 + permutations)


def _sums_by_byte(values: np.ndarray) -> np.ndarray:
    """What eight users' values [U, C] add up to for every choice of their signs: [U / 8, 256, C]. A byte is a choice;
    its highest bit is the first user's, and 1 is minus. To look up sums is several times faster than to multiply."""
    users, columns = values.shape
    eights = np.zeros((-(-users // 8) * 8, columns))
    eights[:users] = values
    signs = 1.0 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    sums: np.ndarray = signs @ eights.reshape(-1, 8, columns)
    return sums


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values [n]: rejecting those below alpha has a family-wise error of at most alpha."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _chunks(total: int, width: int) -> list[int]:
    size = max(1, _CHUNK // max(width, 1))
    return [min(size, total - start) for start in range(0, total, size)]
