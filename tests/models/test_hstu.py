"""HSTU against loops over positions, and what it may and may not depend on."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction

from recbole_specgr.backbones.hstu import HSTUEncoder
from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.models.losses import sampled_ranking_loss
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training.windows import Windows

SMALL = {"hidden_size": 8, "n_layers": 2, "n_heads": 2, "MAX_ITEM_LIST_LENGTH": 7}


def encoder(**changed) -> HSTUEncoder:
    torch.manual_seed(1)
    sizes = {"width": 8, "layers": 2, "heads": 2, "longest": 9, "dropout": 0.0, "relative_time": True}
    made = HSTUEncoder(**{**sizes, **changed}).double().eval()
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)  # biases that differ from 0 are seen
    return made


def histories(users: int = 3, length: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    days = torch.randint(0, 900, (users, length), generator=generator).cumsum(1)
    seconds = torch.randint(0, 86400, (users, length), generator=generator)
    return torch.randn(users, length, 8, generator=generator, dtype=torch.double), 86400 * days + seconds


def bucket_of(interval: int) -> int:
    """0 for less than a second, then one for each edge that is reached, edges growing by 1.35 and rounded up."""
    edges = {1} | {math.floor(1.35**power) + 1 for power in range(1, 100) if 1.35 ** (power - 1) < 2**31}
    return sum(interval >= edge for edge in edges)


def by_loops(made: HSTUEncoder, x: torch.Tensor, times: list[int] | None) -> torch.Tensor:
    """One user's states, one position and one head after another, as the paper's equations have it."""
    length, width = x.shape
    x = x * math.sqrt(width) + made.positions[:length]
    for layer in made.layers:
        gates, values, queries, keys = F.silu(layer.uvqk(layer.norm(x))).split(width, dim=1)
        rows = []
        for at in range(length):
            heads = []
            for head in range(layer.heads):
                own = slice(head * width // layer.heads, (head + 1) * width // layer.heads)
                read = torch.zeros(width // layer.heads, dtype=x.dtype)
                for before in range(at + 1):
                    score = queries[at, own] @ keys[before, own] + layer.position_bias[at - before]
                    if times is not None:
                        score = score + layer.time_bias[bucket_of(abs(times[at] - times[before]))]
                    read = read + score * torch.sigmoid(score) * values[before, own]
                heads.append(read)
            rows.append(x[at] + layer.output(layer.read_norm(torch.cat(heads)) * gates[at]))
        x = torch.stack(rows)
    return x


@pytest.mark.parametrize("timed", [True, False])
def test_the_encoder_is_the_papers_equations(timed):
    made = encoder()
    x, times = histories()
    found = made(x, times if timed else None)
    for user in range(len(x)):
        expected = by_loops(made, x[user], times[user].tolist() if timed else None)
        torch.testing.assert_close(found[user], expected)


def test_intervals_from_none_to_longer_than_the_longest_have_their_buckets():
    made = encoder()
    times = torch.tensor([[0, 0, 1, 2, 5, 3600, 86400, 2**31 - 1, 2**33]])
    found = made.interval_buckets(times)[0, :, 0].tolist()
    assert found == [bucket_of(int(time)) for time in times[0]]
    assert found[0] == 0 and max(found) == len(made.layers[0].time_bias) - 1


def test_a_position_depends_on_what_came_before_it_only():
    made = encoder()
    x, times = histories()
    before = made(x, times)
    x[:, 4:], times[:, 4:] = 7.0, times[:, 4:] + 10**7
    after = made(x, times)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])


def test_it_needs_heads_that_share_the_width(tiny_dataset):
    config = Config("HSTU", "tiny", config_dict={**tiny_dataset, **SMALL, "n_heads": 3})
    with pytest.raises(UserError, match=r"hidden_size \[8\] must be a multiple of n_heads \[3\]"):
        model_of(config, InductiveDataset(config).build()[0])


@pytest.fixture(params=["HSTU", "TextHSTU"])
def built(request, tiny_dataset):
    """A model with random weights, and the train and test views."""
    config = Config(request.param, "tiny", config_dict={**tiny_dataset, **SMALL})
    train, _, test = InductiveDataset(config).build()
    torch.manual_seed(0)
    return model_of(config, train).double().eval(), train, test


def test_padding_and_other_users_do_not_matter(built):
    model, _, test = built
    batch = test[torch.arange(20)]
    together = model.full_sort_predict(batch)
    for row in range(20):
        length = int(batch["item_length"][row])
        alone = {key: batch[key][row : row + 1] for key in batch}
        for key in ("item_id_list", "timestamp_list"):
            alone[key] = alone[key][:, :length]
        torch.testing.assert_close(together[row], model.full_sort_predict(Interaction(alone))[0])


def test_times_count_and_only_intervals_between_them(built):
    model, _, test = built
    for layer in model.reader.encoder.layers:
        torch.nn.init.normal_(layer.time_bias)
    batch = test[torch.arange(20)]
    scores = model.full_sort_predict(batch)
    batch["timestamp_list"] += 1000
    torch.testing.assert_close(model.full_sort_predict(batch), scores)
    batch["timestamp_list"] *= 2
    assert not torch.allclose(model.full_sort_predict(batch), scores)


def test_the_loss_of_windows_is_the_mean_cross_entropy_of_their_targets(built):
    model, train, _ = built
    windows = Windows(train)
    batch = windows[torch.arange(len(windows))[:6]]
    expected = []
    for row in range(6):
        for at in batch["item_id"][row].nonzero().squeeze(1).tolist():
            one = Interaction(
                {
                    "item_id_list": batch["item_id_list"][row : row + 1, : at + 1],
                    "timestamp_list": batch["timestamp_list"][row : row + 1, : at + 1],
                    "item_length": torch.tensor([at + 1]),
                }
            )
            scores = model.full_sort_predict(one)[0]
            expected.append(scores[train.seen].logsumexp(0) - scores[batch["item_id"][row, at]])
    torch.testing.assert_close(model.calculate_loss(batch), torch.stack(expected).mean())


def test_the_sampled_loss_is_the_softmax_of_the_target_and_the_drawn():
    generator = torch.Generator().manual_seed(3)
    users, items = (torch.randn(n, 4, generator=generator, dtype=torch.double) for n in (5, 6))
    targets = torch.tensor([0, 1, 1, 5, 2])
    torch.manual_seed(4)
    found = sampled_ranking_loss(users, items, targets, 0.1, 9)
    torch.manual_seed(4)
    drawn = torch.randint(6, (9,)).tolist()
    expected = 0.0
    for user, target in zip(users, targets.tolist()):
        others = [math.exp(float(user @ items[item]) / 0.1) for item in drawn if item != target]
        own = math.exp(float(user @ items[target]) / 0.1)
        expected -= math.log(own / (own + sum(others))) / 5
    assert float(found) == pytest.approx(expected)
    assert set(drawn) & set(targets.tolist())


def test_views_and_windows_have_the_times_of_histories(tiny_dataset):
    config = Config("HSTU", "tiny", config_dict={**tiny_dataset, **SMALL})
    train, _, test = InductiveDataset(config).build()
    users, items, times = train.interactions
    when = {(user, item): time for user, item, time in zip(users.tolist(), items.tolist(), times.tolist())}
    windows = Windows(train)
    for batch in (train[torch.arange(50)], test[torch.arange(50)], windows[torch.arange(len(windows))]):
        for user, history, stamps in zip(
            *(batch[name].tolist() for name in ("user_id", "item_id_list", "timestamp_list"))
        ):
            assert stamps == [when[user, item] if item else 0 for item in history]


def test_times_in_milliseconds_are_read_in_seconds(tiny_dataset, tmp_path):
    file = tmp_path / "dataset" / "tiny" / "tiny.inter"
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([head, *(line + "250" for line in lines)]), encoding="utf-8")
    train = InductiveDataset(Config("HSTU", "tiny", config_dict={**tiny_dataset, **SMALL})).build()[0]
    stamps = train[torch.arange(len(train))]["timestamp_list"]
    assert 1_600_000_000 <= int(stamps[stamps > 0].min()) < int(stamps.max()) < 1_700_000_000


def test_the_times_of_unseen_items_leave_a_history_with_them(tiny_dataset):
    config = Config("HSTU", "tiny", config_dict={**tiny_dataset, **SMALL})
    train, _, test = InductiveDataset(config).build()
    model = model_of(config, train).eval()
    batch = test[torch.arange(len(test))]
    left = Ranker(model, train.seen, "drop").as_read(batch)
    changed = (left["item_length"] != batch["item_length"]).nonzero().squeeze(1).tolist()
    assert changed
    for row in changed:
        kept = [at for at, item in enumerate(batch["item_id_list"][row].tolist()) if train.seen[item]]
        assert left["timestamp_list"][row, : len(kept)].tolist() == batch["timestamp_list"][row, kept].tolist()
