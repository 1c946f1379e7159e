"""Runs of seconds on the tiny data set: settings, running, and reading a run again."""

from __future__ import annotations

from pathlib import Path

import torch

from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.training import make_trainer

TINY = {"train_batch_size": 64, "MAX_ITEM_LIST_LENGTH": 10, "topk": [5, 10], "valid_metric": "NDCG@10"}
TINY_T5 = {
    **TINY,
    "epochs": 3,
    "warmup_steps": 5,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "num_beams": 10,
    "tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 3},
}
TINY_SPECGR = {
    **TINY_T5,
    "contrastive_batch_size": 128,
    "draft_size": 10,
    "accept_threshold": -3.45,
    "eval_step": 0,
    "stages": {"pretrain": {}, "finetune": {"epochs": 2}},
    "tune": None,
}
TINY_SASREC = {**TINY, "epochs": 1, "eval_step": 0, "hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2}


def run(model: str, folder: Path, **settings) -> dict:
    """Train on `folder/dataset/tiny`; what `run_recbole` returns."""
    return run_recbole(
        model,
        "tiny",
        config_dict={
            "data_path": str(folder / "dataset"),
            "runs_path": str(folder / "runs"),
            "cache_path": str(folder / "cache"),
            "show_progress": False,
            "use_gpu": False,
            "text_dim": 16,
            "topk": [5, 10],
            "metrics": ["Recall", "NDCG", "ItemCoverage"],  # the last wants the lists kept
            "valid_metric": "NDCG@10",
            **settings,
        },
    )


def lists(run_dir: str) -> tuple[torch.Tensor, dict[str, float]]:
    """The ranked list of every test row, and the metrics, of a run that is loaded again."""
    config, model, *_, test_data = load_data_and_model(run_dir)
    trainer = make_trainer(config, model)
    result = trainer.evaluate(test_data, load_best_model=False)
    return trainer.rows["rec.items"], result
