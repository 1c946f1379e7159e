"""Ids and codebooks from outside, and the files that this package writes, read by plain numpy as documented."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clustered_vectors import clustered

from recbole_specgr.semantic_ids import SemanticIds, build_tokenizer, load_semantic_ids, load_tokenizer
from recbole_specgr.semantic_ids.fit import take_ids
from recbole_specgr.semantic_ids.health import CollapsedTokenizer
from recbole_specgr.semantic_ids.table_files import read_semantic_ids, write_csv
from recbole_specgr.system.errors import UserError

N = 60
NAMES = np.array(["[PAD]", *(f"item {i}" for i in range(1, N + 1))])
SEEN = np.arange(N + 1) % 4 != 0


def config(tmp_path, **tokenizer) -> dict:
    return {
        "semantic_ids": None,
        "tokenizer": {"method": "rqvae", "min_utilisation": 0.0, **tokenizer},
        "seed": 0,
        "run_dir": str(tmp_path / "run"),
        "cache_path": str(tmp_path / "cache"),
        "device": torch.device("cpu"),
        "show_progress": False,
    }


def dataset(tmp_path) -> SimpleNamespace:
    names = {"item_id": NAMES}
    return SimpleNamespace(
        seen=torch.from_numpy(SEEN), iid_field="item_id", field2id_token=names, dataset_path=str(tmp_path)
    )


def documented_codes(vectors: np.ndarray, arrays: dict) -> list[list[int]]:
    """docs/semantic_ids.md, "Codebooks", one item and level at a time."""
    codebooks = arrays["codebooks"].astype(np.float64)
    codes = []
    for vector in vectors.astype(np.float64):
        left = (vector - arrays.get("mean", 0)) @ arrays.get("projection", np.eye(codebooks.shape[2]))
        codes.append([])
        for level, codebook in enumerate(codebooks):
            cost = np.square(left - codebook).sum(axis=1)
            if "prices" in arrays:
                cost = cost + arrays["prices"][level]
            codes[-1].append(int(cost.argmin()))
            left = left - codebook[codes[-1][-1]]
    return codes


# ---- codebooks ----


@pytest.mark.parametrize("given", [[], ["mean"], ["projection"], ["mean", "projection"], ["mean", "prices"]])
def test_given_codebooks_encode_as_documented(given, tmp_path):
    rng = np.random.default_rng(3)
    features = np.vstack([np.zeros((1, 24)), clustered(N)]).astype(np.float32)
    width = 5 if "projection" in given else 24
    every = {"mean": rng.normal(size=24), "projection": rng.normal(size=(24, 5)), "prices": rng.random((2, 7))}
    shift, project = (every[name] if name in given else one for name, one in (("mean", 0), ("projection", np.eye(24))))
    first = (features[rng.permutation(N)[:7] + 1] - shift) @ project
    arrays = {"codebooks": np.stack([first, 0.3 * rng.normal(size=(7, width))])}
    arrays |= {name: every[name] for name in given}
    np.savez(tmp_path / "codebooks.npz", **arrays)
    settings = config(tmp_path, codebooks=str(tmp_path / "codebooks.npz"))

    ids = load_semantic_ids(settings, dataset(tmp_path), features)
    assert ids.level_sizes[:2] == (7, 7)
    assert ids.codes[1:, :2].tolist() == documented_codes(features[1:], arrays)
    kept = load_tokenizer(tmp_path / "run" / "tokenizer.npz")
    new = clustered(20, seed=8)
    assert kept.encode(new).tolist() == documented_codes(new, arrays)


def test_fitted_codebooks_are_written_as_documented(tmp_path):
    features = clustered()
    for group in ({"method": "rqkmeans", "rqkmeans": {"balanced": True}}, {"method": "opq"}):
        tokenizer = build_tokenizer({"levels": 3, "codebook_size": 16, **group}).fit(features, seed=0)
        tokenizer.save(tmp_path / "tokenizer.npz")
        with np.load(tmp_path / "tokenizer.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("codebooks", "mean", "projection", "prices")}
        same = tokenizer.encode(features) == documented_codes(features, arrays)
        assert same.all(axis=1).mean() > 0.99  # float32 rounding may turn a tie

        np.savez(tmp_path / "elsewhere.npz", **arrays)
        np.testing.assert_array_equal(
            load_tokenizer(tmp_path / "elsewhere.npz").encode(features), tokenizer.encode(features)
        )


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"codebooks": np.zeros((2, 7, 5))}, r"codebooks .*takes vectors of width 5, not 24"),
        ({"codebooks": np.zeros((7, 24))}, r"must be \[levels, codebook_size, width\], not \[7, 24\]"),
        ({"codebooks": np.zeros((2, 7, 5)), "projection": np.zeros((24, 4))}, "do not fit together"),
        ({"codebooks": np.full((2, 7, 24), np.nan)}, "finite"),
        ({"codebooks": np.zeros((2, 7, 24)), "prices": np.full((2, 7), -1.0)}, "prices such from 0 on"),
        ({"books": np.zeros((2, 7, 24))}, "holds no tokenizer"),
    ],
)
def test_codebooks_that_cannot_be_used(arrays, message, tmp_path):
    np.savez(tmp_path / "codebooks.npz", **arrays)
    settings = config(tmp_path, codebooks=str(tmp_path / "codebooks.npz"))
    with pytest.raises(UserError, match=message):
        load_semantic_ids(settings, dataset(tmp_path), np.zeros((N + 1, 24), dtype=np.float32))


def test_codebooks_made_for_other_vectors_are_an_error_that_says_so(tmp_path):
    np.savez(tmp_path / "codebooks.npz", codebooks=np.random.default_rng(0).normal(size=(2, 7, 24)) + 50)
    settings = config(tmp_path, codebooks=str(tmp_path / "codebooks.npz"), min_utilisation=0.5)
    features = np.vstack([np.zeros((1, 24)), clustered(N)]).astype(np.float32)
    with pytest.raises(CollapsedTokenizer, match=r"codebooks\.npz: .*were they made for other vectors"):
        load_semantic_ids(settings, dataset(tmp_path), features)


# ---- tables of ids ----

CODES = np.random.default_rng(0).integers(0, 4, (N, 3))


def write_table(path, order, identification=None, columns=CODES):
    """A table of the items in `order` by the format that the file's name says."""
    names, codes = NAMES[1:][order], columns[order]
    if identification is not None and path.suffix != ".npz":
        codes = np.column_stack([codes, identification[order]])
    if path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["item_id", *"abc", *(["identification"] if identification is not None else [])])
            writer.writerows([name, *row] for name, row in zip(names, codes.tolist()))
    elif path.suffix == ".npy":
        np.save(path, codes)
        path.with_suffix(".items.txt").write_text("".join(f"{name}\n" for name in names))
    else:
        digits = {} if identification is None else {"identification": identification[order]}
        np.savez(path, item_id=names, codes=codes, level_sizes=[4, 4, 5] + ([9] if digits else []), **digits)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_a_plain_table_gives_its_codes_whatever_its_order(suffix, tmp_path):
    path = tmp_path / f"codes{suffix}"
    write_table(path, np.random.default_rng(1).permutation(N))
    settings = config(tmp_path) | {"semantic_ids": str(path)}
    ids = load_semantic_ids(settings, dataset(tmp_path), lambda: pytest.fail("no text is needed"))
    sizes = (4, 4, 5) if suffix == ".npz" else (4, 4, 4)
    wanted = SemanticIds.from_codes(np.vstack([CODES[:1], CODES]), sizes, SEEN, NAMES)
    assert torch.equal(ids.codes, wanted.codes) and ids.level_sizes == wanted.level_sizes


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_identification_digits_are_kept_where_a_table_has_them(suffix, tmp_path):
    digits = SemanticIds.from_codes(np.vstack([CODES[:1], CODES]), (4, 4, 4), SEEN).codes[1:, -1].numpy() + 2
    path = tmp_path / f"codes{suffix}"
    write_table(path, np.arange(N), digits)
    ids = read_semantic_ids(path, NAMES, SEEN)
    np.testing.assert_array_equal(ids.codes[1:], np.column_stack([CODES, digits]))
    assert ids.level_sizes == ((4, 4, 5, 9) if suffix == ".npz" else (4, 4, 4, 2 * (digits.max() + 1)))


def test_what_is_written_is_read_back(tmp_path):
    ids = SemanticIds.from_codes(np.vstack([CODES[:1], CODES]), (4, 4, 4), SEEN, NAMES)
    write_csv(ids, tmp_path / "ids.csv")
    ids.save(tmp_path / "semantic_ids.npz")
    assert torch.equal(read_semantic_ids(tmp_path / "ids.csv", NAMES, SEEN).codes, ids.codes)
    settings = config(tmp_path) | {"semantic_ids": str(tmp_path)}  # the folder
    again = take_ids(settings, dataset(tmp_path), lambda: pytest.fail("no text is needed")).ids
    assert torch.equal(again.codes, ids.codes) and again.level_sizes == ids.level_sizes


def test_a_table_in_the_folder_of_the_data_set_is_found_by_its_name(tmp_path, monkeypatch):
    write_table(tmp_path / "mine.csv", np.arange(N))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = config(tmp_path) | {"semantic_ids": "mine.csv"}
    assert take_ids(settings, dataset(tmp_path), np.zeros((1, 1))).ids.codes[1:, :3].tolist() == CODES.tolist()


LINES = ["item_id,a,b", *(f"item {i},{i % 3},{i % 5}" for i in range(1, N + 1))]


@pytest.mark.parametrize(
    "lines, message",
    [
        (LINES[:-1], r"lacks 1 of the 60 items \(such as item 60\); it has 59"),
        ([*LINES, "item 7,0,0"], "1 items stand in it twice, such as item 7"),
        ([*LINES[:3], "item 3,1"], "line 4 has 2 columns, the first line 3"),
        ([*LINES[:3], "item 3,1,two"], "line 4 is no item and its codes: item 3,1,two"),
        ([*LINES[:3], "item 3,1,-2", *LINES[4:]], "item 3 has code -2 on level 2"),
        ([*LINES[:3], "item 3,1,5000000", *LINES[4:]], "item 3 has code 5000000 on level 2"),
        (
            [",item_id,code_1", *(f"{n},{n},3" for n in range(60))],
            "first column is .., where the items belong.*index=False",
        ),
        (["a,item_id,code_1", *(f"{n},{n},3" for n in range(60))], "first column is .a., where the items belong"),
        (["item_id,a,identification", *LINES[1:]], "cannot be used: 60 items have only 15 distinct"),
        ([], "first line should name the columns"),
        ([*LINES[:3], f"item 3,1,{10**20}", *LINES[4:]], "cannot be used: "),
        ([*LINES[:3], "item 3,1,1_0", *LINES[4:]], "line 4 is no item and its codes: item 3,1,1_0"),
        (["item_id,code_2,code_1", *LINES[1:]], "in the order code_2, code_1, but levels are read from left to right"),
        (["item_id,Identification,a", *LINES[1:]], r"\[identification\] must be the last one"),
        (["item_id,a,Identification", *LINES[1:]], "cannot be used: 60 items have only 15 distinct"),
    ],
)
def test_tables_that_cannot_be_used(lines, message, tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(UserError, match=message):
        read_semantic_ids(path, NAMES, SEEN)


def test_files_that_are_no_tables(tmp_path):
    np.savez(tmp_path / "other.npz", features=CODES)
    with pytest.raises(UserError, match="needs the arrays item_id and codes, but has features"):
        read_semantic_ids(tmp_path / "other.npz", NAMES, SEEN)
    np.savez(tmp_path / "floats.npz", item_id=NAMES[1:], codes=CODES * 1.0)
    with pytest.raises(UserError, match="codes are whole numbers, not float64"):
        read_semantic_ids(tmp_path / "floats.npz", NAMES, SEEN)
    for number, sizes in enumerate((np.array(5), np.array([5.9, 5.9]))):
        path = tmp_path / f"sizes{number}.npz"
        np.savez(path, item_id=NAMES[1:], codes=CODES, level_sizes=sizes)
        with pytest.raises(UserError, match=r"level_sizes is .* Wanted is a whole number for each level"):
            read_semantic_ids(path, NAMES, SEEN)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "floats.npz").read_bytes()[:100])
    with pytest.raises(UserError, match=r"cut\.npz cannot be used"):
        read_semantic_ids(tmp_path / "cut.npz", NAMES, SEEN)
    np.save(tmp_path / "alone.npy", CODES)
    with pytest.raises(UserError, match=r"needs its items, one a line, in .*alone\.items\.txt"):
        read_semantic_ids(tmp_path / "alone.npy", NAMES, SEEN)
    with pytest.raises(UserError, match=r"there are no ids at .*absent or absent\."):
        take_ids(config(tmp_path) | {"semantic_ids": "absent"}, dataset(tmp_path), CODES)
