"""What an evaluation asks of a model: the row without its target, which RecBole's loader hands out with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recbole.data.interaction import Interaction

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.system.errors import UserError


def without_target(interaction: Interaction, view: InductiveDataset) -> Interaction:
    """The same batch without the target and what is joined of it."""
    hidden = _target_fields(view)
    return Interaction({name: interaction[name] for name in interaction.columns if name not in hidden})


@contextmanager
def target_hidden_from(model: str, view: InductiveDataset) -> Iterator[None]:
    """Turns the KeyError of a model that looks for the target into a UserError that says so."""
    try:
        yield
    except KeyError as error:
        if error.args[:1] and error.args[0] in _target_fields(view):
            raise UserError(
                f"{model} reads [{error.args[0]}] while it ranks. There it would be the target, or be of it. Rank by "
                f"the history, [{view.item_id_list_field}]."
            ) from error
        raise


def _target_fields(view: InductiveDataset) -> set[str]:
    """The columns of a batch that are the target's."""
    features = [] if view.item_feat is None else view.item_feat.columns
    return {view.iid_field, *features}
