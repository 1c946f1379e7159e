"""Whether a record is of a run that was trained out."""

from leaderboard_records import make_ranks, make_record

from recbole_specgr.runs.trained_out import improving_stages, remark


def record_of(**stages):
    return {**make_record(make_ranks(0.4, 0.1, 1)), "training": stages}


def test_a_record_says_which_stages_were_still_improving():
    record = record_of(
        pretrain={"epochs": 20, "best_epoch": 8, "stopped": "patience", "improving": False},
        finetune={"epochs": 15, "best_epoch": 14, "stopped": "limit", "improving": True},
    )
    assert improving_stages(record) == ["finetune"]
    assert "stage finetune: best at epoch 14 of 15, the limit ended it" in remark(record)
    assert remark(record).endswith("more --epochs might help.")
    assert remark(record, {"finetune": "stages.finetune.epochs"}).endswith("more --stages.finetune.epochs might help.")
    record["training"].pop("finetune")
    assert improving_stages(record) == [] and remark(record) == ""


def test_each_stage_has_its_option_once():
    late = {"epochs": 2, "best_epoch": 2, "stopped": "limit", "improving": True}
    record = record_of(drafter=late, backbone=late, other=late)
    assert remark(record, {"drafter": "drafter_settings.epochs", "backbone": "epochs"}).endswith(
        "more --drafter_settings.epochs and --epochs might help."
    )


def test_what_was_not_validated_or_not_trained_says_nothing():
    unknown = {"epochs": 3, "best_epoch": None, "stopped": "limit", "improving": None}
    nothing = {"epochs": 0, "best_epoch": 0, "stopped": None, "improving": None}
    assert improving_stages(record_of(pretrain=unknown, train=nothing)) == []


def test_an_older_record_was_still_improving_if_its_last_epoch_was_its_best():
    assert improving_stages(record_of(train={"epochs": 5, "best_epoch": 5})) == ["train"]
    assert improving_stages(record_of(train={"epochs": 5, "best_epoch": 4})) == []
    assert improving_stages(record_of(train={"epochs": 0, "best_epoch": 0})) == []
    assert improving_stages(record_of()) == []
