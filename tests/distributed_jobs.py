"""What tests/training/test_distributed.py has done by one process and, by torchrun, by two.

Usage: `python distributed_jobs.py FOLDER`.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import torch
from recbole.data import data_preparation
from recbole.utils import init_seed

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.system.processes import gather_rows, leave_processes, share_rows, world
from recbole_specgr.training import LAST, make_trainer

SHARED = {"epochs": 2, "MAX_ITEM_LIST_LENGTH": 10, "n_layers": 1, "n_heads": 2, "hidden_size": 8, "inner_size": 8}
# No dropout: its masks are drawn by every process for its own rows. Odd sizes: two processes have unequal shares.
TEXT = {**SHARED, "train_batch_size": 51, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
UNISREC = {**TEXT, "adaptor_dropout_prob": 0.0, "n_experts": 1}  # more have random gates
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0, "num_beams": 10}
T5 |= {"epochs": 2, "train_batch_size": 51, "warmup_steps": 5, "MAX_ITEM_LIST_LENGTH": 10, "clip_grad_norm": 1.0}
T5 |= {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 2}}
SPECULATE = {"draft_size": 10, "accept_threshold": -3.0, "tune": None}
TRAINED = {
    "SpecGRPP": {
        **T5,
        **SPECULATE,
        "contrastive_batch_size": 99,
        "stages": {"pretrain": {}, "finetune": {"epochs": 2}},
    },
    "SpecGRPP_decoder": {**T5, **SPECULATE, "stages": {"pretrain": {}, "finetune": {"epochs": 2}}},
    "SpecGR_Aux": {**T5, **SPECULATE, "drafter_settings": {k: v for k, v in UNISREC.items() if k[:3] != "MAX"}},
    "TIGER": T5,
    "LIGER": {**T5, "projection_sizes": [8], "input_dropout": 0.0, "embedding_dropout": 0.0, "tune": None},
    "UniSRec": UNISREC,
    "UniSRecPretrain": {**UNISREC, "drop_share": 0.0},
}
# RecBole's sampler deals the rows to two processes otherwise than to one.
DEALT = {"SASRec": {**TEXT, "train_batch_size": 12}}
KEEPS_VECTORS = {  # of all items, made before each epoch of `first`
    "Recformer": {
        **SHARED,
        "train_batch_size": 51,
        "hidden_dropout_prob": 0.0,
        "attn_dropout_prob": 0.0,
        "vocab_size": 300,
        "max_tokens": 32,
        "attention_window": 16,
        "learning_rate": 0.01,
        "warmup_steps": 0,
        "stages": {"pretrain": {"epochs": 1}, "first": {"epochs": 2}, "second": {"epochs": 1}},
    }
}


def settings(folder: Path, **more) -> dict:
    return {
        "data_path": str(folder / "dataset"),
        "cache_path": str(folder / "cache"),
        "runs_path": str(folder / f"runs-of-{world()[1]}"),
        "show_progress": False,
        "use_gpu": False,
        "text_encoder": str(folder / "features.npz"),
        "topk": [5, 10],
        "metrics": ["Recall", "NDCG", "ItemCoverage"],
        "valid_metric": "NDCG@10",
        "eval_batch_size": 32,
        **more,
    }


def trained(model: str, folder: Path, interrupted: bool = False, **more):
    """Train `model` in float64; the trainer after the evaluation of test, its metrics, and the curve of every stage.

    Args:
        interrupted: stop it in the second epoch and go on from the middle of that epoch, with another trainer.
    """
    if interrupted:
        more["checkpoint_steps"] = 3
    run_dir = folder / "float64" / "-".join([model, str(world()[1]), *more])
    run_dir.mkdir(parents=True, exist_ok=True)
    own = {**TRAINED, **DEALT, **KEEPS_VECTORS}[model]
    config = Config(model, "tiny", config_dict=settings(folder, **own, run_dir=str(run_dir), **more))

    def begun():
        init_seed(config["seed"], config["reproducibility"])
        train, valid, test = data_preparation(config, InductiveDataset(config))
        # In float32 the order of a sum shows at once, and Adam makes it larger where a gradient is almost 0.
        return make_trainer(config, model_of(config, train._dataset).double()), train, valid, test

    trainer, train, valid, test = begun()
    if interrupted:
        with suppress(KeyboardInterrupt):
            trainer.fit(train, valid, callback_fn=stop_in_the_second_epoch)
        trainer, train, valid, test = begun()
        trainer.resume_checkpoint(run_dir / LAST)
    trainer.fit(train, valid)
    curves = {
        stage: [{k: v for k, v in entry.items() if "second" not in k} for entry in progress.history]
        for stage, progress in trainer.progress.items()
    }
    return trainer, trainer.evaluate(test, load_best_model=False), curves


def stop_in_the_second_epoch(epoch: int, score: float) -> None:
    if epoch == 1:
        raise KeyboardInterrupt


def gathered_gradient() -> list[list[float]]:
    """The gradient of a loss over 5 rows of all processes and over 2 others, of which the processes make one each."""
    rank, size = world()
    whole = torch.arange(10.0, dtype=torch.float64).view(5, 2).sin()
    own = whole[rank::size].clone().requires_grad_()
    shared = torch.tensor([[0.3, -0.2], [0.1, 0.7]], dtype=torch.float64, requires_grad=True)
    rows, table = gather_rows(own), share_rows(lambda part: part.cos(), shared)
    order = torch.cat([torch.arange(5)[part::size] for part in range(size)]).argsort()
    (rows[order] @ table.T).softmax(1)[:, 0].cumsum(0).square().mean().backward()
    for gradient in (own.grad, shared.grad):  # as DDP takes the mean
        gradient /= size
    together = gather_rows(own.grad)[order] * 1.0
    if size > 1:
        torch.distributed.all_reduce(shared.grad)
    return [*together.tolist(), *shared.grad.tolist()]


def main(folder: Path) -> None:
    Config("TIGER", "tiny", config_dict=settings(folder))  # joins the processes
    results = {"gradient": gathered_gradient(), "metrics": {}, "curves": {}, "runs": {}}
    for model in TRAINED:
        trainer, results["metrics"][model], results["curves"][model] = trained(model, folder)
        if not world()[0]:
            torch.save(trainer.model.state_dict(), folder / f"{model}-by-two.pt")
            torch.save(trainer.rows["rec.items"], folder / f"{model}-lists-by-two.pt")
    spread, _, results["curves"]["fsdp"] = trained("TIGER", folder, interrupted=True, parallel="fsdp")
    if not world()[0]:
        torch.save(spread.model.state_dict(), folder / "fsdp-by-two.pt")
    _, results["metrics"]["Recformer"], results["curves"]["Recformer"] = trained(
        "Recformer", folder, interrupted=True, parallel="fsdp"
    )
    for interrupted in (False, True):
        _, *results[f"SASRec_{interrupted}"] = trained("SASRec", folder, interrupted)
    _, *results["leave_one_out"] = trained("UniSRec", folder, interrupted=True, split="leave_one_out")
    run = settings(folder, **SHARED, train_batch_size=64)
    torch.distributed.barrier()
    results["runs"]["SASRec"] = run_recbole("SASRec", "tiny", config_dict=run)["run_dir"]
    if not world()[0]:
        (folder / "results.json").write_text(json.dumps(results))
    leave_processes()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
