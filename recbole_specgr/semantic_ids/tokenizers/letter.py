"""LETTER (Wang et al., "Learnable Item Tokenization for Generative Recommendation", CIKM 2024): an RQ-VAE whose codes
also say who used the items, and whose codebooks are spread out."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.semantic_ids.balance import even_clusters
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.semantic_ids.tokenizers.rqvae import (
    RQVAE,
    Autoencoder,
    Quantized,
    ResidualQuantizer,
    straight_through,
)
from recbole_specgr.system.errors import UserError


@dataclass
class LETTER(RQVAE):
    """An RQ-VAE with two further losses. The autoencoder's settings are those of `rqvae`.

    A new item has no collaborative vector. It is encoded from its text alone, by an encoder that has learned what text
    says of use.

    Attributes:
        collaborative: a finished run of a model with item embeddings (SASRec in the paper), whose embeddings are the
            collaborative vectors; None: a truncated singular value decomposition of the training interactions.
        alignment: weight of the collaborative loss (the paper's alpha): the cross entropy of finding an item's
            collaborative vector, among those of the batch, by its quantised vector.
        diversity: weight of the diversity loss (the paper's beta): the cross entropy of finding a code of the same
            cluster, among all codes of the level, by an item's code.
        clusters: clusters of the codes of a level, about equally large; found anew each epoch.
    """

    collaborative: str | None = None
    alignment: float = 0.02
    diversity: float = 1e-4
    clusters: int = 10

    method = "letter"
    _used = cast(Tensor, None)  # collaborative vectors of the items that it is fitted on [n, latent_size], during `fit`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clusters < 1:
            raise UserError(f"tokenizer.letter.clusters must be at least 1, not {self.clusters}.")

    @property
    def collaborative_width(self) -> int:
        """Width of the collaborative vectors: they are compared with the quantised ones."""
        return self.latent_size

    def fit(
        self,
        features: np.ndarray,
        seed: int,
        show_progress: bool = False,
        device: torch.device | str = "cpu",
        collaborative: np.ndarray | None = None,
    ) -> Tokenizer:
        """Fit the codebooks, as in `Tokenizer`. The collaborative vectors are brought to a root mean square of 1."""
        if collaborative is None or collaborative.shape != (len(features), self.latent_size):
            raise UserError(f"letter is fitted with collaborative vectors [{len(features)}, {self.latent_size}].")
        scale = max(float(np.sqrt(np.square(collaborative).mean())), 1e-12)
        self._used = torch.from_numpy(np.asarray(collaborative / scale, dtype=np.float32)).to(device)
        try:
            return super().fit(features, seed, show_progress, device)
        finally:
            del self._used

    def _quantizer(self, latent: Tensor, batch_size: int, seed: int, generator: torch.Generator) -> "DiverseQuantizer":
        start = ResidualQuantizer.from_kmeans(latent, self, batch_size, seed, generator)
        clusters = min(self.clusters, self.codebook_size // 2)  # two codes in a cluster at least
        return DiverseQuantizer(
            start.codebooks, start.counts, self.decay, self.restart_below, generator, clusters, self.diversity
        )

    def _alignment(self, quantized: Tensor, rows: Tensor) -> Tensor:
        """Cross entropy [B] of finding the collaborative vectors of `rows` [B] by the quantised ones [B, latent]."""
        logits = quantized @ self._used[rows].T
        return F.cross_entropy(logits, torch.arange(len(rows), device=logits.device), reduction="none")

    def _errors(self, autoencoder: Autoencoder, quantized: Quantized, x: Tensor, rows: Tensor) -> Tensor:
        alignment = self._alignment(quantized.vectors, rows)
        return super()._errors(autoencoder, quantized, x, rows) + self.alignment * alignment

    def _loss(self, autoencoder: Autoencoder, quantizer: ResidualQuantizer | None, x: Tensor, rows: Tensor) -> Tensor:
        """Reconstruction error, `commitment` times the commitment loss, and `alignment` times the collaborative loss.
        The codebooks get the diversity loss from the quantiser."""
        latent = autoencoder.encoder(x)
        if quantizer is None:
            return F.mse_loss(autoencoder.decoder(latent), x)
        quantized = quantizer(latent, learn=True)
        vectors = straight_through(latent, quantized)
        reconstruction = F.mse_loss(autoencoder.decoder(vectors), x)
        alignment = self._alignment(vectors, rows).mean()
        return reconstruction + self.commitment * quantized.commitment + self.alignment * alignment


class DiverseQuantizer(ResidualQuantizer):
    """Codebooks where the codebook loss and a weighted diversity loss balance.

    The codebook loss is the mean squared difference of residuals and the vectors chosen for them. Without another loss
    it is least where a vector is the mean of its residuals, which `ResidualQuantizer` follows by moving averages. With
    the diversity loss D at the weight w, the gradients add up to 0 where the vector of a code that n of B residuals of
    d entries have chosen is their mean less `w * dD * B * d / (2 n)`.

    Args:
        codebooks: where they start [levels, K, d].
        counts: as in `ResidualQuantizer`; so are decay, restart_below and generator.
        clusters: of the codes of a level.
        weight: w.

    Attributes:
        cluster: of each code, LongTensor [levels, K]; found at the start of each epoch.
    """

    cluster: Tensor

    def __init__(
        self,
        codebooks: Tensor,
        counts: Tensor,
        decay: float,
        restart_below: float,
        generator: torch.Generator,
        clusters: int,
        weight: float,
    ) -> None:
        super().__init__(codebooks, counts, decay, restart_below, generator)
        self.clusters, self.weight = clusters, weight

    def start_epoch(self, seed: int) -> None:
        """Cluster the codes of each level."""
        books = self.codebooks.cpu().numpy()
        found = [even_clusters(codebook, self.clusters, seed + level) for level, codebook in enumerate(books)]
        self.cluster = torch.from_numpy(np.stack(found)).to(self.codebooks.device)

    def _update(self, quantized: Quantized) -> None:
        super()._update(quantized)
        with torch.enable_grad():
            codebooks = self.codebooks.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.diversity_loss(codebooks, quantized.codes), codebooks)
        share = self.counts / len(quantized.codes)  # n / B
        self.codebooks = self.codebooks - self.weight * gradient * codebooks.size(2) / (2 * share[..., None])

    def diversity_loss(self, codebooks: Tensor, codes: Tensor) -> Tensor:
        """Sum over the levels of the mean cross entropy of finding, by the vector of an item's code, a random other
        code of its cluster among all other codes. A code alone in its cluster has none.

        Args:
            codebooks: [levels, K, d].
            codes: [B, levels].
        """
        total = 0.0 * codebooks.sum()
        for codebook, cluster, chosen in zip(codebooks, self.cluster, codes.T, strict=True):
            alone = torch.eye(len(codebook), dtype=torch.bool, device=codes.device)
            mates = (cluster[:, None] == cluster) & ~alone
            chosen = chosen[mates[chosen].any(1)]
            if not len(chosen):
                continue
            mate = torch.multinomial(mates[chosen].float().cpu(), 1, generator=self.generator).to(codes.device)[:, 0]
            logits = (codebook[chosen] @ codebook.T).masked_fill(alone[chosen], -torch.inf)
            total = total + F.cross_entropy(logits, mate)
        return total
