"""Files of text vectors made elsewhere, keyed by item id.

FILE.npz    arrays `item_id` [M] and `features` [M, d]
FILE.npy    `features` [M, d]; the item ids stand one a line in FILE.items.txt
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from recbole_specgr.data.ids import read_id_lines, read_ids
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import check_is_file


def read_feature_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Item ids (str [M]) and features (floating point [M, d]), d > 0, each item once.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the file is damaged, of another kind than its name says, or holds something else.
    """
    check_is_file(path)
    try:
        items, features = (_of_npz if path.suffix == ".npz" else _of_npy)(path)
    except UserError:
        raise
    except (ValueError, EOFError, OSError, NotImplementedError, BadZipFile) as error:
        what = "an .npz with the arrays item_id and features" if path.suffix == ".npz" else "an array of features"
        raise UserError(f"{path} must be {what}, but can't be read: {error}.") from error
    if items.ndim != 1 or features.ndim != 2 or len(items) != len(features):
        raise UserError(f"{path} holds item ids {items.shape} and features {features.shape}, not [M] and [M, d].")
    if not features.shape[1]:
        raise UserError(f"{path} holds features {features.shape}: vectors of width 0 say nothing of an item.")
    if not np.issubdtype(features.dtype, np.floating):
        raise UserError(f"{path} holds features of {features.dtype}, which are not floating point.")
    tokens = read_ids(items, f"{path}, item_id, row")
    if "" in tokens:
        raise UserError(f"{path}, item_id: row {tokens.index('') + 1:,} is empty. Each row needs its item.")
    twice = [token for token, count in Counter(tokens).items() if count > 1]
    if twice:
        raise UserError(f"{path} holds some item ids twice, such as {twice[0]}.")
    return np.array(tokens, dtype=object), features


def _of_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise UserError(
            f"{path} is one array, as numpy.save writes it, but an .npz holds the arrays item_id [M] and features "
            f"[M, d]: write both with numpy.savez, or name it .npy and put the ids, one a line, into "
            f"{path.with_suffix('.items.txt').name}."
        )
    with archive:
        absent = {"item_id", "features"} - set(archive.files)
        if absent:
            raise UserError(
                f"{path} must be an .npz with the arrays item_id and features; it has no array "
                f"{' or '.join(sorted(absent))}, only {', '.join(archive.files) or 'none'}."
            )
        return archive["item_id"], archive["features"]


def _of_npy(path: Path) -> tuple[np.ndarray, np.ndarray]:
    names = path.with_suffix(".items.txt")
    if not names.is_file():
        raise UserError(f"{path} needs its item ids, one a line, in {names}.")
    features = np.load(path, allow_pickle=False)
    if not isinstance(features, np.ndarray):
        features.close()
        raise UserError(f"{path} holds several arrays, as numpy.savez writes them: name it .npz.")
    return np.array(read_id_lines(names), dtype=object), features
