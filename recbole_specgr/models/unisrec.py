from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_specgr.backbones.blocks import Dropout
from recbole_specgr.models.contract import Pretrained
from recbole_specgr.models.text_sequence_recommender import TextSequenceRecommender
from recbole_specgr.system.errors import UserError

TRANSFORM = ("text_standardise", "text_pca")  # what becomes of the encoder's vectors


class UniSRec(TextSequenceRecommender):
    """Universal sequence representations from item text.

    Hou et al., "Towards Universal Sequence Representation Learning for Recommender Systems", KDD 2022, in its inductive
    setting: no item ids. A mixture of whitening experts adapts the text vectors, SASRec's encoder reads them, and the
    loss is the cross entropy of the cosine to the next item, over a temperature, among the seen items.

    `pretrained` starts from a run of UniSRec or UniSRecPretrain on other data whose text has the same encoder, and
    `freeze_encoder` then trains the adaptor alone, as the paper's parameter-efficient fine-tuning does.
    """

    by_cosine = True

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.temperature = config["temperature"]
        self.text_encoder, self.dataset_name = config["text_encoder"], config["dataset"]
        self.text_transform = {key: config[key] for key in TRANSFORM}
        self.adaptor = MoEAdaptor(
            self.features.size(1), self.hidden_size, config["n_experts"], config["adaptor_dropout_prob"]
        )
        self.apply(self._init_weights)
        if config["freeze_encoder"]:
            if not config["pretrained"]:
                raise UserError(
                    "[freeze_encoder: True] without [pretrained] would train the adaptor for an encoder of random "
                    "numbers. Name the run or the file that the encoder comes from: --pretrained=RUN"
                )
            for module in (self.position_embedding, self.trm_encoder, self.LayerNorm):
                module.requires_grad_(False)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MoEAdaptor):
            nn.init.normal_(module.weight, std=self.initializer_range)

    def start_from(self, pretrained: Pretrained) -> None:
        """Take over the parameters of another run. Raises UserError for those of other sizes or other text."""
        settings = pretrained.settings
        if settings is not None:
            encoder = settings["text_encoder"]
            if encoder != self.text_encoder or (encoder == "lsa" and settings["dataset"] != self.dataset_name):
                raise UserError(
                    f"[pretrained: {pretrained.path}] read text of [{settings['dataset']}] encoded by [{encoder}], "
                    f"here it is [{self.dataset_name}] by [{self.text_encoder}]: the two don't compare. (lsa is "
                    f"fitted to each data set anew.)"
                )
            self._check_transform(pretrained.path, settings)
        theirs, ours = pretrained.state, self.state_dict()
        if {name: value.shape for name, value in theirs.items()} != {name: value.shape for name, value in ours.items()}:
            raise UserError(
                f"[pretrained: {pretrained.path}] does not fit: it must be a UniSRec of the same sizes, on text of the "
                f"same encoder (here {self.features.size(1)} wide)."
            )
        self.load_state_dict(theirs)

    def _check_transform(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Raise UserError where the text vectors were brought into another space after they were encoded. Standardised
        ones of two data sets compare; principal components are those of their own."""
        for key, ours in self.text_transform.items():
            theirs = settings.get(key) or None
            if theirs != (ours or None) or (key == "text_pca" and ours and settings["dataset"] != self.dataset_name):
                raise UserError(
                    f"[pretrained: {path}] read text of [{settings['dataset']}] with {key} {theirs}, here it is "
                    f"[{self.dataset_name}] with {ours}: the two don't compare. Give both the same; text_pca is "
                    f"fitted to each data set anew."
                )


class MoEAdaptor(nn.Module):
    """UniSRec's mixture of parametric whitening experts: `sum_k g_k(x) (dropout(x) - b_k) W_k`.

    The gate is a softmax whose logits get learned noise while training.

    Args:
        d_in, d_out: widths of text vectors and of what comes out.
        n_experts: number of experts.
        dropout: share of the text vector's entries that a step leaves out, the same for all experts.
    """

    def __init__(self, d_in: int, d_out: int, n_experts: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_experts, d_in, d_out))
        self.bias = nn.Parameter(torch.zeros(n_experts, d_in))
        self.gate = nn.Parameter(torch.zeros(d_in, n_experts))
        self.noise = nn.Parameter(torch.zeros(d_in, n_experts))
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Text vectors `[n, d_in]` -> `[n, d_out]`."""
        logits = features @ self.gate
        if self.training:
            logits = logits + torch.randn_like(logits) * (F.softplus(features @ self.noise) + 0.01)
        gates = logits.softmax(-1)
        # One product for all experts; what an expert's bias takes away does not depend on the item.
        experts, d_in, d_out = self.weight.shape
        flat = self.weight.transpose(0, 1).reshape(d_in, experts * d_out)
        adapted = (self.dropout(features) @ flat).view(-1, experts, d_out)
        whitened = adapted - torch.einsum("ei,eio->eo", self.bias, self.weight)
        return torch.einsum("ne,neo->no", gates, whitened)
