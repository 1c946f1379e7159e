"""Where the files of a category of Amazon Reviews 2023 are: in a folder, or on the hub.

The hub's data set repository and the authors' server lay the files out alike, the server with .gz:

    benchmark/5core/timestamp_w_his/<Category>.{train,valid,test}.csv
    raw/meta_categories/meta_<Category>.jsonl
    raw_meta_<Category>/full-00000-of-00003.parquet ...       the same metadata, on the hub only
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from recbole_specgr.data.splits.contract import PHASES
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.hub import reach_hub

REPOSITORY = "McAuley-Lab/Amazon-Reviews-2023"
#: Of 8 December 2024, which added the metadata as Parquet.
REVISION = "2b6d039ed471f2ba5fd2acb718bf33b0a7e5598e"
SERVER = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"

_SPLITS = "benchmark/5core/timestamp_w_his"
_METADATA = "raw/meta_categories"
_SHARD = re.compile(r"full-(\d+)-of-(\d+)\.parquet")
_BLOCK = 1 << 22


@dataclass(frozen=True)
class AmazonFiles:
    """The interactions of each phase, and the metadata: all Parquet shards, or one JSON-lines file."""

    splits: dict[str, Path]
    metadata: list[Path]


def find_files(folder: Path, category: str) -> AmazonFiles:
    """The files of `category` under `folder`, in either layout or all in the folder itself, plain or .gz.

    Raises:
        UserError: a file is missing; it says which and, for a category that is not there, which ones are.
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    splits, metadata, missing = {}, _shards(folder, category), []
    for phase in PHASES:
        wanted = f"{_SPLITS}/{category}.{phase}.csv"
        if path := _first(folder, wanted):
            splits[phase] = path
        else:
            missing.append(wanted)
    if not metadata:
        wanted = f"{_METADATA}/meta_{category}.jsonl"
        if path := _first(folder, wanted):
            metadata = [path]
        else:
            missing.append(wanted)
    if missing:
        there = {path.name.split(".")[0] for path in folder.rglob("*.train.csv*")}
        hint = f" It holds {', '.join(sorted(there))}.{did_you_mean(category, there)}" if there else ""
        raise UserError(
            f"{folder} lacks {', '.join(missing)} (also looked for with .gz, and without the folders).{hint} The "
            f"files are on the hub in the data set {REPOSITORY}, and with .gz under {SERVER}/."
        )
    return AmazonFiles(splits, metadata)


def _first(folder: Path, name: str) -> Path | None:
    places = [folder / (place + end) for place in (name, name.rsplit("/", 1)[1]) for end in ("", ".gz")]
    return next((path for path in places if path.is_file()), None)


def _shards(folder: Path, category: str) -> list[Path]:
    """All Parquet files of the metadata. Raises UserError when some are missing."""
    found = {path.name: path for path in (folder / f"raw_meta_{category}").glob("full-*-of-*.parquet")}
    if not found:
        return []
    count = max(int(match[2]) for name in found if (match := _SHARD.fullmatch(name)))
    names = [f"full-{number:05}-of-{count:05}.parquet" for number in range(count)]
    lacking = [name for name in names if name not in found]
    if lacking:
        raise UserError(f"{folder / f'raw_meta_{category}'} lacks {', '.join(lacking)}. Fetch the rest.")
    return [found[name] for name in names]


# ---- the hub ---------------------------------------------------------------------------------------------------------


def fetch_files(category: str, folder: Path, revision: str = REVISION, show_progress: bool = True) -> AmazonFiles:
    """Download the files of `category` to `folder`, which then is laid out as the hub, and check them.

    What is there already is not fetched again, what is half there is completed, and every file's checksum is compared
    with the hub's. With all files there the hub is not needed.

    Raises:
        UserError: the hub can't be reached, has no such category or revision, or a file arrives damaged.
    """
    listing = folder / f"{category}-{revision[:12]}.json"
    try:
        if not listing.is_file():
            _write_listing(listing, category, revision)
        entries = json.loads(listing.read_text(encoding="utf-8"))
        for entry in entries:
            _download(folder, entry, revision)
    except UserError:
        raise
    except ImportError as error:
        raise UserError("Downloading needs huggingface_hub: pip install '.[hub]' in the checkout.") from error
    except Exception as error:  # the client raises many types, its HTTP library's among them
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"{category} could not be fetched from the hub's {REPOSITORY} at {revision} ({type(error).__name__}: "
            f"{reason}). What has arrived stays in {folder}: run the same command again to go on. Without the hub, put "
            f"{SERVER}/{_SPLITS}/{category}.train.csv.gz, .valid.csv.gz, .test.csv.gz and "
            f"{SERVER}/{_METADATA}/meta_{category}.jsonl.gz into a folder and give it as --source."
        ) from error
    for entry in tqdm(entries, desc="checksums", unit="file", disable=not show_progress):
        _verify(folder / entry["path"], entry)
    return find_files(folder, category)


def _write_listing(path: Path, category: str, revision: str) -> None:
    """Paths, sizes and checksums of the category's files, as the hub has them."""
    splits = _hub_folder(_SPLITS, revision)
    if not splits:
        raise UserError(f"{REPOSITORY} has no folder {_SPLITS} at {revision}. Give another --revision.")
    wanted = [f"{_SPLITS}/{category}.{phase}.csv" for phase in PHASES]
    if any(name not in splits for name in wanted):
        known = sorted({name.rsplit("/", 1)[1].split(".")[0] for name in splits})
        raise UserError(
            f"There is no category [{category}] in {REPOSITORY}.{did_you_mean(category, known)} "
            f"There are: {', '.join(known)}."
        )
    metadata = _hub_folder(f"raw_meta_{category}", revision)
    if not metadata:
        name = f"{_METADATA}/meta_{category}.jsonl"
        metadata = {name: _hub_folder(_METADATA, revision)[name]}
    entries = [splits[name] for name in wanted] + [metadata[name] for name in sorted(metadata)]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")


def _hub_folder(folder: str, revision: str) -> dict[str, dict]:
    """The files of a folder of the repository by path; none when there is no such folder."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import EntryNotFoundError

    found = HfApi(endpoint=reach_hub()).list_repo_tree(REPOSITORY, folder, revision=revision, repo_type="dataset")
    try:
        files = [entry for entry in found if isinstance(entry, RepoFile)]
    except EntryNotFoundError:
        return {}
    return {
        file.path: {
            "path": file.path,
            "size": file.size,
            # A file that git holds itself has git's own checksum, a large one the sha256 of its content.
            **({"sha256": file.lfs.sha256} if file.lfs else {"git": file.blob_id}),
        }
        for file in files
    }


def _download(folder: Path, entry: dict, revision: str) -> None:
    """Fetch a file unless it is there; what arrived before is in `<name>.part`.

    The client's own `hf_hub_download` starts a file anew in every run, which hurts at gigabytes.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    path, size = folder / entry["path"], entry["size"]
    if path.is_file() and path.stat().st_size == size:
        return
    part = path.with_name(f"{path.name}.part")
    if part.is_file() and part.stat().st_size > size:
        part.unlink()
    url = hf_hub_url(REPOSITORY, entry["path"], repo_type="dataset", revision=revision, endpoint=reach_hub())
    part.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "ab") as file:
        done = file.tell()
        http_get(url, file, resume_size=done, headers=build_hf_headers(), expected_size=size)
    part.replace(path)


def _verify(path: Path, entry: dict) -> None:
    """Raise UserError, and remove the file, when its checksum is not the hub's."""
    if "sha256" in entry:
        digest, expected = hashlib.sha256(), entry["sha256"]
    else:
        digest, expected = hashlib.sha1(b"blob %d\0" % path.stat().st_size), entry["git"]
    for block in _blocks(path):
        digest.update(block)
    if digest.hexdigest() != expected:
        path.unlink()
        raise UserError(
            f"{path} does not have the checksum {expected} that the hub gives for it, so it was removed. Run the same "
            f"command again to fetch it anew."
        )


def _blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            yield block
