"""The pages name files, classes and functions that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "recbole_specgr"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "baselines/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
OURS = re.compile(r"[\w.-]+(/[\w.-]+)+/?")  # a path; of a user's own folder where it does not begin with one of ours
PLACES = ("runs", "dataset", "baselines", "tables", "tensorboard", "build", ".cache")  # what a reader has or gets


def words(page: Path) -> Iterator[str]:
    """What stands between backticks in a page's text."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", text)


def file_of(path: str) -> Path | None:
    """The file or folder of that name in the checkout or in the package."""
    return next((place / path for place in (ROOT, PACKAGE) if (place / path).exists()), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_is_there(page):
    folders = {path.name for place in (ROOT, PACKAGE) for path in place.iterdir() if path.is_dir()} - {*PLACES}
    named = {word.partition(":")[0] for word in words(page)}
    paths = {word for word in named if OURS.fullmatch(word) and word.partition("/")[0] in folders}
    assert sorted(path for path in paths if "NAME" not in path and file_of(path) is None) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_checkout_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8"))
    assert sorted(link for link in links if "://" not in link and not (page.parent / link).exists()) == []


def anchors_of(page: Path) -> set[str]:
    """What a link may name after `#`: the page's headings, as GitHub writes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_heading_that_a_link_names_is_there(page):
    links = re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    targets = [((page.parent / file if file else page), anchor) for file, anchor in links if "://" not in file]
    assert [(file.name, anchor) for file, anchor in targets if anchor not in anchors_of(file)] == []


def test_what_the_page_on_the_paper_names_in_a_file_is_defined_there():
    named = [
        word.split(": ") for word in words(ROOT / "docs" / "paper.md") if re.fullmatch(r"[\w/]+\.py: [\w.]+", word)
    ]
    assert len(named) > 10
    for path, name in named:
        file = file_of(path)
        assert file is not None, path
        for part in name.split("."):
            assert re.search(rf"^ *(class|def) {part}\b", file.read_text(encoding="utf-8"), re.MULTILINE), (path, name)


def test_every_path_of_a_docstring_or_comment_is_there():
    files = [
        file for folder in ("recbole_specgr", "tests", "scripts", "examples") for file in (ROOT / folder).rglob("*.py")
    ]
    missing = [
        (file.name, path)
        for file in files
        for path in re.findall(r"\b(?:tests|docs)/[\w/]+\.(?:py|md)\b", file.read_text(encoding="utf-8"))
        if not (ROOT / path).is_file()
    ]
    assert missing == []
