"""Our T5's weights in `transformers.T5ForConditionalGeneration` and back: the same logits either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recbole_specgr.backbones.t5 import T5, T5Config

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration


def name_map(config: T5Config) -> dict[str, list[str]]:
    """Our parameter -> theirs; several of theirs stand below each other in one of ours."""
    names = {
        "embedding.weight": ["shared.weight"],
        "encoder_norm.weight": ["encoder.final_layer_norm.weight"],
        "decoder_norm.weight": ["decoder.final_layer_norm.weight"],
    }
    for stack, layers in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
        names[f"{stack}_bias.weight"] = [f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        for i in range(layers):
            blocks = [("self", "SelfAttention"), ("cross", "EncDecAttention")][: 1 if stack == "encoder" else 2]
            for j, (ours, theirs) in enumerate(blocks):
                layer = f"{stack}.block.{i}.layer.{j}"
                names[f"{stack}.{i}.{ours}_norm.weight"] = [f"{layer}.layer_norm.weight"]
                parts = {"self": {"qkv": "qkv"}, "cross": {"q": "q", "kv": "kv"}}[ours] | {"o": "o"}
                for matrix, letters in parts.items():
                    names[f"{stack}.{i}.{ours}_attention.{matrix}.weight"] = [
                        f"{layer}.{theirs}.{letter}.weight" for letter in letters
                    ]
            layer = f"{stack}.block.{i}.layer.{len(blocks)}"
            names[f"{stack}.{i}.ff_norm.weight"] = [f"{layer}.layer_norm.weight"]
            for matrix in ("wi", "wo"):
                names[f"{stack}.{i}.ff.{matrix}.weight"] = [f"{layer}.DenseReluDense.{matrix}.weight"]
    return names


def to_transformers(model: T5) -> T5ForConditionalGeneration:
    """A `transformers` model of the same weights, in evaluation mode where `model` is."""
    from transformers import T5Config as TheirConfig
    from transformers import T5ForConditionalGeneration

    c = model.config
    theirs = T5ForConditionalGeneration(
        TheirConfig(
            vocab_size=c.vocab_size,
            d_model=c.d_model,
            d_kv=c.d_kv,
            d_ff=c.d_ff,
            num_layers=c.num_layers,
            num_decoder_layers=c.num_decoder_layers,
            num_heads=c.num_heads,
            dropout_rate=c.dropout_rate,
            relative_attention_num_buckets=c.relative_attention_num_buckets,
            relative_attention_max_distance=c.relative_attention_max_distance,
            layer_norm_epsilon=c.layer_norm_epsilon,
            pad_token_id=c.pad_token_id,
            decoder_start_token_id=c.pad_token_id,
            feed_forward_proj="relu",
            tie_word_embeddings=True,
        )
    )
    state: dict[str, Tensor] = {}
    for ours, parts in name_map(c).items():
        state.update(zip(parts, model.state_dict()[ours].chunk(len(parts)), strict=True))
    for tied in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        state[tied] = state["shared.weight"]
    theirs.load_state_dict(state)
    return theirs.to(model.embedding.weight).train(model.training)


def from_transformers(theirs: T5ForConditionalGeneration) -> T5:
    """Our model of the weights of a `transformers` one.

    Raises:
        ValueError: for a T5 variant that this backbone is not (gated feed-forward, untied head).
    """
    c = theirs.config
    if c.feed_forward_proj != "relu" or not c.tie_word_embeddings:
        raise ValueError(
            f"the backbone is T5 v1.0 (ReLU feed-forward, tied head); this model has feed_forward_proj="
            f"[{c.feed_forward_proj}] and tie_word_embeddings=[{c.tie_word_embeddings}]"
        )
    config = T5Config(**{name: getattr(c, name) for name in T5Config.__dataclass_fields__})
    state, model = theirs.state_dict(), T5(config)
    model.load_state_dict({ours: torch.cat([state[p] for p in parts]) for ours, parts in name_map(config).items()})
    return model.to(state["shared.weight"]).train(theirs.training)
