"""Fixtures every test may use."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Gpu:
    """What a test runs on that asks for `gpu`.

    Attributes:
        is_real: it rounds otherwise than the CPU, and two runs of it may differ in the last digits.
    """

    is_real: bool

    @property
    def tolerance(self) -> float:
        """How far float32 scores may be from the CPU's."""
        return 1e-3 if self.is_real else 1e-5


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pretend-gpu", action="store_true", help="run the tests marked gpu on the pretended GPU")


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Iterator[Gpu]:
    """A GPU, on which the test runs: a pretended one, which takes note of every value that the host reads, and the
    machine's own, where there is one."""
    from allowed_reads import is_allowed
    from pretended_gpu import PretendedGpu

    if request.param == "real" and not request.config.getoption("--pretend-gpu"):
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
        yield Gpu(is_real=True)
        return
    with PretendedGpu() as pretended:
        yield Gpu(is_real=False)
    unexplained = [f"{place} ({times} times)" for place, times in pretended.reads.items() if not is_allowed(place)]
    if unexplained:
        pytest.fail("tests/allowed_reads.py has no reason for these reads: " + "; ".join(sorted(unexplained)), False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: RECBOLE_SPECGR_DATA, else ../shared/data beside the checkout; skips when absent."""
    path = Path(os.environ.get("RECBOLE_SPECGR_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data sets under {path}; set RECBOLE_SPECGR_DATA")
    return path


GENRES = ("action", "comedy", "drama", "horror", "romance", "western")
WORDS = ("night", "river", "house", "king", "stone", "winter", "ship", "road", "garden", "letter")


def write_tiny_dataset(data_path: Path, name: str = "tiny", n_users: int = 60, n_items: int = 80) -> Path:
    """Write RecBole atomic files of a small synthetic data set to `data_path/name` and return that folder.

    Users like one genre. Times are 1,600,000,000 s + 37 s a step, increasing over all interactions and unique, none
    of them exact in float32. A quarter of the items launch late: item i of that quarter is not used before 70 % to
    95 % of the time span. No (user, item) pair repeats. `name.yaml` is the data set's property file.
    """
    rng = np.random.default_rng(7)
    folder = data_path / name
    folder.mkdir(parents=True)
    genre = rng.integers(len(GENRES), size=n_items)
    launch = np.where(np.arange(n_items) < 3 * n_items // 4, 0.0, rng.uniform(0.7, 0.95, n_items))
    taste = rng.integers(len(GENRES), size=n_users)
    users = rng.permutation(np.repeat(np.arange(n_users), rng.integers(8, 20, n_users)))
    used: set[tuple[int, int]] = set()
    lines = []
    for step, user in enumerate(users):
        weight = (
            np.where(genre == taste[user], 6.0, 1.0) * np.where(launch > 0, 3.0, 1.0) * (launch <= step / len(users))
        )
        item = int(rng.choice(n_items, p=weight / weight.sum()))
        if (user, item) in used:
            continue
        used.add((user, item))
        lines.append(f"u{user}\ti{item}\t{1_600_000_000 + 37 * step}")
    (folder / f"{name}.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n", encoding="utf-8"
    )
    items = [
        f"i{i}\tThe {WORDS[i % 10]} {WORDS[(i * 7 + 3) % 10]} {i}\t{GENRES[genre[i]]}\t"
        f"A {GENRES[genre[i]]} about a {WORDS[(i * 3) % 10]}"
        for i in range(n_items)
    ]
    (folder / f"{name}.item").write_text(
        "\n".join(["item_id:token\ttitle:token_seq\tgenre:token_seq\tdescription:token_seq", *items]) + "\n",
        encoding="utf-8",
    )
    (folder / f"{name}.yaml").write_text(
        "preset: paper\n"  # what a test does not set is as in the property files
        "load_col:\n"
        "  inter: [user_id, item_id, timestamp]\n"
        "  item: [item_id, title, genre, description]\n"
        "text_fields: [title, genre, description]\n"
        "selected_features: [genre]\n"
        "item_attribute: genre\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def tiny_dataset(tmp_path, monkeypatch) -> dict:
    """Settings that point a Config at a fresh synthetic data set: `Config("SASRec", "tiny", config_dict=tiny_dataset)`.

    The working directory becomes `tmp_path`, and everything the program writes stays under it.
    """
    write_tiny_dataset(tmp_path / "dataset")
    monkeypatch.chdir(tmp_path)
    return {
        "data_path": str(tmp_path / "dataset"),
        "runs_path": str(tmp_path / "runs"),
        "cache_path": str(tmp_path / "cache"),
        "show_progress": False,
        "use_gpu": False,
        "text_dim": 16,
    }


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory) -> Path:
    """A folder with the tiny data set and, in `SpecGRPP` and `SASRec`, finished runs; nobody changes it."""
    from tiny_runs import TINY_SASREC, TINY_SPECGR, run

    folder = tmp_path_factory.mktemp("tiny-runs")
    write_tiny_dataset(folder / "dataset")
    Path(run("SpecGRPP", folder, **TINY_SPECGR)["run_dir"]).rename(folder / "SpecGRPP")
    Path(run("SASRec", folder, **TINY_SASREC)["run_dir"]).rename(folder / "SASRec")
    return folder


@pytest.fixture
def tiny_model(tmp_path) -> Path:
    """A BERT of random weights, 16 wide, that sentence-transformers loads with mean pooling."""
    import torch

    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    path = tmp_path / "tiny-bert"
    path.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "alien", "heat", "horror", "crime", "drama"]
    (path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab_file=str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(path)
    return path


def follow_guide(page: str, folder: Path, needs: tuple[str, ...]) -> list[str]:
    """What each bash block of a page under docs/ prints, run in turn in `folder`, which links to what of the checkout
    it needs.
    """
    for name in needs:
        (folder / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    printed = []
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL):
        done = subprocess.run(
            ["bash", "-e", "-c", block], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout + done.stderr)
    return printed


@pytest.fixture
def prepare(tiny_dataset, tmp_path):
    """A function (model, run folder, settings) -> trainer, and its loaders."""
    from recbole.data import data_preparation
    from recbole.utils import init_seed
    from training_cases import NARROW, SHORT

    from recbole_specgr.building.build import model_of
    from recbole_specgr.data.dataset import InductiveDataset
    from recbole_specgr.settings.config import Config
    from recbole_specgr.training import make_trainer

    def prepared(model, run="run", **more):
        settings = {**tiny_dataset, **SHORT, "run_dir": str(tmp_path / run), **more}
        config = Config(model, "tiny", config_dict=settings | (NARROW if isinstance(model, str) else {}))
        init_seed(config["seed"], config["reproducibility"])
        loaders = data_preparation(config, InductiveDataset(config))
        built = model_of(config, loaders[0]._dataset)
        return make_trainer(config, built), *loaders

    return prepared
