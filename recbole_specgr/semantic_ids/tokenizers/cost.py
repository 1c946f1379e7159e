"""CoST (Zhu et al., "CoST: Contrastive Quantization based Semantic Tokenization for Generative Recommendation", RecSys
2024): an RQ-VAE whose codes have to tell an item from the others, in place of reconstructing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.semantic_ids.tokenizers.rqvae import (
    RQVAE,
    Autoencoder,
    Quantized,
    ResidualQuantizer,
    straight_through,
)


@dataclass
class CoST(RQVAE):
    """What is decoded of an item's codes has to be nearer, by the cosine, to its own vector than to the others' of the
    batch. The autoencoder's settings are those of `rqvae`.

    Only directions are learned, unless the reconstruction error has a weight. So `reconstruct` gives a vector the mean
    length of the centred vectors that it was fitted on.

    Attributes:
        temperature: tau of the softmax over cosines.
        reconstruction: weight of the reconstruction error beside the contrast; 0 puts the contrast in its place.
    """

    temperature: float = 0.1
    reconstruction: float = 0.0

    method = "cost"
    length = cast("np.ndarray", None)  # float32 [], None until it is fitted

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: torch.device | str) -> None:
        super()._fit(features, seed, show_progress, device)
        self.length = np.linalg.norm((features - self.mean) / self.scale, axis=1).mean(dtype=np.float32)

    def _contrast(self, decoded: Tensor, x: Tensor) -> Tensor:
        """Cross entropy of finding each row of x [B, d] among all of them by what was decoded for it [B, d]; [B]."""
        cosine = F.normalize(decoded, dim=1) @ F.normalize(x, dim=1).T
        contrast = F.cross_entropy(cosine / self.temperature, torch.arange(len(x), device=x.device), reduction="none")
        return contrast + self.reconstruction * (decoded - x).square().mean(1)

    def _errors(self, autoencoder: Autoencoder, quantized: Quantized, x: Tensor, rows: Tensor) -> Tensor:
        return self._contrast(autoencoder.decoder(quantized.vectors), x)

    def _loss(self, autoencoder: Autoencoder, quantizer: ResidualQuantizer | None, x: Tensor, rows: Tensor) -> Tensor:
        """The contrast plus `commitment` times the commitment loss."""
        latent = autoencoder.encoder(x)
        if quantizer is None:
            return self._contrast(autoencoder.decoder(latent), x).mean()
        quantized = quantizer(latent, learn=True)
        contrast = self._contrast(autoencoder.decoder(straight_through(latent, quantized)), x).mean()
        return contrast + self.commitment * quantized.commitment

    def _reconstruct(self, codes: np.ndarray) -> np.ndarray:
        decoded = (super()._reconstruct(codes) - self.mean) / self.scale
        lengths = np.maximum(np.linalg.norm(decoded, axis=1, keepdims=True), 1e-12)
        return decoded / lengths * self.length * self.scale + self.mean

    def state(self) -> dict[str, np.ndarray]:
        """What an RQ-VAE has, and the mean length, once fitted."""
        state = super().state()
        return {**state, "length": self.length} if state else {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        super().load_state(state)
        self.length = np.array(state["length"])
