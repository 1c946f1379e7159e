"""The T5 against `transformers.T5ForConditionalGeneration`, and the tree primitive against teacher forcing."""

from __future__ import annotations

import pytest
import torch

from recbole_specgr.backbone import T5, T5Config
from recbole_specgr.backbone.token_tree import TokenTree
from recbole_specgr.backbone.transformers_weights import from_transformers, to_transformers

CONFIG = T5Config(
    vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=2, dropout_rate=0.0
)


@pytest.fixture
def model() -> T5:
    torch.manual_seed(0)
    return T5(CONFIG).eval()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 40, (6, 70), generator=generator)  # longer than the exact buckets reach
    for row, length in enumerate((70, 3, 40, 1, 69, 17)):
        tokens[row, length:] = 0
    return tokens, torch.randint(1, 40, (6, 4), generator=generator)


def test_logits_and_loss_equal_those_of_transformers(model, batch) -> None:
    tokens, labels = batch
    theirs = to_transformers(model)(input_ids=tokens, attention_mask=(tokens > 0).long(), labels=labels)
    encoded = model.encode(tokens)
    torch.testing.assert_close(model.decode(encoded, tokens, labels), theirs.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.loss(encoded, tokens, labels), theirs.loss, atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_transformers(model, batch) -> None:
    tokens, labels = batch
    theirs = to_transformers(model)
    theirs(input_ids=tokens, attention_mask=(tokens > 0).long(), labels=labels).loss.backward()
    model.loss(model.encode(tokens), tokens, labels).backward()
    bias = theirs.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.grad
    torch.testing.assert_close(model.encoder_bias.weight.grad, bias, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(model.embedding.weight.grad, theirs.shared.weight.grad, atol=1e-5, rtol=1e-3)


def test_weights_go_to_transformers_and_back_unchanged(model) -> None:
    back = from_transformers(to_transformers(model))
    assert back.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


def test_another_kind_of_t5_is_refused(model) -> None:
    theirs = to_transformers(model)
    theirs.config.feed_forward_proj = "gated-gelu"
    with pytest.raises(ValueError, match="gated-gelu"):
        from_transformers(theirs)


def test_the_initial_scale_is_that_of_transformers() -> None:
    from transformers import T5Config as TheirConfig
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=300, num_layers=1, num_decoder_layers=1)
    fields = {name: getattr(config, name) for name in T5Config.__dataclass_fields__}
    theirs = from_transformers(T5ForConditionalGeneration(TheirConfig(**fields, decoder_start_token_id=0)))
    for (name, ours), value in zip(T5(config).state_dict().items(), theirs.state_dict().values(), strict=True):
        assert ours.std() == pytest.approx(value.std().item(), rel=0.25, abs=1e-6), name


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True])
def test_every_path_of_a_tree_gets_what_teacher_forcing_gives(model, batch, packed: bool) -> None:
    tokens, _ = batch
    generator = torch.Generator().manual_seed(2)
    users, widths = len(tokens), [1, 3, 5, 4]
    memory, tree = model.memory(tokens), TokenTree(users, CONFIG.num_decoder_layers, capacity=2)
    encoded, first = model.encode(tokens), 0
    paths: list[list] = [[] for _ in range(users)]  # of each user and slot; None where the node has no meaning
    parents = torch.zeros(users, 1, dtype=torch.long)
    for depth, width in enumerate(widths):
        new = torch.randint(1, 40, (users, width), generator=generator) if depth else torch.zeros(users, 1).long()
        valid = torch.rand(users, width, generator=generator) < 0.7 if packed and depth else None
        got = model.extend(memory, tree, new, parents, depth, valid, slice(5, 30))
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


@torch.no_grad()
def test_some_users_go_on_without_the_others(model, batch) -> None:
    tokens, _ = batch
    memory, tree = model.memory(tokens), TokenTree(len(tokens), CONFIG.num_decoder_layers, capacity=4)
    zero, chosen = torch.zeros(len(tokens), 1, dtype=torch.long), torch.tensor([4, 1])
    model.extend(memory, tree, zero, zero, 0)
    some = tree.select(chosen)
    whole = model.extend(memory, tree, zero + 7, zero, 1)
    part = model.extend(memory.select(chosen), some, zero[:2] + 7, zero[:2], 1)
    torch.testing.assert_close(part, whole[chosen], atol=1e-5, rtol=1e-4)
