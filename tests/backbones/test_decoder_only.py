"""The decoder-only backbone against `transformers.LlamaForCausalLM`, the tree against teacher forcing, and training on
windows against training on rows."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from backbone_cases import (
    assert_bfloat16_gives_float32_scores_near_those_of_float32,
    assert_some_users_go_on_without_the_others,
)

from recbole_specgr.backbones import DecoderOnly, DecoderOnlyConfig
from recbole_specgr.backbones.architectures import ARCHITECTURES
from recbole_specgr.backbones.llama_weights import from_transformers, to_transformers
from recbole_specgr.backbones.token_tree import NewNodes, TokenTree
from recbole_specgr.system.errors import UserError

CONFIG = DecoderOnlyConfig(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=3, num_heads=2, dropout_rate=0.0)
BOS, DIGITS, LENGTHS = 39, 4, (5, 1, 3, 4, 5, 2)


@pytest.fixture
def model() -> DecoderOnly:
    torch.manual_seed(0)
    model = DecoderOnly(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms of ones would hide where they belong
            parameter.mul_(1 + 0.5 * torch.rand_like(parameter))
    return model


@pytest.fixture
def windows() -> tuple[torch.Tensor, torch.Tensor]:
    """Histories `[6, 1 + 5 * 4]`, and what came after each of their items `[6, 5, 4]`."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, BOS, (6, 6, DIGITS), generator=generator)
    labels = ids[:, 1:].clone()
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = 0
        labels[row, length:] = 0
    tokens = torch.nn.functional.pad(ids[:, :5].flatten(1), (1, 0), value=BOS)
    return tokens, labels


@pytest.fixture
def batch(windows) -> tuple[torch.Tensor, torch.Tensor]:
    """The same histories, and the target after each `[6, 4]`."""
    tokens, labels = windows
    return tokens, labels[torch.arange(6), torch.tensor(LENGTHS) - 1]


def test_logits_equal_those_of_transformers(model, batch) -> None:
    tokens, labels = batch
    theirs, logits = to_transformers(model), model.decode(model.encode(tokens), tokens, labels)
    for row, length in enumerate(LENGTHS):
        stream = torch.cat([tokens[row, : 1 + length * DIGITS], labels[row]])[None]
        expected = theirs(input_ids=stream).logits[0, -DIGITS - 1 : -1]
        torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-4)


def test_loss_and_gradients_equal_those_of_transformers(model, windows) -> None:
    tokens, labels = windows
    theirs = to_transformers(model)
    stream = torch.nn.functional.pad(tokens, (0, DIGITS))
    for row, length in enumerate(LENGTHS):
        stream[row, 1 + length * DIGITS :][:DIGITS] = labels[row, length - 1]
    wanted = torch.where(stream > 0, stream, -100)
    wanted[:, : 1 + DIGITS] = -100  # the first item comes after nothing
    expected = theirs(input_ids=stream, attention_mask=(stream > 0).long(), labels=wanted).loss
    loss = model.training_pass(tokens, labels).loss()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    expected.backward()
    loss.backward()
    for parameter in theirs.parameters():
        parameter.data = parameter.grad
    for name, gradient in from_transformers(theirs).named_parameters():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient.detach(), atol=1e-5, rtol=1e-3)


def test_weights_go_to_transformers_and_back_unchanged(model) -> None:
    back = from_transformers(to_transformers(model))
    assert back.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


def test_another_kind_of_llama_is_refused(model) -> None:
    theirs = to_transformers(model)
    theirs.config.hidden_act = "gelu"
    with pytest.raises(ValueError, match="gelu"):
        from_transformers(theirs)


def test_an_odd_width_of_heads_is_refused() -> None:
    with pytest.raises(ValueError, match=r"d_kv is \[7\]"):
        replace(CONFIG, d_kv=7)


def test_a_setting_of_an_odd_width_of_heads_is_refused_with_a_sentence() -> None:
    sizes = {"d_model": 16, "d_kv": 7, "d_ff": 24, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    with pytest.raises(UserError, match=r"\[d_kv: 7\] must be even for \[architecture: decoder_only\]"):
        ARCHITECTURES["decoder_only"](sizes, 40)


def test_a_window_learns_what_rows_of_its_targets_and_histories_learn(model, windows) -> None:
    tokens, labels = windows
    labels[4, 1] = 0  # what another window learns
    total, count = 0.0, 0
    vectors = []
    for row in range(len(tokens)):
        for place in range(5):
            if labels[row, place, 0]:
                history, target = tokens[row : row + 1, : 1 + (place + 1) * DIGITS], labels[row : row + 1, place]
                single = model.training_pass(history, target)
                vectors.append(single.vectors)
                logits = model.decode(model.encode(history), history, target)
                expected = torch.nn.functional.cross_entropy(logits[0], target[0])
                torch.testing.assert_close(single.loss(), expected)
                torch.testing.assert_close(single.vectors, model.vectors(history))
                torch.testing.assert_close(single.vectors, model.vectors(history, model.encode(history)))
                total, count = total + expected.item(), count + 1
    learned = model.training_pass(tokens, labels)
    assert count == sum(LENGTHS) - 1
    assert learned.loss().item() == pytest.approx(total / count, rel=1e-5)
    torch.testing.assert_close(learned.vectors, torch.cat(vectors))


def test_part_of_a_batch_of_rows_can_generate(model, batch) -> None:
    tokens, labels = batch
    whole = model.training_pass(tokens, labels)
    torch.testing.assert_close(whole.loss(slice(2)), model.training_pass(tokens[:2], labels[:2]).loss())
    assert len(whole.vectors) == 6


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True])
def test_every_path_of_a_tree_gets_what_teacher_forcing_gives(model, batch, packed: bool) -> None:
    tokens, _ = batch
    generator = torch.Generator().manual_seed(2)
    users, widths = len(tokens), [1, 3, 5, 4]
    memory, tree = model.memory(tokens), TokenTree(CONFIG.num_layers, longest=4, capacity=2)
    encoded, first = model.encode(tokens), 0
    paths: list[list] = [[] for _ in range(users)]  # of each user and slot; None where the node has no meaning
    parents = torch.zeros(users, 1, dtype=torch.long)
    for depth, width in enumerate(widths):
        new = torch.randint(1, 40, (users, width), generator=generator) if depth else torch.zeros(users, 1).long()
        valid = torch.rand(users, width, generator=generator) < 0.7 if packed and depth else None
        (got,) = model.extend(memory, tree, [NewNodes(new, parents, depth, slice(5, 30), valid)])
        for user in range(users):
            for node in range(width):
                above = paths[user][int(parents[user, node])] if depth else []
                if above is None or (valid is not None and not valid[user, node]):
                    paths[user].append(None)
                    continue
                path = [*above, int(new[user, node])] if depth else []
                paths[user].append(path)
                row, labels = slice(user, user + 1), torch.tensor([[*path, 1]])
                expected = model.decode(encoded[row], tokens[row], labels)[0, -1].log_softmax(-1)[5:30]
                torch.testing.assert_close(got[user, node], expected, atol=1e-5, rtol=1e-4)
        next_width = widths[depth + 1] if depth + 1 < len(widths) else 0
        parents = first + torch.randint(0, width, (users, next_width), generator=generator)
        first += width


@pytest.mark.parametrize("gradient", [False, True])
def test_several_depths_can_be_added_at_once(model, batch, gradient: bool) -> None:
    """With gradients the paths are gathered, without them they are read in place."""
    tokens, labels = batch
    expected = model.decode(model.encode(tokens), tokens, labels).log_softmax(-1)
    with torch.set_grad_enabled(gradient):
        slots = torch.arange(4).expand(6, -1)
        new = [NewNodes(labels[:, :1], slots[:, :1], 0)]
        new += [NewNodes(labels[:, i : i + 1], slots[:, i : i + 1], i + 1) for i in range(3)]
        got = model.extend(model.memory(tokens), TokenTree(CONFIG.num_layers, 4, 24), new)
    torch.testing.assert_close(torch.cat(got, 1), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_users_without_any_history_get_what_comes_first(model) -> None:
    tokens, zero = torch.tensor([[BOS], [BOS]]), torch.zeros(2, 1, dtype=torch.long)
    (got,) = model.extend(model.memory(tokens), TokenTree(CONFIG.num_layers, 1, 2), [NewNodes(zero, zero, 0)])
    expected = model.decode(model.encode(tokens), tokens, zero + 5).log_softmax(-1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_some_users_go_on_without_the_others(model, batch) -> None:
    assert_some_users_go_on_without_the_others(model, batch[0], CONFIG.num_layers)


def test_decoding_in_bfloat16_gives_float32_scores_near_those_of_float32(model, batch) -> None:
    assert_bfloat16_gives_float32_scores_near_those_of_float32(model, batch[0], CONFIG.num_layers, atol=0.15)


def test_compiled_layers_give_the_same_loss_and_keep_the_names_of_their_parameters(model, windows) -> None:
    compiled = copy.deepcopy(model)
    compiled.compile_layers(backend="eager")
    assert list(compiled.state_dict()) == list(model.state_dict())
    losses = [module.training_pass(*windows).loss() for module in (model, compiled)]
    torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.parametrize("training", [False, True])
def test_a_model_without_dropout_is_the_same_in_training_and_evaluation(model, windows, training: bool) -> None:
    with torch.no_grad():
        expected = model.training_pass(*windows).loss()
    model.train(training)
    torch.testing.assert_close(model.training_pass(*windows).loss(), expected)


def test_dropout_is_there_in_training_only(windows) -> None:
    model = DecoderOnly(replace(CONFIG, dropout_rate=0.5))
    losses = [model.training_pass(*windows).loss().item() for _ in range(2)]
    assert losses[0] != losses[1]
    model.eval()
    assert model.training_pass(*windows).loss() == model.training_pass(*windows).loss()
