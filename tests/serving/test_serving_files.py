"""The shell commands, the files they read and write, broken runs, and runs exported for others."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from serving_oracles import HISTORIES, NEW, assert_same, content

from recbole_specgr.building.warm_start import read_pretrained
from recbole_specgr.commands.command_line import main
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import check_finished
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.changes import CHANGES
from recbole_specgr.serving.explain import IN_HISTORY
from recbole_specgr.serving.history_files import read_histories
from recbole_specgr.serving.show import user_page
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.npz import read_npz

USERS = [f"user {n}" for n in range(20)]
SOME = HISTORIES[:20]


@pytest.fixture
def run(tiny_runs, tmp_path) -> Path:
    """A copy of the run of SpecGRPP that a test may change."""
    return Path(shutil.copytree(tiny_runs / "SpecGRPP", tmp_path / "run"))


@pytest.fixture(scope="module")
def expected(tiny_runs):
    return Recommender.load(tiny_runs / "SpecGRPP").recommend(SOME, 5)


def write_histories(path: Path) -> Path:
    texts = pd.DataFrame({"user_id": USERS, "history": [" ".join(history) for history in SOME]})
    lists = pd.DataFrame({"user": USERS, "item_id_list": SOME})
    if path.name.endswith((".csv", ".csv.gz")):
        texts.to_csv(path, index=False)
    elif path.name.endswith((".tsv", ".tsv.gz")):
        texts.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".parquet":
        lists.to_parquet(path)
    else:
        lists.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("name", ["h.csv", "h.csv.gz", "h.tsv", "h.jsonl", "h.jsonl.gz", "h.parquet"])
def test_histories_of_every_kind_of_file(name, tmp_path):
    pieces = list(read_histories(write_histories(tmp_path / name), 8))
    assert [len(piece.users) for piece in pieces] == [8, 8, 4]
    assert [user for piece in pieces for user in piece.users] == USERS
    assert [history for piece in pieces for history in piece.histories] == SOME
    assert pieces[-1].done == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl", "o.parquet"])
def test_lists_in_every_kind_of_file(name, tiny_runs, tmp_path, expected, capsys):
    histories, out = write_histories(tmp_path / "h.jsonl"), tmp_path / name
    words = ["recommend", tiny_runs / "SpecGRPP", "--histories", histories, "--k", "5", "--out", out]
    assert main([*map(str, words), "--include-history"]) == 0
    assert "users: 20" in capsys.readouterr().err
    if out.suffix in (".csv", ".tsv"):
        frame = pd.read_csv(out, sep="\t" if out.suffix == ".tsv" else ",")
        pd.testing.assert_frame_equal(frame, expected.frame(USERS), check_dtype=False)
        assert all(len(re.sub(r"e.*|\D", "", str(score)).lstrip("0")) <= 6 for score in frame.score)
        return
    frame = pd.read_json(out, lines=True) if out.suffix == ".jsonl" else pd.read_parquet(out)
    assert frame.user_id.tolist() == USERS
    assert [list(items) for items in frame["items"]] == expected.items
    np.testing.assert_allclose(np.stack(frame["scores"]), expected.scores)
    assert np.stack(frame["rounds"]).tolist() == expected.rounds.tolist()


def test_a_list_leaves_out_the_history_where_nobody_comes_back_to_an_item(tiny_runs, tmp_path, capsys):
    recommender, histories = Recommender.load(tiny_runs / "SASRec"), write_histories(tmp_path / "h.csv")
    words = ["recommend", str(tiny_runs / "SASRec"), "--histories", str(histories), "--k", "5"]
    assert recommender.catalogue.repeats is False
    for more, exclude in (([], "history"), (["--exclude-history"], "history"), (["--include-history"], None)):
        assert main([*words, *more]) == 0
        printed = capsys.readouterr()
        lists = [json.loads(line)["items"] for line in printed.out.splitlines()]
        assert lists == recommender.recommend(SOME, 5, exclude=exclude).items
        assert ("lists leave out the history, for no user of tiny" in printed.err) is not bool(more)


def test_a_run_whose_rule_leaves_out_the_history_can_be_asked_for_it(tiny_runs, tmp_path, capsys):
    run, histories = shutil.copytree(tiny_runs / "SASRec", tmp_path / "run"), write_histories(tmp_path / "h.csv")
    settings = (run / "config.yaml").read_text()
    assert "repeatable: true" in settings
    (run / "config.yaml").write_text(settings.replace("repeatable: true", "repeatable: false"))
    replace(Catalogue.load(run / ITEMS), repeats=True).save(run / ITEMS)  # so that only the rule leaves it out
    usual, words = Recommender.load(tiny_runs / "SASRec"), ["--histories", str(histories), "--k", "5"]
    for more, exclude in (([], "history"), (["--include-history"], None)):
        assert main(["recommend", str(run), *words, *more]) == 0
        printed = capsys.readouterr()
        lists = [json.loads(line)["items"] for line in printed.out.splitlines()]
        assert lists == usual.recommend(SOME, 5, exclude=exclude).items
        assert ("leave out the history, as those that the run was measured by do" in printed.err) is not bool(more)
    recommender, history = Recommender.load(run), next(history for history in SOME if history)
    assert recommender.explain(history, history[-1], 5).reason == IN_HISTORY
    other = recommender.recommend([history], 5).items[0][0]
    assert recommender.explain(history, other, 5).reason == "It stands at place 1 of 5."


@pytest.mark.parametrize("repeats", [None, True])  # None: a run of an earlier version does not say
def test_a_list_may_hold_the_history_unless_nobody_is_known_to_come_back(repeats, tiny_runs, tmp_path, capsys):
    run, histories = shutil.copytree(tiny_runs / "SASRec", tmp_path / "run"), write_histories(tmp_path / "h.csv")
    replace(Catalogue.load(run / ITEMS), repeats=repeats).save(run / ITEMS)
    assert main(["recommend", str(run), "--histories", str(histories), "--k", "5"]) == 0
    lists = [json.loads(line)["items"] for line in capsys.readouterr().out.splitlines()]
    assert lists == Recommender.load(run).recommend(SOME, 5).items


def test_lists_are_printed_where_no_file_is_named(tiny_runs, tmp_path, expected, capsys):
    (tmp_path / "candidates.txt").write_text("i1\ni2\n\ni3\nnever\n")
    words = ["recommend", tiny_runs / "SpecGRPP", "--histories", write_histories(tmp_path / "h.csv"), "--k", "5"]
    words.append("--include-history")
    assert main([*map(str, words)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["items"] for line in printed] == expected.items
    words += [
        "--candidates",
        tmp_path / "candidates.txt",
        "--threshold",
        "-99",
        "--draft-size",
        "3",
        "--batch-size",
        "3",
    ]
    assert main([*map(str, words)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(line["items"]) == {"i1", "i2", "i3"} and set(line["rounds"]) == {1} for line in printed)


def test_a_column_that_comes_late_in_json_lines_is_not_passed_over(tmp_path):
    path = tmp_path / "h.jsonl"
    rows = [json.dumps({"history": ["i1"], **({"times": [3]} if number == 150 else {})}) for number in range(200)]
    path.write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"row 151 has \[times\], which none of the first 100 rows has"):
        list(read_histories(path, 70))
    path.write_text("\n".join(rows[100:]))  # row 51 of this file, among those that are looked at
    assert [len(piece.times) for piece in read_histories(path, 70)] == [70, 30]


@pytest.mark.parametrize("end", ["jsonl", "csv", "csv.gz"])
def test_a_file_is_read_as_it_is_used(end, tmp_path):
    """Its first users come before its end is read, which is broken here."""
    path, lines, items = tmp_path / f"big.{end}", 40_000, [f"item{n}" for n in range(100)]
    if end == "jsonl":
        text = "".join(f'{{"user_id": {n}, "history": {json.dumps(items)}}}\n' for n in range(lines)) + "{broken\n"
    else:
        text = "user_id,history\n" + "".join(f"{n},{' '.join(items)}\n" for n in range(lines)) + '1,2,3,"4\n'
    data = text.encode()
    path.write_bytes(gzip.compress(data, 1)[:-40] if end.endswith("gz") else data)
    pieces = read_histories(path, 1000)
    first = next(pieces)
    assert first.users[:2] == ["0", "1"] and first.histories[0] == items
    assert first.done < 0.9
    with pytest.raises(UserError, match=f"big.{end}"):
        assert sum(len(piece.users) for piece in pieces) < 0  # never reached


def test_a_broken_file_of_histories_leaves_no_lists(tiny_runs, tmp_path, capsys):
    (tmp_path / "h.jsonl").write_text('{"user_id": 1, "history": ["i1"]}\n{broken\n')
    words = ["recommend", tiny_runs / "SpecGRPP", "--histories", tmp_path / "h.jsonl", "--out", tmp_path / "o.csv"]
    assert main([*map(str, words)]) == 2
    assert "line 2 is not JSON" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"h.jsonl"}


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("h.csv", "user_id,items_seen\n1,i1\n", [], "no column history or item_id_list or items"),
        ("h.csv", "", [], "is empty"),
        ("h.xls", "1", [], "the name must end in"),
        ("h.parquet", "no parquet", [], "could not be read"),
        ("h.csv", "history\ni1 nope\n", ["--on-unknown", "error"], "does not know: nope"),
        ("h.csv", "history\ni1\n", ["--out", "lists.txt"], "the name must end in"),
        ("h.csv", "history\ni1\n", ["--candidates", "missing.txt"], "There is no file missing.txt"),
        ("h.csv", "history\ni1\n", ["--device", "tpu"], "must be cpu, cuda"),
        ("h.csv", "history\ni1\n", ["--k", "0"], "whole number"),
        ("h.csv", "user_id,history\n1,i1\n2\n", [], "line 3 has 1 columns, the first line 2"),
        ("h.csv", "\nuser_id,history\n1,i1\n2\n", [], "line 4 has 1 columns, the first line 2"),
        ("h.tsv", "user_id\thistory\n1\ti1\ti2\n", [], "line 2 has 3 columns, the first line 2"),
    ],
)
def test_what_can_not_be_read_is_said(name, text, options, message, tiny_runs, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    assert main(["recommend", str(tiny_runs / "SpecGRPP"), "--histories", str(tmp_path / name), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_items_are_added_and_removed_from_the_shell(run, tmp_path, capsys):
    before = Recommender.load(run).recommend(SOME, 20)
    NEW.to_csv(tmp_path / "items.csv", index=False)
    assert main(["add-items", str(run), "--items", str(tmp_path / "items.csv")]) == 0
    assert "4 items added" in capsys.readouterr().out
    twice = content(run)
    assert main(["add-items", str(run), "--items", str(tmp_path / "items.csv")]) == 2
    assert "4 of the 4 new items are in the catalogue already, such as n1" in capsys.readouterr().err
    assert content(run) == twice
    expected = Recommender.load(run)
    lists = expected.recommend(SOME, 20)
    assert {item for items in lists.items for item in items} & set(NEW.item_id)
    assert main(["remove-items", str(run), "--items", str(tmp_path / "items.csv")]) == 0
    assert_same(before, Recommender.load(run).recommend(SOME, 20))

    vectors = np.load(run / "text_features.npy")[1:5]
    np.savez(tmp_path / "vectors.npz", item_id=NEW.item_id.to_numpy(str)[::-1], features=vectors[::-1])
    words = ["add-items", run, "--items", tmp_path / "items.csv", "--features", tmp_path / "vectors.npz"]
    assert main([*map(str, words)]) == 0
    assert torch.equal(Recommender.load(run).catalogue.candidates[-4:], torch.ones(4, dtype=torch.bool))
    np.savez(tmp_path / "vectors.npz", item_id=np.array(["n1"]), features=vectors[:1])
    assert main(["remove-items", str(run), "--items", str(tmp_path / "items.csv")]) == 0
    capsys.readouterr()
    assert main([*map(str, words)]) == 2
    assert "lacks the vectors of 3 of the items, such as n2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "words"),
    [("asin", []), ("item_id:token", []), ("album_id", ["--item-column", "album_id"])],
)
def test_the_column_of_ids_is_found_as_the_importer_finds_it(column, words, run, tmp_path, capsys):
    expected = Recommender.load(run)
    expected.add_items(NEW)
    others = {"item_id": "another"} if column == "album_id" else {}  # a column of that name which names no item
    NEW.rename(columns={"item_id": column}).assign(**others).to_csv(tmp_path / "items.csv", index=False)
    command = ["add-items", str(run), "--items", str(tmp_path / "items.csv"), *words]
    assert main(command) == 0 and "4 items added" in capsys.readouterr().out
    assert_same(expected.recommend(SOME, 20), Recommender.load(run).recommend(SOME, 20))


def test_a_column_of_ids_that_is_not_there_is_named(run, tmp_path, capsys):
    before = content(run)
    NEW.rename(columns={"item_id": "album_id"}).to_csv(tmp_path / "items.csv", index=False)
    command = ["add-items", str(run), "--items", str(tmp_path / "items.csv")]
    assert main(command) == 2
    assert "no item column under a common name; its columns are album_id, " in (said := capsys.readouterr().err)
    assert "Name it with --item-column." in said
    assert main([*command, "--item-column", "record"]) == 2
    assert "has no column [record]; its columns are album_id, " in (said := capsys.readouterr().err)
    assert "interactions" not in said and content(run) == before


def test_an_explanation_is_printed_for_a_user_or_a_history(tiny_runs, capsys):
    run, lines = tiny_runs / "SpecGRPP", (tiny_runs / "dataset/tiny/tiny.inter").read_text().splitlines()[1:]
    user = lines[0].split("\t")[0]
    history = [item for who, item, _ in map(str.split, lines) if who == user]
    expected = str(Recommender.load(run).explain(history, "i7", 20))
    assert main(["explain", str(run), "--user", user, "--item", "i7", "--k", "20"]) == 0
    assert capsys.readouterr().out == f"{expected}\n"
    assert main(["explain", str(run), "--history", *history, "--item", "i7", "--k", "20"]) == 0
    assert capsys.readouterr().out == f"{expected}\n"
    assert main(["explain", str(run), "--user", user, "--item", "i700"]) == 2
    assert "There is no item [i700]" in capsys.readouterr().err


def test_a_users_page_marks_new_items(tiny_runs, capsys):
    user = next(
        line.split("\t")[0] for line in (tiny_runs / "dataset/tiny/tiny.inter").read_text().splitlines()[1:] if line
    )
    assert main(["show", str(tiny_runs / "SpecGRPP"), "--user", user, "--k", "40"]) == 0
    page = capsys.readouterr().out
    before, after = page.split("recommends")
    assert f"User {user}:" in before and "The " in before  # titles are shown, not the first text field
    assert " new " in after and ("drafted in round" in after or "beam search" in after)
    history = {line.split()[1] for line in before.splitlines() if " i" in line and line[:1].isdigit()}
    listed = {line.split()[1] for line in after.splitlines() if line[:1].isdigit()}
    assert history and len(listed) > 10 and not history & listed
    assert main(["show", str(tiny_runs / "SpecGRPP"), "--user", "nobody"]) == 2
    assert "There is no user [nobody] in [tiny]" in capsys.readouterr().err
    words = ["show", str(tiny_runs / "SpecGRPP"), "--user", user, "--data_path", "elsewhere"]
    assert main(words) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_a_users_page_has_no_empty_column(tiny_runs, capsys):
    lines = (tiny_runs / "dataset/tiny/tiny.inter").read_text().splitlines()[1:]
    columns = {}
    for user in sorted({line.split("\t")[0] for line in lines})[:12]:
        assert main(["show", str(tiny_runs / "SASRec"), "--user", user, "--k", "2"]) == 0
        page = capsys.readouterr().out
        rule = next(line for line in page.splitlines() if line.startswith("-"))
        columns.setdefault(any(line.rstrip().endswith(" new") for line in page.splitlines()), set()).add(
            len(rule.split())
        )
    assert columns == {True: {4}, False: {3}}  # number, item, title, and whether it is new where one is


def test_a_users_page_has_no_titles_where_there_are_none(tiny_runs, monkeypatch):
    recommender = Recommender.load(tiny_runs / "SASRec")
    user = (tiny_runs / "dataset/tiny/tiny.inter").read_text().splitlines()[1].split("\t")[0]
    assert " title " in user_page(recommender, user, 3)
    monkeypatch.setattr(type(recommender.catalogue), "title", lambda catalogue, row: "")
    page = user_page(recommender, user, 3)
    rules = [line.split() for line in page.splitlines() if line.startswith("-")]
    assert " title " not in page and [len(rule) for rule in rules] in ([2, 3], [3, 4])


# -- broken runs -------------------------------------------------------------------------------------------------------

READ = ("config.yaml", "finetune.pth", "items.npz", "semantic_ids.npz", "tokenizer.npz", "lsa.npz")


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone"])
@pytest.mark.parametrize("name", [*READ, CHANGES])
def test_a_damaged_file_is_named(name, damage, run, tmp_path):
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    recommender.save()
    whole = (run / name).read_bytes()
    if damage == "gone":
        (run / name).unlink()
    else:
        size = len(whole)
        (run / name).write_bytes({"cut": whole[: size // 2], "empty": b"", "noise": bytes(range(256)) * 9}[damage])
    if name == CHANGES and damage == "gone":
        return
    broken = content(run)
    # Without `items.npz` the run is built from its data, which is not where it was.
    elsewhere = {"data_path": str(tmp_path / "none")}
    with pytest.raises((UserError, FileNotFoundError)) as raised:
        Recommender.load(run, config_dict=elsewhere).add_items(NEW.assign(item_id=["o1", "o2", "o3", "o4"]))
    named = str(raised.value)
    assert str(run / name) in named or (damage, name) == ("gone", "items.npz")
    assert content(run) == broken


def test_a_file_that_lacks_an_array_is_named(run):
    with np.load(run / "items.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "candidates"}
    np.savez(run / "items.npz", **kept)
    with pytest.raises(UserError, match=r"items\.npz can't be read as the items of a run: it has no \[candidates\]"):
        Recommender.load(run)


def test_damaged_text_vectors_are_named(run):
    vectors = np.load(run / "text_features.npy")[1:21]
    (run / "text_features.npy").write_bytes(b"noise")
    with pytest.raises(UserError, match=r"text_features\.npy is unreadable"):
        Recommender.load(run).add_items({"item_id": [f"m{n}" for n in range(20)]}, vectors)


def test_another_version_is_refused(run, monkeypatch):
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    recommender.save()
    for name, module in (("items.npz", "recbole_specgr.items.catalogue"), (CHANGES, "recbole_specgr.serving.changes")):
        with monkeypatch.context() as patch:
            patch.setattr(f"{module}._FORMAT", 2)
            with pytest.raises(
                UserError, match=rf"{name} is .* in format 1, written by .*; this version reads format 2"
            ):
                Recommender.load(run)


def test_changes_of_another_training_are_refused(run):
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    recommender.save()
    facts, arrays = read_npz(run / CHANGES, 1, "changes")
    from recbole_specgr.system.npz import write_npz

    write_npz(run / CHANGES, {**facts, "trained": "other"}, arrays)
    with pytest.raises(UserError, match=r"the run has been trained again since. Delete the file"):
        Recommender.load(run)


def test_using_a_run_leaves_it_as_it_is(run):
    before = content(run)
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    recommender.recommend(SOME, 5)
    recommender.explain(SOME[0], "n1")
    recommender.remove_items(["i1", "n1"])
    assert content(run) == before


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no run"):
        Recommender.load(tmp_path)
    with pytest.raises(UserError, match=r"precision \[fp16\]"):
        Recommender.load(tmp_path, precision="fp16")


def test_an_exported_run_in_place_of_a_run_says_what_it_is(run, tiny_dataset, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", str(out)]) == 0
    told = f"{out} is no run but an exported one. Make a run of it and name that: recbole-specgr import-run {out}"
    config = Config("UniSRec", "tiny", config_dict=tiny_dataset)
    dataset = InductiveDataset(config).build()[0]
    for use in (
        lambda: Recommender.load(out),
        lambda: load_data_and_model(out),
        lambda: check_finished(out, "SpecGRPP", dataset, "[backbone_run]"),
        lambda: read_pretrained(out),
        lambda: configure(None, None, None, {"resume": str(out)}),
    ):
        with pytest.raises((FileNotFoundError, UserError), match=re.escape(told)):
            use()
    assert main(["show", str(out), "--user=1"]) == 2 and told in capsys.readouterr().err


# -- export and import -------------------------------------------------------------------------------------------------


def test_an_exported_run_comes_back_the_same(run, tmp_path, capsys):
    recommender = Recommender.load(run)
    recommender.add_items(NEW)
    recommender.save()
    expected, before = recommender.recommend(SOME, 20), content(run)
    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    assert content(run) == before
    files = content(tmp_path / "out")
    assert {"README.md", "model.safetensors", "config.json", "semantic_ids.npz", "text_features.npy"} <= set(files)
    assert not [name for name in files if name.endswith(".pth")]
    assert str(tmp_path) not in (tmp_path / "out/config.yaml").read_text()  # nothing of this machine

    assert main(["import-run", str(tmp_path / "out"), "--to", str(tmp_path / "back")]) == 0
    assert_same(expected, Recommender.load(tmp_path / "back").recommend(SOME, 20))
    theirs, ours = (
        torch.load(folder / "finetune.pth", weights_only=True)["state_dict"] for folder in (run, tmp_path / "back")
    )
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert main(["export", str(tmp_path / "back"), "--to", str(tmp_path / "again")]) == 0
    again = content(tmp_path / "again")
    assert {name for name in files if files[name] != again[name]} <= {
        "README.md",
        "config.yaml",
    }  # they name the folder


def test_transformers_reads_the_exported_t5(run, tmp_path):
    from transformers import T5ForConditionalGeneration

    main(["export", str(run), "--to", str(tmp_path / "out")])
    theirs = T5ForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    _, model, *_ = load_data_and_model(run)
    model.eval()
    histories = model.history_ids(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]))
    labels = model.tokens[[6, 7]]
    with torch.no_grad():
        logits = theirs(input_ids=histories, attention_mask=(histories > 0).long(), labels=labels).logits
        torch.testing.assert_close(model.backbone.decode(model.backbone.encode(histories), histories, labels), logits)


def test_the_card_has_the_results_and_its_code_runs(run, tmp_path, monkeypatch):
    main(["export", str(run), "--to", str(tmp_path / "out")])
    card = (tmp_path / "out/README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "recbole-specgr" and head["datasets"] == ["tiny"]
    result = json.loads((run / "result.json").read_text())
    for key in ("recall@10", "unseen_recall@10", "in_sample_ndcg@5"):
        assert f"{result['metrics']['test'][key]:.4f}" in card
    assert result["protocol_hash"] in card
    monkeypatch.chdir(tmp_path)
    shell, python, t5 = (part.split("```")[0].split("\n", 1)[1] for part in card.split("## Use")[1].split("```")[1::2])
    program, *words = shell.split()
    assert program == "recbole-specgr" and main(words) == 0
    scope: dict = {}
    exec(python.replace("item token", "i1").replace("a later i1", "i2"), scope)
    assert len(scope["recommender"].recommend([["i1", "i2"]], k=10).items[0]) == 10
    exec(t5, scope)


def test_what_can_not_be_exported_or_imported(run, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert main(["export", str(run), "--to", str(tmp_path / "full")]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["import-run", str(run), "--to", str(tmp_path / "back")]) == 2
    assert "is no exported run" in capsys.readouterr().err
    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    assert main(["import-run", str(tmp_path / "out"), "--to", str(run)]) == 2
    assert "is there already" in capsys.readouterr().err
    weights = tmp_path / "out/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert main(["import-run", str(tmp_path / "out"), "--to", str(tmp_path / "back")]) == 2
    assert "can't be read as an exported run" in capsys.readouterr().err
    manifest = tmp_path / "out/recbole_specgr.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 9'))
    assert main(["import-run", str(tmp_path / "out"), "--to", str(tmp_path / "back")]) == 2
    assert "in format 9" in capsys.readouterr().err
    (run / "result.json").unlink()
    assert main(["export", str(run), "--to", str(tmp_path / "other")]) == 2
    assert "is not finished" in capsys.readouterr().err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"full", "out", "run"}  # and nothing half-made
