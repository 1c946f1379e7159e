"""What RecBole's users write and this project has not: explained, or left out with `strict: False`."""

import pytest
import torch

from recbole_specgr.settings import device
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.device import find_device
from recbole_specgr.settings.foreign import RECBOLE_WORDS
from recbole_specgr.system.errors import UserError


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("nproc", "torchrun --nproc_per_node"),
        ("world_size", "--nnodes"),
        ("group_offset", "--node_rank"),
        ("ip", "--master_addr"),
        ("port", "--master_port"),
        ("checkpoint_dir", "--run_dir"),
        ("output_file", "recbole-specgr search"),
    ],
)
def test_a_word_of_recboles_scripts_is_explained(tiny_dataset, key, says):
    with pytest.raises(UserError, match=rf"\[{key}\] from config_dict.*{says}"):
        Config("SASRec", "tiny", config_dict={**tiny_dataset, key: 1})


def test_every_explained_word_is_one_that_is_refused(tiny_dataset):
    for key in RECBOLE_WORDS:
        with pytest.raises(UserError, match=rf"\[{key}\]"):
            Config("SASRec", "tiny", config_dict={**tiny_dataset, key: 1})


SHARED = """\
eval_args: {split: {RS: [0.8, 0.1, 0.1]}, group_by: user, order: RO, mode: full}
n_heads: 1
attn_dropout_prob: 0.3
checkpoint_dir: saved
epochs: 7
"""


def test_several_models_share_a_file_where_strict_is_false(tiny_dataset, tmp_path, caplog):
    (tmp_path / "shared.yaml").write_text(SHARED)
    files = [str(tmp_path / "shared.yaml")]
    with pytest.raises(UserError, match=r"shared\.yaml"):
        Config("GRU4Rec", "tiny", files, tiny_dataset)
    assert not caplog.messages
    config = Config("GRU4Rec", "tiny", files, {**tiny_dataset, "strict": False})
    assert config["epochs"] == 7 and "n_heads" not in config.final_config_dict
    plain = Config("GRU4Rec", "tiny", config_dict={**tiny_dataset, "epochs": 7})
    assert config.to_dict() == {**plain.to_dict(), "strict": False}
    left_out = [message for message in caplog.messages if message.endswith("It is left out (strict: False).")]
    assert len(left_out) == 4
    for key in ("eval_args", "n_heads", "attn_dropout_prob", "checkpoint_dir"):
        assert sum(f"[{key}" in message and "shared.yaml" in message for message in left_out) == 1
    caplog.clear()
    sasrec = Config("SASRec", "tiny", files, {**tiny_dataset, "strict": False})
    assert (sasrec["n_heads"], sasrec["attn_dropout_prob"]) == (1, 0.3)
    assert len(caplog.messages) == 2  # SASRec has both settings


def test_a_value_that_can_not_be_is_an_error_all_the_same(tiny_dataset):
    with pytest.raises(UserError, match=r"\[epochs\]"):
        Config("SASRec", "tiny", config_dict={**tiny_dataset, "strict": False, "epochs": -1})


@pytest.mark.parametrize("gpu_id", ["0,1", [0, 1], "2, 5"])
def test_several_gpus_are_of_several_processes(gpu_id):
    with pytest.raises(UserError, match=r"names 2 GPUs.*torchrun --nproc_per_node=2"):
        find_device(True, gpu_id, 1)


def test_what_is_no_gpu_is_named():
    with pytest.raises(UserError, match=r"\[gpu_id\].*\[first\]"):
        find_device(True, "first", 1)


@pytest.mark.parametrize(
    ("driver", "use_gpu", "visible", "said"),
    [(True, True, None, True), (False, True, None, False), (True, False, None, False), (True, True, "", False)],
)
def test_a_gpu_that_torch_does_not_find_is_a_warning(driver, use_gpu, visible, said, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_device(use_gpu, "", 1)["device"].type == "cpu"
    assert ("finds no GPU: everything is computed on the CPU" in caplog.text) is said


@pytest.mark.parametrize("gpu_id", ["", None, 0, "0", [0]])
def test_one_process_has_one_device(gpu_id):
    found = find_device(False, gpu_id, 1)
    assert found == {
        "device": torch.device("cpu"),
        "single_spec": True,
        "rank": 0,
        "local_rank": 0,
        "world_size": 1,
    }
