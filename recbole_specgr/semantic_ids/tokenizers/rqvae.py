"""RQ-VAE (Zeghidour et al. 2021; Lee et al. 2022; in TIGER, Rajput et al. 2023): an autoencoder whose latent vector is
quantised level by level, each level coding what the ones before have left over."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from recbole_specgr.semantic_ids.additive import nearest_sums, sum_of_codes
from recbole_specgr.semantic_ids.kmeans import kmeans
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.system.errors import UserError

CHUNK = 4096  # items encoded at a time


@dataclass
class RQVAE(Tokenizer):
    """Residual-quantised autoencoder with moving-average codebooks.

    Attributes:
        hidden_sizes: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_size: width of the quantised vector.
        commitment: weight of the commitment loss (beta).
        decay: of the codebooks' moving averages, per step.
        restart_below: a code whose average use falls below this share of the mean use starts anew at a random residual.
        standardize: whether each input dimension is brought to unit variance (else all of them by one common factor).
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_size: items a step; at most a fifth of all items, so that a small catalogue, too, gets enough steps.
        warmup_epochs: epochs as a plain autoencoder, after which the codebooks start from k-means.
        epochs: most epochs with quantisation.
        patience: epochs without a better state after which training stops.  A state is better when it is healthy and
            the best so far is not, or when both or neither are and it reconstructs the items better.
        healthy: share of the codes in use on every level from which on a state is healthy.
    """

    hidden_sizes: Sequence[int] = (256, 128, 64)
    latent_size: int = 32
    commitment: float = 0.25
    decay: float = 0.98
    restart_below: float = 0.1
    standardize: bool = False
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch_size: int = 256
    warmup_epochs: int = 20
    epochs: int = 100
    patience: int = 30
    healthy: float = 0.95

    method = "rqvae"
    evaluate_every = 5  # epochs
    # None until it is fitted, which `Tokenizer` asks before it encodes.
    encoder = decoder = cast(nn.Sequential, None)  # on the CPU
    codebooks = cast("np.ndarray", None)  # float32 [levels, codebook_size, latent_size]
    mean = scale = cast("np.ndarray", None)  # float32 [d]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or self.batch_size < 1:
            raise UserError(
                f"tokenizer.{self.method}.epochs and its batch_size must be at least 1, not {self.epochs} and "
                f"{self.batch_size}."
            )

    @property
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""
        return len(self.mean)

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: torch.device | str) -> None:
        self.mean = features.mean(axis=0)
        spread = features.std(axis=0) if self.standardize else np.full_like(self.mean, (features - self.mean).std())
        self.scale = np.where(spread > 1e-8, spread, 1).astype(np.float32)
        inputs = torch.from_numpy((features - self.mean) / self.scale).to(device)
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[inputs.device] if inputs.is_cuda else []):
            torch.manual_seed(seed)
            autoencoder = Autoencoder((features.shape[1], *self.hidden_sizes, self.latent_size)).to(device)
        optimizer = torch.optim.AdamW(
            autoencoder.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True
        )

        epochs = self.warmup_epochs + self.epochs
        bar = trange(epochs, desc=self.method, unit="epoch", disable=not show_progress or None)
        batch_size = min(self.batch_size, max(32, len(inputs) // 5))
        possible = min(self.codebook_size, len(np.unique(features, axis=0)))
        quantizer: ResidualQuantizer | None = None
        best: tuple[Autoencoder, Tensor] | None = None
        best_healthy, best_error, best_epoch = False, float("inf"), 0
        for epoch in bar:
            if epoch == self.warmup_epochs:
                with torch.no_grad():
                    latent = autoencoder.encoder(inputs)
                self._require_finite(latent)
                quantizer = self._quantizer(latent, batch_size, seed, generator)
            if quantizer is not None:
                quantizer.start_epoch(seed + epoch)
            order = torch.randperm(len(inputs), generator=generator)
            with torch.autograd.set_detect_anomaly(False):  # importing RecBole's models turns it on for good
                for rows in order.to(device).split(batch_size):
                    loss = self._loss(autoencoder, quantizer, inputs[rows], rows)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            if quantizer is None:
                bar.set_postfix(loss=f"{loss.item():.4f}")
            elif (epoch + 1) % self.evaluate_every == 0 or epoch + 1 == bar.total:
                error, used = self._evaluate(autoencoder, quantizer, inputs)
                bar.set_postfix(error=f"{error:.4f}", used="/".join(map(str, used)))
                healthy = min(used) >= self.healthy * possible
                if healthy > best_healthy or (healthy == best_healthy and error < best_error * (1 - 1e-3)):
                    best_healthy, best_error, best_epoch = healthy, error, epoch
                    best = deepcopy(autoencoder), quantizer.codebooks.clone()
                if epoch - best_epoch >= self.patience:
                    bar.close()
                    break
        assert best is not None  # the last epoch is always evaluated
        autoencoder = best[0].cpu().requires_grad_(False)
        self.encoder, self.decoder = autoencoder.encoder, autoencoder.decoder
        self.codebooks = best[1].cpu().numpy()

    @torch.no_grad()
    def _evaluate(self, autoencoder: "Autoencoder", quantizer: "ResidualQuantizer", x: Tensor) -> tuple[float, list]:
        """Mean error of x [n, d], and the number of codes in use on each level."""
        errors, codes = [], []
        for rows in torch.arange(len(x), device=x.device).split(CHUNK):
            quantized = quantizer(autoencoder.encoder(x[rows]))
            errors.append(self._errors(autoencoder, quantized, x[rows], rows))
            codes.append(quantized.codes)
        error = torch.cat(errors)
        self._require_finite(error)
        return error.mean().item(), [len(column.unique()) for column in torch.cat(codes).T]

    def _require_finite(self, values: Tensor) -> None:
        if not values.isfinite().all():
            raise UserError(f"The RQ-VAE diverged. Lower tokenizer.rqvae.learning_rate, now {self.learning_rate}.")

    def _quantizer(self, latent: Tensor, batch_size: int, seed: int, generator: torch.Generator) -> "ResidualQuantizer":
        """What quantises from the end of the warm-up on, started from the latent vectors of all items [n, d]."""
        return ResidualQuantizer.from_kmeans(latent, self, batch_size, seed, generator)

    def _errors(self, autoencoder: "Autoencoder", quantized: "Quantized", x: Tensor, rows: Tensor) -> Tensor:
        """How far each of x [B, d], the inputs `rows` [B], is from what is wanted of it [B]; decides which state is
        kept."""
        return (autoencoder.decoder(quantized.vectors) - x).square().mean(1)

    def _loss(
        self, autoencoder: "Autoencoder", quantizer: "ResidualQuantizer | None", x: Tensor, rows: Tensor
    ) -> Tensor:
        """Reconstruction error of x [B, d], the inputs `rows` [B], plus `commitment` times the commitment loss."""
        latent = autoencoder.encoder(x)
        if quantizer is None:
            return F.mse_loss(autoencoder.decoder(latent), x)
        quantized = quantizer(latent, learn=True)
        reconstruction = F.mse_loss(autoencoder.decoder(straight_through(latent, quantized)), x)
        return reconstruction + self.commitment * quantized.commitment

    def _latent(self, features: np.ndarray) -> Tensor:
        inputs = torch.from_numpy((features - self.mean) / self.scale)
        with torch.no_grad():
            return torch.cat([self.encoder(rows) for rows in inputs.split(CHUNK)])

    def _encode(self, features: np.ndarray) -> np.ndarray:
        codebooks = torch.from_numpy(self.codebooks)
        return torch.cat([quantize(rows, codebooks).codes for rows in self._latent(features).split(CHUNK)]).numpy()

    def _reconstruct(self, codes: np.ndarray) -> np.ndarray:
        latent = torch.from_numpy(sum_of_codes(codes, self.codebooks))
        return self.decoder(latent).numpy() * self.scale + self.mean

    def _nearest_codes(self, features: np.ndarray, n: int) -> np.ndarray:
        return nearest_sums(self._latent(features).numpy(), self.codebooks, n)

    def state(self) -> dict[str, np.ndarray]:
        """Encoder, decoder, codebooks and the inputs' mean and scale, once fitted."""
        if self.encoder is None:
            return {}
        weights = {
            f"{part}.{name}": value.numpy()
            for part in ("encoder", "decoder")
            for name, value in getattr(self, part).state_dict().items()
        }
        return {**weights, "codebooks": self.codebooks, "mean": self.mean, "scale": self.scale}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self.codebooks, self.mean, self.scale = (np.array(state[name]) for name in ("codebooks", "mean", "scale"))
        autoencoder = Autoencoder((len(self.mean), *self.hidden_sizes, self.latent_size)).requires_grad_(False)
        weights = {name: value for name, value in state.items() if name.startswith(("encoder.", "decoder."))}
        autoencoder.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self.encoder, self.decoder = autoencoder.encoder, autoencoder.decoder


class Autoencoder(nn.Module):
    """An encoder with layers of the given `sizes` and a decoder that mirrors it."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoder = mlp(sizes)
        self.decoder = mlp(tuple(sizes)[::-1])


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them and none at the end."""
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@dataclass
class Quantized:
    """Result of a residual quantisation.

    Attributes:
        codes: LongTensor [B, levels].
        vectors: [B, d], the sum of the chosen codes' vectors.
        residuals: [B, d] for each level, what that level had to code.
        commitment: sum over the levels of the mean squared difference of a residual and the vector chosen for it.
    """

    codes: Tensor
    vectors: Tensor
    residuals: list[Tensor]
    commitment: Tensor


def straight_through(latent: Tensor, quantized: Quantized) -> Tensor:
    """The quantised vectors [B, d], whose gradient goes to the latent ones as if they were these."""
    return latent + (quantized.vectors - latent).detach()


def quantize(x: Tensor, codebooks: Tensor) -> Quantized:
    """Quantise x [B, d] with `codebooks` [levels, K, d], each level the residual of the levels before.

    A residual is x minus constants, so that each level's commitment loss reaches the encoder.  (With a straight-through
    value in place of the constants its gradient would vanish from the second level on.)
    """
    vectors, commitment, codes, residuals = torch.zeros_like(x), x.new_zeros(()), [], []
    for codebook in codebooks:
        residual = x - vectors
        with torch.no_grad():
            distance = codebook.square().sum(1) - 2 * residual @ codebook.T
            code = distance.argmin(1)
        chosen = codebook[code]
        commitment = commitment + F.mse_loss(residual, chosen)
        vectors = vectors + chosen
        codes.append(code)
        residuals.append(residual.detach())
    return Quantized(torch.stack(codes, 1), vectors, residuals, commitment)


class ResidualQuantizer:
    """Codebooks that are moving averages of the residuals assigned to them.

    Attributes:
        codebooks: [levels, K, d].
        counts: [levels, K], moving average of a code's uses per batch.
        sums: [levels, K, d], moving average of the sum of its residuals per batch.
    """

    def __init__(
        self, codebooks: Tensor, counts: Tensor, decay: float, restart_below: float, generator: torch.Generator
    ):
        self.codebooks, self.counts = codebooks, counts
        self.sums = codebooks * counts[..., None]
        self.decay, self.restart_below, self.generator = decay, restart_below, generator

    @classmethod
    def from_kmeans(
        cls, latent: Tensor, settings: RQVAE, batch_size: int, seed: int, generator: torch.Generator
    ) -> "ResidualQuantizer":
        """Start each level from k-means on the residuals of `latent` [n, d]; counts as a batch would have them."""
        k = settings.codebook_size
        centres, residual = [], latent
        for level in range(settings.levels):
            centres.append(torch.from_numpy(kmeans(residual.cpu().numpy(), k, seed + level)).to(latent))
            residual = residual - quantize(residual, centres[-1][None]).vectors
        codebooks = torch.stack(centres)
        codes = quantize(latent, codebooks).codes
        counts = torch.stack([torch.bincount(column, minlength=k) for column in codes.T]) * (batch_size / len(latent))
        return cls(codebooks, counts, settings.decay, settings.restart_below, generator)

    def start_epoch(self, seed: int) -> None:
        """Called before each epoch that has codebooks."""

    def __call__(self, x: Tensor, learn: bool = False) -> Quantized:
        """Quantise x [B, d]; with `learn`, then move the codebooks."""
        quantized = quantize(x, self.codebooks)
        if learn:
            self._update(quantized)
        return quantized

    @torch.no_grad()
    def _update(self, quantized: Quantized) -> None:
        n_codes = self.codebooks.size(1)
        uses = F.one_hot(quantized.codes.T, n_codes).to(self.counts.dtype)  # [levels, B, K]
        residuals = torch.stack(quantized.residuals)  # [levels, B, d]
        # not in place: the losses' graph still holds the old codebooks
        self.counts = torch.lerp(uses.sum(1), self.counts, self.decay)
        self.sums = torch.lerp(uses.transpose(1, 2) @ residuals, self.sums, self.decay)
        mean_use = self.counts.sum(1, keepdim=True) / n_codes  # [levels, 1]
        dead = self.counts < self.restart_below * mean_use
        rows = torch.randint(residuals.size(1), dead.shape, generator=self.generator).to(dead.device)
        anew = residuals.gather(1, rows[..., None].expand(-1, -1, residuals.size(2)))  # [levels, K, d]
        self.counts = torch.where(dead, mean_use, self.counts)
        self.sums = torch.where(dead[..., None], anew * mean_use[..., None], self.sums)
        self.codebooks = self.sums / self.counts[..., None]
