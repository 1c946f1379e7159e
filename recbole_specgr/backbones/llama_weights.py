"""The decoder-only backbone's weights in `transformers.LlamaForCausalLM` and back: the same logits either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recbole_specgr.backbones.decoder_only import DecoderOnly
from recbole_specgr.backbones.llama_layer import DecoderOnlyConfig

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


def name_map(config: DecoderOnlyConfig) -> dict[str, list[str]]:
    """Our parameter -> theirs; several of theirs stand below each other in one of ours."""
    names = {"embedding.weight": ["model.embed_tokens.weight"], "norm.weight": ["model.norm.weight"]}
    for i in range(config.num_layers):
        ours, theirs = f"layers.{i}", f"model.layers.{i}"
        names |= {
            f"{ours}.attention_norm.weight": [f"{theirs}.input_layernorm.weight"],
            f"{ours}.attention.qkv.weight": [f"{theirs}.self_attn.{letter}_proj.weight" for letter in "qkv"],
            f"{ours}.attention.o.weight": [f"{theirs}.self_attn.o_proj.weight"],
            f"{ours}.ff_norm.weight": [f"{theirs}.post_attention_layernorm.weight"],
            f"{ours}.ff.wi.weight": [f"{theirs}.mlp.gate_proj.weight", f"{theirs}.mlp.up_proj.weight"],
            f"{ours}.ff.wo.weight": [f"{theirs}.mlp.down_proj.weight"],
        }
    return names


def to_transformers(model: DecoderOnly) -> LlamaForCausalLM:
    """A `transformers` model of the same weights, in evaluation mode where `model` is. Theirs has no dropout."""
    from transformers import LlamaConfig, LlamaForCausalLM

    c = model.config
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c.vocab_size,
            hidden_size=c.d_model,
            head_dim=c.d_kv,
            intermediate_size=c.d_ff,
            num_hidden_layers=c.num_layers,
            num_attention_heads=c.num_heads,
            num_key_value_heads=c.num_heads,
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
            rms_norm_eps=c.rms_norm_eps,
            pad_token_id=c.pad_token_id,
            bos_token_id=None,
            eos_token_id=None,
            tie_word_embeddings=True,
            dropout_rate=c.dropout_rate,  # not theirs: it is kept for the way back
        )
    )
    state: dict[str, Tensor] = {}
    for ours, parts in name_map(c).items():
        state.update(zip(parts, model.state_dict()[ours].chunk(len(parts)), strict=True))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    theirs.load_state_dict(state)
    return theirs.to(model.embedding.weight).train(model.training)


def from_transformers(theirs: LlamaForCausalLM) -> DecoderOnly:
    """Our model of the weights of a `transformers` one.

    Raises:
        ValueError: for a Llama that this backbone is not (grouped keys and values, biases, an untied head, other
            activations or positions).
    """
    c = theirs.config
    expected = {
        "num_key_value_heads": c.num_attention_heads,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    }
    wrong = [f"{name}=[{getattr(c, name)}]" for name, value in expected.items() if getattr(c, name) != value]
    if c.rope_parameters["rope_type"] != "default":
        wrong.append(f"rope_type=[{c.rope_parameters['rope_type']}]")
    if wrong:
        raise ValueError(f"the backbone has no {', no '.join(wrong)}, as this Llama has")
    config = DecoderOnlyConfig(
        vocab_size=c.vocab_size,
        d_model=c.hidden_size,
        d_kv=c.head_dim,
        d_ff=c.intermediate_size,
        num_layers=c.num_hidden_layers,
        num_heads=c.num_attention_heads,
        dropout_rate=c.to_dict().get("dropout_rate", 0.0),
        rope_theta=c.rope_parameters["rope_theta"],
        rms_norm_eps=c.rms_norm_eps,
        pad_token_id=c.pad_token_id or 0,
    )
    state, model = theirs.state_dict(), DecoderOnly(config)
    model.load_state_dict({ours: torch.cat([state[p] for p in parts]) for ours, parts in name_map(config).items()})
    return model.to(state["model.embed_tokens.weight"]).train(theirs.training)
