"""The commands that train, as they are started and as records keep them."""

import shlex

import pytest

from recbole_specgr.runs.launch import started_as, training_command, training_program, training_words

WORDS = ["--model=TIGER", "--topk=[10, 50]"]


@pytest.mark.parametrize(
    "program",
    [
        ["run_recbole.py"],
        ["python", "run_recbole.py"],
        ["/there/run_recbole.py"],
        ["recbole-specgr"],
        ["/bin/recbole-specgr", "train"],
    ],
)
def test_the_words_of_a_training(program):
    assert training_words(shlex.join([*program, *WORDS])) == WORDS


@pytest.mark.parametrize("command", ["", "python", "pytest --model=TIGER", "recbole-specgr show run", "recbole-specgr"])
def test_another_command_is_none(command):
    assert training_words(command) is None


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["/there/run_recbole.py", *WORDS], "run_recbole.py --model=TIGER '--topk=[10, 50]'"),
        (["/bin/recbole-specgr", "train", *WORDS], "recbole-specgr train --model=TIGER '--topk=[10, 50]'"),
        (["/site/recbole_specgr/__main__.py", *WORDS], "recbole-specgr --model=TIGER '--topk=[10, 50]'"),
    ],
)
def test_a_record_keeps_a_command_that_can_be_given_again(argv, kept):
    assert started_as(argv) == kept
    assert training_words(kept) == WORDS
    assert training_words(training_command(WORDS, kept)) == WORDS


def test_a_checkout_trains_by_its_script():
    python, script = training_program()
    assert "python" in python and script.endswith("run_recbole.py")
