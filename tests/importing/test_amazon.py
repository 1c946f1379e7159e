"""Amazon Reviews 2023: files in the source's format, odd rows included, against a reading of them by hand."""

import csv
import gzip
import hashlib
import json
import runpy
import shutil
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import yaml

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.published import published_statistics, published_table
from recbole_specgr.data.statistics import interaction_statistics
from recbole_specgr.importing.amazon import PROPERTIES, dataset_name, prepare_amazon
from recbole_specgr.importing.amazon_files import REPOSITORY, REVISION, fetch_files
from recbole_specgr.importing.amazon_reviews import SPLIT
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.item_text import item_texts

CATEGORY = "Video_Games"
NAME = "Amazon2023_Video_Games"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "amazon2023"
SPLITS = "benchmark/5core/timestamp_w_his"
METADATA = f"raw/meta_categories/meta_{CATEGORY}.jsonl"
PROPERTIES_FOLDER = folders("properties")[0]
PAPERS_SETS = ("Video_Games", "Office_Products", "Cell_Phones_and_Accessories")

TUNED = sorted(
    path for name in PAPERS_SETS for path in (PROPERTIES_FOLDER / "tuned" / dataset_name(name)).glob("*.yaml")
)


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of the fixture that a test may break."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "source"))


prepare = partial(prepare_amazon, CATEGORY, show_progress=False)


def good_rows() -> dict[tuple[str, str], int]:
    """(user, item) -> first time, of the rows of all three files that are whole."""
    found = {}
    for path in sorted((FIXTURE / SPLITS).glob("*.csv")):
        for row in csv.reader(path.read_bytes().decode("latin-1").splitlines()[1:]):
            user, item, *_ = row
            if len(row) == 5 and item and row[3].isdigit() and user.isascii():
                found[user, item] = min(found.get((user, item), 2**62), int(row[3]))
    return found


def load(tmp_path, **settings):
    settings = {"data_path": str(tmp_path / "dataset"), "show_progress": False, "use_gpu": False, **settings}
    config = Config("SASRec", NAME, config_dict=settings)
    return InductiveDataset(config)


def rows_of(dataset) -> dict[tuple[str, str], int]:
    users, items, times = dataset.interactions
    pairs = zip(dataset.id2token("user_id", users), dataset.id2token("item_id", items))
    return dict(zip(pairs, times.tolist()))


# ---- the whole way ---------------------------------------------------------------------------------------------------


def test_the_fixture_becomes_the_data_set_that_a_reading_by_hand_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = prepare(FIXTURE)
    dataset = load(tmp_path)
    assert rows_of(dataset) == good_rows()
    assert dataset.split.cuts == SPLIT and dataset.repeats
    assert report.statistics == interaction_statistics(dataset.split)
    assert report.counts == {
        "dropped: rows of a wrong number of columns": 1,
        "dropped: interactions without a time in ms": 1,
        "dropped: interactions without user or item id": 2,
        "dropped: repeated (user, item) pairs (the first was kept)": 1,
        "left out: items without interactions": 1,
        "dropped: repeated metadata rows (the first was kept)": 1,
        "dropped: metadata lines that are not JSON": 2,
        "put right: metadata rows that are not UTF-8": 1,
        "dropped: metadata rows without an id": 2,
        "kept: interacted items that the items file lacks": 1,
        "items without text": 2,
    }
    for view in dataset.build():
        rows = [t for (user, _), t in good_rows().items()]
        bounds = {"train": (0, SPLIT[0]), "valid": SPLIT, "test": (SPLIT[1], 2**62)}[view.phase]
        assert 0 < len(view) <= sum(bounds[0] <= t < bounds[1] for t in rows)


def test_histories_are_those_of_the_source(tmp_path):
    """The history column of the source is the oracle of the sequences that the data set builds."""
    prepare(FIXTURE, tmp_path / "dataset")
    dataset = load(tmp_path)
    expected = {}
    for path in sorted((FIXTURE / SPLITS).glob("*.csv")):
        for row in csv.reader(path.read_bytes().decode("latin-1").splitlines()[1:]):
            if len(row) == 5 and row[4] and good_rows().get((row[0], row[1])) == int(row[3]):
                expected[row[0], row[1]] = row[4].split(" ")
    found = {}
    for view in dataset.build():
        batch = view[:]
        for row in range(len(view)):
            history = batch["item_id_list"][row, : batch["item_length"][row]]
            user, item = int(batch["user_id"][row]), int(batch["item_id"][row])
            key = dataset.id2token("user_id", user), dataset.id2token("item_id", item)
            found[key] = dataset.id2token("item_id", history.numpy()).tolist()
    assert found == expected


def test_item_sentences_are_the_papers(tmp_path):
    prepare(FIXTURE, tmp_path / "dataset")
    dataset = load(tmp_path).build()[0]
    texts = dict(zip(dataset.field2id_token["item_id"], item_texts(dataset, dataset.config["text_fields"])))
    assert texts["B000QQQ000"] == (
        "Quest Arena 0 Play legend alone or with friends, More than 3 levels of drift, each with its own rules and its "
        "own music. Video Games, PlayStation 4, Games. A game about puzzle and racing., For one to four players.."
    )
    assert texts["B002XXX074"].startswith("Tom & Jerry The Chase II Play puzzle")
    assert texts["B002XXX074"].endswith("Video Games, PC, Games. Cats and mice..")
    assert texts["B003ZZZ111"] == texts["B008QQQ296"] == ""
    assert texts["B005WWW185"].endswith('music. One text, not a list; it says "parent_asin": "B000QQQ000".')
    assert texts["B009WWW333"].startswith("Caf Island Tactics 9 ")
    assert texts["B012QQQ444"].startswith("Tab here Quest Arena 12 ")
    brands = dataset.id2token("brand", dataset.item_feat["brand"].numpy())
    brand_of = dict(zip(dataset.field2id_token["item_id"], brands))
    assert (brand_of["B000QQQ000"], brand_of["B001WWW037"], brand_of["B006XXX222"]) == (
        "Nightowl",
        "Blue Fjord",
        "[PAD]",
    )


def as_server(folder: Path) -> None:
    """The authors' server has every file with .gz."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        with gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        path.unlink()


def as_one_folder(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.rename(folder / path.name)


def as_parquet(folder: Path) -> None:
    """The hub's conversion of the metadata, in two shards."""
    rows = []
    for line in (folder / METADATA).read_bytes().splitlines():
        try:
            row = json.loads(line.decode("latin-1"), strict=False)
        except ValueError:
            continue
        if isinstance(row, dict):
            if isinstance(row["description"], str):
                row["description"] = [row["description"]]
            rows.append({**row, "details": json.dumps(row["details"])})
    (folder / METADATA).unlink()
    shards = folder / f"raw_meta_{CATEGORY}"
    shards.mkdir()
    for number, part in enumerate((rows[:9], rows[9:])):
        fields = [
            *(pyarrow.field(name, pyarrow.string()) for name in ("title", "store", "parent_asin", "details", "price")),
            *(pyarrow.field(name, pyarrow.list_(pyarrow.string())) for name in ("features", "description")),
            pyarrow.field("categories", pyarrow.list_(pyarrow.string())),
        ]
        table = pyarrow.Table.from_pylist(part, schema=pyarrow.schema(fields))
        parquet.write_table(table, shards / f"full-{number:05}-of-00002.parquet", row_group_size=4)


@pytest.mark.parametrize("change", [as_server, as_one_folder, as_parquet])
def test_every_layout_gives_the_same_data_set(tmp_path, source, change):
    prepare(FIXTURE, tmp_path / "expected")
    change(source)
    report = prepare(source, tmp_path / "dataset")
    for end in ("inter", "item"):
        expected = (tmp_path / "expected" / NAME / f"{NAME}.{end}").read_text(encoding="utf-8")
        found = (tmp_path / "dataset" / NAME / f"{NAME}.{end}").read_text(encoding="utf-8")
        if change is as_parquet:  # made of texts that are all UTF-8, and with lists throughout
            expected = expected.replace("Caf Island", "Caf\u00e9 Island").replace('000"".', '000""..')
        assert sorted(found.splitlines()) == sorted(expected.splitlines())
    assert report.statistics["interactions"] == len(good_rows())


def test_a_user_with_thousands_of_actions_is_read_in_bounded_pieces(tmp_path, source, monkeypatch):
    """Histories are quadratic in a user's actions; only their lengths are kept."""
    from recbole_specgr.importing import amazon_reviews

    monkeypatch.setattr(amazon_reviews, "_BLOCK", 1 << 16)
    items = [f"B{n:09}" for n in range(3000)]
    rows = [f"AVERYACTIVE,{item},5.0,{1500000000000 + n},{' '.join(items[:n])}" for n, item in enumerate(items)]
    path = source / SPLITS / f"{CATEGORY}.train.csv"
    path.write_bytes(path.read_bytes() + "\n".join(rows).encode() + b"\n")
    report = prepare(source, tmp_path / "dataset")
    assert report.statistics["interactions"] == len(good_rows()) + 3000
    assert report.counts["kept: interacted items that the items file lacks"] == 3001


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def refused(tmp_path, source, message, error=UserError, **options):
    with pytest.raises(error, match=message):
        prepare(source, tmp_path / "dataset", **options)
    assert not (tmp_path / "dataset").exists()


def cut(path: Path, share: float = 0.6) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def packed(path: Path) -> Path:
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(path.read_bytes() * 50)
    path.unlink()
    return Path(f"{path}.gz")


def test_files_that_are_cut_short_are_refused(tmp_path, source):
    train, metadata = source / SPLITS / f"{CATEGORY}.train.csv", source / METADATA
    whole = {path: path.read_bytes() for path in (train, metadata)}
    cut(train)
    refused(tmp_path, source, r"train\.csv ends within a line.*Fetch it again")
    train.write_bytes(whole[train])
    cut(metadata)
    refused(tmp_path, source, r"meta_Video_Games\.jsonl .*cut short in line \d+")
    metadata.write_bytes(whole[metadata])
    cut(packed(train))
    refused(tmp_path, source, r"train\.csv\.gz could not be read.*damaged or cut short")
    Path(f"{train}.gz").unlink()
    train.write_bytes(whole[train])
    cut(packed(metadata))
    refused(tmp_path, source, r"jsonl\.gz .*cut short in line \d+")
    Path(f"{metadata}.gz").write_bytes(b"<html>not found</html>")
    refused(tmp_path, source, r"jsonl\.gz could not be read after line 0.*Fetch it again")


def test_a_file_that_ends_with_a_whole_line_too_early_is_found_by_the_histories(tmp_path, source):
    train = source / SPLITS / f"{CATEGORY}.train.csv"
    lines = train.read_bytes().splitlines(keepends=True)
    train.write_bytes(b"".join(lines[:40]))
    refused(tmp_path, source, r"% of the rows of .* name earlier items for which no file has a row")
    train.write_bytes(b"".join(lines))
    test = source / SPLITS / f"{CATEGORY}.test.csv"
    lines = test.read_bytes().splitlines(keepends=True)
    test.write_bytes(b"".join(lines[:1] + lines[2:]))  # a user's last but one: reported
    assert prepare(source, tmp_path / "dataset").counts["kept: interactions that name more earlier ones than there are"]


def test_shards_that_are_missing_or_broken_are_named(tmp_path, source):
    as_parquet(source)
    shard = source / f"raw_meta_{CATEGORY}" / "full-00001-of-00002.parquet"
    cut(shard)
    refused(tmp_path, source, r"full-00001-of-00002\.parquet could not be read: .*fetch it again")
    shard.unlink()
    refused(tmp_path, source, r"lacks full-00001-of-00002\.parquet")


def test_missing_files_and_other_categories_are_named(tmp_path, source):
    (source / SPLITS / f"{CATEGORY}.valid.csv").unlink()
    refused(tmp_path, source, r"lacks benchmark/5core/timestamp_w_his/Video_Games\.valid\.csv .*also looked for")
    with pytest.raises(UserError, match=r"lacks .*It holds Video_Games\. Did you mean \[Video_Games\]\?"):
        prepare_amazon("Video_Game", source, tmp_path / "dataset")
    with pytest.raises(UserError, match=r"--category \[\.\./Video_Games\] must be a name"):
        prepare_amazon("../Video_Games", source)
    refused(tmp_path, tmp_path / "nowhere", "no folder .*nowhere", FileNotFoundError)


def test_files_of_another_kind_are_refused(tmp_path, source):
    train, metadata = source / SPLITS / f"{CATEGORY}.train.csv", source / METADATA
    whole = train.read_bytes()
    train.write_bytes(b"user,item\n1,2\n")
    refused(tmp_path, source, r"starts with \[user,item\], not with \[user_id,parent_asin,rating,timestamp,history\]")
    train.write_bytes(whole)
    metadata.write_bytes(b"a page\nthat says\nnot found\n")
    refused(tmp_path, source, r"3 of 3 lines are no JSON objects")
    metadata.write_bytes(b'{"parent_asin": "B000000000", "title": "x"}\n')
    refused(tmp_path, source, r"None of the 16 interacted items .* is in .*jsonl")


def test_files_without_a_header_and_empty_ones_are_taken(tmp_path, source):
    for phase in ("train", "valid", "test"):
        path = source / SPLITS / f"{CATEGORY}.{phase}.csv"
        path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert prepare(source, tmp_path / "dataset").statistics["interactions"] == len(good_rows())
    (source / SPLITS / f"{CATEGORY}.test.csv").write_bytes(b"user_id,parent_asin,rating,timestamp,history\n")
    report = prepare(source, tmp_path / "dataset", overwrite=True)
    assert report.statistics["test_targets"] == 0
    for phase in ("train", "valid"):
        (source / SPLITS / f"{CATEGORY}.{phase}.csv").write_bytes(b"")
    with pytest.raises(UserError, match="have no rows"):
        prepare(source, tmp_path / "dataset", overwrite=True)


def test_rows_in_the_wrong_file_are_reported(tmp_path, source):
    train, test = (source / SPLITS / f"{CATEGORY}.{phase}.csv" for phase in ("train", "test"))
    text = train.read_bytes()
    train.write_bytes(test.read_bytes())
    test.write_bytes(text)
    report = prepare(source, tmp_path / "dataset")
    assert report.counts["kept: interactions in another file than their time says"] > 100 * 0.5
    assert rows_of(load(tmp_path)) == good_rows()


def test_an_existing_data_set_stays_unless_it_may_go(tmp_path, source):
    prepare(source, tmp_path / "dataset")
    before = (tmp_path / "dataset" / NAME / f"{NAME}.inter").read_bytes()
    with pytest.raises(UserError, match="--overwrite"):
        prepare(source, tmp_path / "dataset")
    cut(source / SPLITS / f"{CATEGORY}.train.csv")
    with pytest.raises(UserError, match="ends within a line"):
        prepare(source, tmp_path / "dataset", overwrite=True)
    assert (tmp_path / "dataset" / NAME / f"{NAME}.inter").read_bytes() == before
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == [NAME]


# ---- the hub ---------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's HTTP interface that the client asks for, over a folder of files."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool):
        root, log, asked = self.server.root, self.server.log, unquote(self.path)
        tree, resolve = f"/api/datasets/{REPOSITORY}/tree/{REVISION}/", f"/datasets/{REPOSITORY}/resolve/{REVISION}/"
        if asked == "/":
            return self.send(b"", {})
        if asked.startswith(tree):
            folder = root / asked.removeprefix(tree).partition("?")[0]
            if not folder.is_dir():
                return self.send(b"{}", {"X-Error-Code": "EntryNotFound"}, 404)
            return self.send(json.dumps([self.entry(path) for path in sorted(folder.iterdir())]).encode(), {})
        path = root / asked.removeprefix(resolve)
        if not path.is_file():
            return self.send(b"", {"X-Error-Code": "EntryNotFound"}, 404)
        if body and self.server.dead:
            return self.send(b"", {}, 403)
        content = path.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if body:
            log.append((path.name, start))
        etag = {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        self.send(content[start:], etag, 206 if start else 200, body, stop_after=self.server.stop_after)

    def entry(self, path: Path) -> dict:
        content = path.read_bytes()
        name = str(path.relative_to(self.server.root))
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        found = {"type": "file", "path": name, "size": len(content), "oid": blob}
        if path.suffix != ".csv":
            sha = self.server.sha256.get(path.name) or hashlib.sha256(content).hexdigest()
            found["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
        return found

    def send(self, content: bytes, headers: dict, status: int = 200, body: bool = True, stop_after: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:stop_after])
            if stop_after is not None and stop_after < len(content):
                self.close_connection = self.server.dead = True

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(source, monkeypatch):
    """A hub that serves `source`; after `stop_after` bytes of a file it drops the connection and is dead."""
    constants = pytest.importorskip("huggingface_hub.constants")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.root, server.log, server.stop_after, server.sha256 = source, [], None, {}
    server.dead = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


fetch = partial(fetch_files, CATEGORY, show_progress=False)


@pytest.mark.parametrize("change", [lambda folder: None, as_parquet])
def test_fetched_files_are_those_of_the_hub_and_a_rerun_needs_none(tmp_path, hub, source, change):
    change(source)
    files = fetch(tmp_path / "downloads")
    found = [*files.splits.values(), *files.metadata]
    assert len(found) == 4 + (change is as_parquet)
    for path in found:
        assert path.read_bytes() == (source / path.relative_to(tmp_path / "downloads")).read_bytes()
    asked = list(hub.log)
    hub.shutdown()
    assert fetch(tmp_path / "downloads") == files
    assert hub.log == asked
    found[-1].write_bytes(found[-1].read_bytes()[:-5] + b"12345")
    with pytest.raises(UserError, match=r"does not have the checksum .* so it was removed"):
        fetch(tmp_path / "downloads")
    assert not found[-1].exists()


def test_a_download_that_breaks_off_goes_on_where_it_stopped(tmp_path, hub, source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.stop_after = 4096
    with pytest.raises(UserError, match=r"could not be fetched .*run the same command again.*--source"):
        fetch(tmp_path / "downloads")
    assert hub.log == [(f"{CATEGORY}.train.csv", 0)]
    hub.stop_after, hub.dead = None, False
    files = fetch(tmp_path / "downloads")
    assert hub.log[1] == (f"{CATEGORY}.train.csv", 4096)
    assert files.splits["train"].read_bytes() == (source / SPLITS / f"{CATEGORY}.train.csv").read_bytes()


def test_a_file_that_arrives_damaged_is_refused(tmp_path, hub):
    hub.sha256[f"meta_{CATEGORY}.jsonl"] = "0" * 64
    with pytest.raises(UserError, match=r"checksum 0{64}.* removed"):
        fetch(tmp_path / "downloads")


def test_an_unknown_category_names_near_ones(tmp_path, hub):
    with pytest.raises(UserError, match=r"no category \[Vidio_Games\].* Did you mean \[Video_Games\]\?"):
        fetch_files("Vidio_Games", tmp_path / "downloads")


def test_a_hub_that_is_not_there_is_said_at_once_with_another_way(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UserError, match=r"could not be fetched.*\.train\.csv\.gz.*give it as --source"):
        prepare(None, tmp_path / "dataset", tmp_path / "downloads")
    assert not (tmp_path / "dataset").exists()


# ---- the paper's data sets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", PAPERS_SETS)
def test_the_property_files_hold_what_preparing_writes(category):
    path = PROPERTIES_FOLDER / "dataset" / f"{dataset_name(category)}.yaml"
    found = read_mapping(path)
    assert {key: found[key] for key in PROPERTIES} == PROPERTIES
    assert set(found) - set(PROPERTIES) == {"preset", "published_statistics", "tokenizer"}
    items = found["published_statistics"]
    assert items["train_targets"] > items["test_targets"] > items["valid_targets"]


@pytest.mark.parametrize("file", TUNED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_tuned_models_have_the_papers_codebooks(tmp_path, file):
    name = file.parent.name
    folder = tmp_path / name
    folder.mkdir()
    (folder / f"{name}.inter").touch()
    config = Config(file.stem, name, config_dict={"data_path": str(tmp_path)})
    assert config["tokenizer"]["codebook_size"] in (144, 256, 288)


def test_numbers_are_compared_as_they_are_printed():
    published = published_statistics(NAME)
    found = {
        "items": 25_612,
        "seen_items": 22_976,
        "train_targets": 645_349,
        "valid_targets": 33_100,
        "test_targets": 41_999,
        "valid_unseen_share": 0.2794,
        "test_unseen_share": None,
    }
    table = published_table(found, published).splitlines()
    differing = [line.split("  ")[0] for line in table if line.endswith("differs")]
    assert differing == ["test targets (thousands)", "test unseen (%)"]
    assert table[-1] == "5 of 7 published numbers agree."
    assert published_table(found, None) is None


def test_the_script_prints_both_tables_or_one_line(tmp_path, monkeypatch, capsys, request):
    arguments = [f"--category={CATEGORY}", "--source", str(FIXTURE), "--output", str(tmp_path / "dataset")]
    monkeypatch.setattr(sys, "argv", ["prepare_amazon.py", *arguments])
    monkeypatch.setattr(sys, "path", sys.path[:])
    script = str(request.config.rootpath / "scripts" / "prepare_amazon.py")
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert "unseen targets valid / test" in printed and "published numbers agree" in printed
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_other_categories_carry_their_own_settings(tmp_path, source):
    for path in [path for path in source.rglob("*") if path.is_file()]:
        path.rename(path.with_name(path.name.replace(CATEGORY, "Software")))
    prepare_amazon("Software", source, tmp_path / "dataset", show_progress=False)
    name = dataset_name("Software")
    settings = yaml.safe_load((tmp_path / "dataset" / name / f"{name}.yaml").read_text())
    assert settings == PROPERTIES | {"repeats_removed": True}  # one pair is twice in the files
    config = Config("FDSA", name, config_dict={"data_path": str(tmp_path / "dataset")})
    assert config["selected_features"] == ["categories", "brand"]
    assert np.array_equal(config["timestamp_split"], SPLIT)
