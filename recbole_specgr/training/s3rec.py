"""S3-Rec: its two stages in one run, on one model object."""

from recbole.model.loss import BPRLoss
from recbole.trainer import S3RecTrainer as RecBoleS3RecTrainer
from torch import nn

from recbole_specgr.training.staged import StagedTrainer

FINETUNE_LOSS = {"CE": nn.CrossEntropyLoss, "BPR": BPRLoss}


class S3RecTrainer(StagedTrainer, RecBoleS3RecTrainer):
    """RecBole joins pre-training and fine-tuning by a pickled file; the model only needs to be told the stage."""

    def start_stage(self, stage: str) -> None:
        self.model.train_stage = self.config["train_stage"]
        if self.model.train_stage == "finetune":
            self.model.loss_fct = FINETUNE_LOSS[self.model.loss_type]()
