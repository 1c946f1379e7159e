"""Attention of a token tree's nodes to the few nodes of their own paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.backbones.precision import at_least_float32


class PathAttention:
    """Unscaled attention of R new nodes, each to the n nodes from the root to itself.

    Keys and values stand in a store that all users and depths share, so that a node's path is a row of numbers: nothing
    is masked but the places where paths of one call differ in length. What depends on the paths alone is made once, for
    all layers.

    Args:
        paths: rows of the store for nodes of one depth `[R_i, n_i]`, for each depth of the call.
        position_bias: positions `[q]` and `[k]` -> bias `[heads, q, k]`.
    """

    def __init__(self, paths: Sequence[Tensor], position_bias: Callable[[Tensor, Tensor], Tensor]) -> None:
        longest = max(part.size(1) for part in paths)
        depths = torch.arange(longest, device=paths[0].device)
        later = depths[None, :] > depths[:, None]
        bias = position_bias(depths, depths).transpose(0, 1).masked_fill(later[:, None], float("-inf"))
        own = [bias[part.size(1) - 1 : part.size(1)] for part in paths]
        if len(paths) > 1:
            own = [row.expand(len(part), -1, -1) for row, part in zip(own, paths, strict=True)]
        self.bias = torch.cat(own)  # [R, heads, n], or [1, heads, n] where all paths are equally long
        self.paths = torch.cat([F.pad(part, (0, longest - part.size(1))) for part in paths])  # row 0 is anybody's
        self.heads = self.bias.size(1)
        self.bags = self.paths.device.type == "cpu" and not torch.is_grad_enabled()
        if self.bags:
            # of every node's head the entries in the store as it is seen by heads: all keys of a row, then all values
            heads = torch.arange(self.heads)
            self.keys = (2 * self.heads * self.paths[:, None, :] + heads[:, None]).flatten(0, 1)
            self.first = torch.arange(0, self.keys.numel(), longest)
            self.query_of = torch.arange(len(self.keys)).repeat_interleave(longest)

    def __call__(self, query: Tensor, store: Tensor, beside: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Queries `[R, heads * d]` and the store of keys and values `[rows, 2 * heads * d]` -> `[R, heads * d]`.

        Args:
            beside: what the same queries have read elsewhere `[R, heads * d]`, with the log of the sum that its keys
                weigh `[R, heads]`. It counts as one more key: the softmax is over both. None: the path is all there is.
        """
        attend = self._in_bags if self.bags else self._gathered
        if beside is None:
            return attend(query, store, self._softmax)
        read, weight = beside
        shares: list[Tensor] = []

        def softmax(scores: Tensor) -> Tensor:
            weights = self._softmax(scores, at_least_float32(weight)[..., None])
            shares.append(weights[..., -1:])
            return weights[..., :-1]

        out = attend(query, store, softmax).unflatten(-1, (self.heads, -1))
        return torch.addcmul(out, shares[0].to(read.dtype), read.unflatten(-1, (self.heads, -1))).flatten(1)

    def _gathered(self, query: Tensor, store: Tensor, softmax: Callable[[Tensor], Tensor]) -> Tensor:
        path = store.index_select(0, self.paths.flatten()).unflatten(-1, (2, self.heads, -1))
        keys, values = path.unflatten(0, self.paths.shape).unbind(2)
        scores = (keys * query.unflatten(-1, (self.heads, -1))[:, None]).sum(-1)
        weights = softmax(scores.transpose(1, 2)).to(values.dtype)
        return (values * weights.transpose(1, 2)[..., None]).sum(1).flatten(1)

    def _in_bags(self, query: Tensor, store: Tensor, softmax: Callable[[Tensor], Tensor]) -> Tensor:
        """A head's output is a bag of its path's values, and its scores are that bag's gradient for its weights: the
        embedding bag's kernels read the store in place, where the plain operations copy it several times over."""
        entries = store.view(2 * self.heads * len(store), -1)
        queries = query.reshape(len(self.keys), entries.size(1))
        scores = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            queries, entries, self.keys.flatten(), self.first, self.query_of, 0
        )
        weights = softmax(scores.view(-1, self.heads, self.bias.size(2)))
        weights = weights.to(entries.dtype).flatten(0, 1)
        values = F.embedding_bag(self.keys + self.heads, entries, per_sample_weights=weights, mode="sum")
        return values.view(query.shape)

    def _softmax(self, scores: Tensor, *beside: Tensor) -> Tensor:
        """Scores `[R, heads, n]`, and of what is read elsewhere `[R, heads, 1]` -> what they weigh, in float32 or
        wider."""
        scores = at_least_float32(scores) + self.bias
        return torch.softmax(torch.cat([scores, *beside], -1) if beside else scores, -1)
