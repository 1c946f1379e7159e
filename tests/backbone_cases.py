"""What every backbone must do, whatever its architecture."""

from __future__ import annotations

import torch

from recbole_specgr.backbones.token_tree import NewNodes, TokenTree


@torch.no_grad()
def assert_some_users_go_on_without_the_others(model: torch.nn.Module, tokens: torch.Tensor, layers: int) -> None:
    """`layers`: of the tree."""
    memory, tree = model.memory(tokens), TokenTree(layers, longest=2, capacity=4)
    zero, chosen = torch.zeros(len(tokens), 1, dtype=torch.long), torch.tensor([4, 1])
    model.extend(memory, tree, [NewNodes(zero, zero, 0)])
    some = tree.select(chosen)
    (whole,) = model.extend(memory, tree, [NewNodes(zero + 7, zero, 1)])
    (part,) = model.extend(memory.select(chosen), some, [NewNodes(zero[:2] + 7, zero[:2], 1)])
    torch.testing.assert_close(part, whole[chosen], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def assert_bfloat16_gives_float32_scores_near_those_of_float32(
    model: torch.nn.Module, tokens: torch.Tensor, layers: int, atol: float
) -> None:
    """`layers`: of the tree. `tokens`: of six users, of whom the second is left without a history."""
    tokens[1] = 0
    new, parents = torch.arange(1, 13).view(6, 2), torch.zeros(6, 2, dtype=torch.long)
    scores = []
    for dtype in (torch.float32, torch.bfloat16):
        model.decoding_dtype = dtype
        memory, tree = model.memory(tokens), TokenTree(layers, longest=2, capacity=20)
        assert memory.layers[0].keys.dtype == dtype
        root = NewNodes(parents[:, :1], parents[:, :1], 0)
        scores.append(model.extend(memory, tree, [root, NewNodes(new, parents, 1)])[1])
    assert scores[1].dtype == torch.float32
    assert not torch.equal(*scores)
    torch.testing.assert_close(scores[1], scores[0], atol=atol, rtol=0.02)
