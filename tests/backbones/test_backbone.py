"""The T5 against `transformers.T5ForConditionalGeneration`, and the tree primitive against teacher forcing."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from backbone_cases import (
    assert_bfloat16_gives_float32_scores_near_those_of_float32,
    assert_some_users_go_on_without_the_others,
)
from hypothesis import given
from hypothesis import strategies as st

from recbole_specgr.backbones import T5, T5Config, cpu_kernels
from recbole_specgr.backbones.length_groups import length_groups
from recbole_specgr.backbones.path_attention import PathAttention
from recbole_specgr.backbones.token_tree import NewNodes, TokenTree
from recbole_specgr.backbones.transformers_weights import from_transformers, to_transformers

CONFIG = T5Config(
    vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=2, dropout_rate=0.0
)


@pytest.fixture(params=[8, 4], ids=["wide heads", "narrow heads"])  # with which cross-attention differs
def model(request) -> T5:
    torch.manual_seed(0)
    return T5(replace(CONFIG, d_kv=request.param)).eval()


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
    for parameter in theirs.parameters():
        parameter.data = parameter.grad
    for name, expected in from_transformers(theirs).named_parameters():
        torch.testing.assert_close(model.get_parameter(name).grad, expected.detach(), atol=1e-5, rtol=1e-3)


def test_grouping_by_length_changes_neither_logits_nor_gradients(model, batch) -> None:
    tokens, labels = batch
    assert len(length_groups(tokens, 0)) > 1
    results = []
    for module in (model.double().eval(), copy.deepcopy(model).train()):  # groups are made in training only
        logits = module.decode(module.encode(tokens), tokens, labels)
        module.loss(module.encode(tokens), tokens, labels).backward()
        results.append((logits, {name: value.grad for name, value in module.named_parameters()}))
    torch.testing.assert_close(results[0], results[1])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 5))
def test_length_groups_hold_each_row_once_and_cut_no_token_off(lengths: list[int], further: int) -> None:
    tokens = torch.zeros(len(lengths), max(lengths) + further, dtype=torch.long)
    for row, length in enumerate(lengths):
        tokens[row, :length] = 7
    groups = length_groups(tokens, 0)
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(len(lengths)))
    for rows, size in groups:
        assert not tokens[rows, size:].any()
    if len(groups) > 1:
        assert sum(len(rows) * size for rows, size in groups) <= 0.9 * tokens.numel()


def test_a_gpu_is_not_asked_for_lengths_where_groups_would_be_small() -> None:
    tokens = torch.ones(256, 82, dtype=torch.long, device="meta")  # which has no values to be asked for
    ((rows, size),) = length_groups(tokens, 0)
    assert len(rows) == 256 and size == 82


def test_compiled_layers_give_the_same_loss_and_keep_the_names_of_their_parameters(model, batch) -> None:
    tokens, labels = batch
    compiled = copy.deepcopy(model)
    compiled.compile_layers(backend="eager")
    assert list(compiled.state_dict()) == list(model.state_dict())
    losses = [module.loss(module.encode(tokens), tokens, labels) for module in (model, compiled)]
    torch.testing.assert_close(losses[1], losses[0])
    losses[1].backward()
    assert compiled.embedding.weight.grad.abs().sum() > 0


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
    memory, tree = model.memory(tokens), TokenTree(CONFIG.num_decoder_layers, longest=4, capacity=2)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("nodes", [7, 0])
@pytest.mark.parametrize("lengths", [[3], [1, 3, 2]])
def test_paths_read_in_place_and_paths_gathered_give_the_same(
    dtype: torch.dtype, lengths: list[int], nodes: int
) -> None:
    """The first way is a CPU's, the second a GPU's and that of whoever wants gradients."""
    generator = torch.Generator().manual_seed(3)
    heads, width, rows = 2, 4, 20
    store = torch.randn(rows, 2 * heads * width, generator=generator).to(dtype)
    query = torch.randn(nodes * len(lengths), heads * width, generator=generator).to(dtype)
    paths = [torch.randint(0, rows, (nodes, length), generator=generator) for length in lengths]
    table = torch.randn(heads, 3, 3, generator=generator)

    def position_bias(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return table[:, queries][:, :, keys]

    with torch.no_grad():
        in_place = PathAttention(paths, position_bias)
    gathered = PathAttention(paths, position_bias)
    assert in_place.bags
    assert not gathered.bags
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(in_place(query, store), gathered(query, store), atol=tolerance, rtol=tolerance)
    if not nodes:
        return
    node, head, own = nodes * len(lengths) - 1, 1, paths[-1][-1]  # one of them by hand
    part = slice(head * width, (head + 1) * width)
    keys, values = store[own].double().split(heads * width, 1)
    scores = keys[:, part] @ query[node, part].double() + table[head, len(own) - 1, : len(own)].double()
    expected = scores.softmax(0) @ values[:, part]
    got = in_place(query, store)[node, part].double()
    torch.testing.assert_close(got, expected, atol=tolerance, rtol=tolerance)


def test_some_users_go_on_without_the_others(model, batch) -> None:
    assert_some_users_go_on_without_the_others(model, batch[0], CONFIG.num_decoder_layers)


def test_decoding_in_bfloat16_gives_float32_scores_near_those_of_float32(model, batch) -> None:
    assert_bfloat16_gives_float32_scores_near_those_of_float32(model, batch[0], CONFIG.num_decoder_layers, atol=0.1)


def test_bfloat16_is_for_decoding_and_for_float32_models_only(model, batch) -> None:
    tokens, _ = batch
    expected = model.encode(tokens)
    wide = copy.deepcopy(model).double()
    model.decoding_dtype = wide.decoding_dtype = torch.bfloat16
    torch.testing.assert_close(model.encode(tokens), expected, atol=0, rtol=0)  # a gradient may be wanted
    with torch.no_grad():
        torch.testing.assert_close(wide.encode(tokens), expected.double(), atol=1e-5, rtol=1e-4)
        assert wide.memory(tokens).layers[0].keys.dtype == torch.float64


class TestCpuKernels:
    """Values and gradients of the CPU's training blocks against the plain operations."""

    @staticmethod
    def double(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    def compare(self, ours, plain, *inputs: torch.Tensor) -> None:
        weight = torch.randn_like(ours)
        torch.testing.assert_close(ours, plain)
        gradients = torch.autograd.grad((ours * weight).sum(), inputs)
        torch.testing.assert_close(gradients, torch.autograd.grad((plain * weight).sum(), inputs))

    def test_rms_norm(self) -> None:
        x, weight = self.double(3, 5, 8), self.double(8)
        plain = torch.nn.functional.rms_norm(x, (8,), weight, 1e-6)
        self.compare(cpu_kernels.RMSNorm.apply(x, weight, 1e-6), plain, x, weight)

    def test_feed_forward(self, monkeypatch) -> None:
        monkeypatch.setattr(cpu_kernels, "ROW_BLOCK", 4)
        x, wi, wo = self.double(11, 6), self.double(9, 6), self.double(6, 9)
        plain = torch.relu(x @ wi.T) @ wo.T
        self.compare(cpu_kernels.FeedForward.apply(x, wi, wo, 0.0), plain, x, wi, wo)

    def test_feed_forward_with_dropout_keeps_whole_hidden_units(self) -> None:
        x, wi, wo = self.double(1000, 6), self.double(9, 6), torch.eye(9, dtype=torch.float64).requires_grad_()
        out = cpu_kernels.FeedForward.apply(x, wi, wo, 0.25)
        plain = torch.relu(x @ wi.T) / 0.75
        kept = (out != 0) | (plain == 0)
        torch.testing.assert_close(out, plain * (out != 0))
        assert kept[plain > 0].double().mean() == pytest.approx(0.75, abs=0.03)
        self.compare(out, plain * (out != 0), x, wi)

    def test_self_attention(self, monkeypatch) -> None:
        monkeypatch.setattr(cpu_kernels, "SCORE_BLOCK", 2 * 7 * 7)
        x, qkv, bias = self.double(5, 7, 6), self.double(3 * 2 * 4, 6), self.double(2, 7, 7)
        mask = torch.zeros(5, 1, 1, 7, dtype=torch.float64)
        mask[1, ..., 3:] = torch.finfo(torch.float64).min
        query, key, value = (x @ qkv.T).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        plain = ((query @ key.transpose(2, 3) + bias + mask).softmax(-1) @ value).transpose(1, 2).flatten(2)
        self.compare(cpu_kernels.SelfAttention.apply(x, qkv, bias, mask), plain, x, qkv, bias)

    def test_under_autocast_gradients_are_float32_and_near_those_of_float32(self, model, batch) -> None:
        tokens, labels = batch
        gradients = []
        for autocast in (False, True):
            model.train().zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = model.loss(model.encode(tokens), tokens, labels)
            loss.backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        assert gradients[1].dtype == torch.float32
        assert not torch.equal(*gradients)
        assert torch.cosine_similarity(*gradients, dim=0) > 0.999
        assert float(gradients[1].norm()) == pytest.approx(float(gradients[0].norm()), rel=0.01)

    def test_dropout(self) -> None:
        x = self.double(100, 100)
        out = cpu_kernels.Dropout.apply(x, 0.1)
        kept = out != 0
        assert kept.double().mean() == pytest.approx(1 - 26 / 256, abs=0.01)
        self.compare(out, x * kept / (1 - 26 / 256), x)

    def test_dropout_is_fresh_each_time_and_repeats_under_a_seed(self) -> None:
        masks = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            masks.append(cpu_kernels.keep_mask(cpu_kernels.random_bytes(165), 0.5, torch.empty(33, 5))[0])
        assert torch.equal(masks[0], masks[1])
        assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("training", [False, True])
def test_a_model_without_dropout_is_the_same_in_training_and_evaluation(model, batch, training: bool) -> None:
    tokens, labels = batch
    with torch.no_grad():
        expected = model.eval().loss(model.encode(tokens), tokens, labels)
    model.train(training)
    torch.testing.assert_close(model.loss(model.encode(tokens), tokens, labels), expected)
