"""A toy data set of a few hundred interactions, and what its views hold, in tokens."""

import numpy as np

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config

LENGTH = 5  # of the longest history


def write(folder, rows, name="toy", items=None):
    """Atomic files from (user, item, time) rows; times are written as given, texts included."""
    (folder / name).mkdir(exist_ok=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (folder / name / f"{name}.inter").write_text("\n".join(lines) + "\n")
    tokens = items if items is not None else sorted({str(row[1]) for row in rows})
    lines = ["item_id:token\ttitle:token\tgenre:token_seq", *(f"{t}\tThe {t}\tg{len(t)} g{t[-1]}" for t in tokens)]
    (folder / name / f"{name}.item").write_text("\n".join(lines) + "\n")


def load(folder, model="SASRec", name="toy", **settings):
    defaults = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "title", "genre"]},
        "text_fields": ["title", "genre"],
        "selected_features": ["genre"],
        "item_attribute": "genre",
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "use_gpu": False,
    }
    return InductiveDataset(Config(model, name, config_dict={**defaults, **settings}))


def random_rows(seed, start=0, spread=60, n=300):
    """Many ties, repeated pairs, users with one action, users that return after the cuts."""
    rng = np.random.default_rng(seed)
    users = np.r_[rng.integers(25, size=n), np.arange(25, 30)]
    items = rng.integers(40, size=n + 5)
    times = rng.integers(spread, size=n + 5) + start
    rows = [(f"u{u}", f"i{i}", int(t)) for u, i, t in zip(users, items, times)]
    return [rows[row] for row in rng.permutation(len(rows))]


def tokens_of(dataset, mask):
    return set(dataset.id2token("item_id", np.flatnonzero(mask.numpy())))


def targets_of(view):
    """{(user, item): history} of a view, in tokens."""
    batch = view[:]
    users = view.id2token("user_id", batch["user_id"].numpy())
    items = view.id2token("item_id", batch["item_id"].numpy())
    found = {}
    for user, item, history, length in zip(users, items, batch["item_id_list"], batch["item_length"]):
        assert (history[length:] == 0).all()
        assert (history[:length] > 0).all()
        found[user, item] = list(view.id2token("item_id", history[:length].numpy()))
    assert len(found) == len(view)
    return found
