"""A user's page: what the user did, and what the run recommends next."""

from __future__ import annotations

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.serving.recommendations import BY_BEAM
from recbole_specgr.serving.recommender import Recommender
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.terminal import plain_table

_WIDEST = 60  # characters of a title
_LATEST = 20  # items of a history


def user_history(recommender: Recommender, user: str) -> list[str]:
    """The items of everything that the user did, the latest last; raises what `user_interactions` raises."""
    return user_interactions(recommender, user)[0]


def user_interactions(recommender: Recommender, user: str) -> tuple[list[str], list[int]]:
    """Everything that the user did, the latest last: items and times. It is read from the run's data set.

    Raises:
        UserError: the data set is not there, or has no such user.
    """
    config = recommender.config
    config.check_data()
    dataset = InductiveDataset(config)
    row = dataset.field2token_id[dataset.uid_field].get(user)
    if row is None or row == 0:
        known = dataset.field2id_token[dataset.uid_field][1:].tolist()
        raise UserError(
            f"There is no user [{user}] in [{config['dataset']}], whose users are such as {', '.join(known[:3])}."
            f"{did_you_mean(user, known)}"
        )
    users, items, times = dataset.interactions
    own = users == row
    return dataset.id2token(dataset.iid_field, items[own]).tolist(), times[own].tolist()


def user_page(recommender: Recommender, user: str, k: int) -> str:
    """The user's history and the k best items that are not in it, as tables."""
    history, times = user_interactions(recommender, user)
    catalogue = recommender.catalogue
    row_of = {token: row for row, token in enumerate(catalogue.item_tokens.tolist())}
    latest = history[-_LATEST:]
    entries = recommender.recommend([history], k, exclude="history", times=[times])[0]
    listed = [row_of[item] for item in [*latest, *(entry.item for entry in entries)]]
    titled, any_new = any(map(catalogue.title, listed)), not all(catalogue.seen[row] for row in listed)
    columns = ["", "item", *(["title"] if titled else []), *([""] if any_new else [])]  # number, item, title, "new"

    def described(item: str) -> list[str]:
        row = row_of[item]
        title = catalogue.title(row)
        title = title if len(title) <= _WIDEST else title[: _WIDEST - 3] + "..."
        marker = "" if catalogue.seen[row] else "new"
        return [item, *([title] if titled else []), *([marker] if any_new else [])]

    def how(entry) -> str:
        if entry.round < BY_BEAM:
            return ""
        return f"drafted in round {entry.round}" if entry.drafted else "beam search"

    before = [[len(history) - len(latest) + place, *described(item)] for place, item in enumerate(latest, 1)]
    after = [[rank, *described(entry.item), f"{entry.score:.4f}", how(entry)] for rank, entry in enumerate(entries, 1)]
    drafts = any(row[-1] for row in after)
    header = [*columns, "score", *(["how"] if drafts else [])]
    return "\n".join(
        [
            f"User {user}: {len(history)} items" + (f", the latest {_LATEST}" if len(history) > _LATEST else ""),
            plain_table(before, columns, ["left"] * len(columns)),
            "",
            f"{recommender.config['display_name']} recommends",
            plain_table([row[: len(header)] for row in after], header, ["left"] * len(header)),
        ]
    )
