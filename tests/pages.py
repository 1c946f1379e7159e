"""What tests of pages share: running a page's commands, and trainings of seconds in place of its trainings."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from recbole_specgr.commands.command_line import main

# Settings with which SpecGR++ trains on MovieLens 100k in seconds; TIGER reads the same but for those of its drafter.
SHORT_TIGER = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "train_batch_size": 256,
    "learning_rate": 0.01,
    "epochs": 2,
    "eval_step": 0,
    "tune": None,
    "tokenizer": {"method": "rqkmeans"},
    "val_interval": {"timestamp": "[892000000,inf)"},  # the last weeks
    "use_gpu": False,
    "show_progress": False,
}
SHORT_SPECGR = {
    **SHORT_TIGER,
    "contrastive_batch_size": 256,
    "stages": {"finetune": {"epochs": 1}},
    "draft_size": 30,
    "accept_threshold": -20.0,  # whatever is drafted: so little training makes no verifier
}


def blocks(page: str, language: str) -> list[str]:
    """The contents of a page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def write_files(page: str, folder: Path) -> list[str]:
    """Write the files whose contents a page shows in blocks of Python and YAML, below a line `# PATH`; the paths."""
    paths = []
    for block in blocks(page, "python") + blocks(page, "yaml"):
        first, _, text = block.partition("\n")
        paths.append(first.removeprefix("# "))
        file = folder / paths[-1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return paths


def write_tuned(folder: Path, dataset: str, model: str, settings: dict) -> None:
    """Settings that a command in `folder` takes for this model by itself, below those of its words."""
    file = folder / "properties" / "tuned" / dataset / f"{model}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")


def run_block(block: str) -> None:
    """Run a shell block line by line: our own programs in this process, which has them imported, the rest in bash."""
    for command in re.findall(r"cat > [^\n]*\n(?:[^\n]*\n)*?END\n|[^\n]+\n", block):
        words = shlex.split(command, comments=True) if "<<" not in command else []
        ours = our_words(words)
        if ours is None:
            subprocess.run(["bash", "-e", "-c", command], check=True)
        else:
            assert main(ours) == 0, command


def our_words(words: Sequence[str]) -> list[str] | None:
    """What `recbole-specgr` is given by a command line; None for the command of another program."""
    if words[:1] == ["recbole-specgr"]:
        return list(words[1:])
    if words[:2] == ["python", "run_recbole.py"]:
        return list(words[2:])
    if words[:1] == ["python"] and words[1].startswith("scripts/"):
        return [SCRIPTS[words[1]], *words[2:]]
    return None


SCRIPTS = {"scripts/import_dataset.py": "import-data", "scripts/leaderboard.py": "leaderboard"}
