"""The site of docs/ (`make docs`): it builds without a warning, without a network, and takes nothing from one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={folder}"],
        cwd=ROOT,
        env={**os.environ, **NO_NETWORK, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_nothing_is_taken_from_the_web(site):
    for name, page in pages(site).items():
        taken = re.findall(r"<(?:script|img|source)[^>]*?\bsrc=\"?([^\s\">]+)", page)
        taken += re.findall(r"<link[^>]*?rel=\"?stylesheet[^>]*?href=\"?([^\s\">]+)", page)
        taken += re.findall(r"<link[^>]*?href=\"?([^\s\">]+)[^>]*?rel=\"?stylesheet", page)
        assert taken and not [source for source in taken if "//" in source], name


def test_lists_and_tables_of_every_page_are_read_as_such(site):
    """GitHub wants no empty line before a list or a table, Markdown does."""
    for name, page in pages(site).items():
        for paragraph in re.findall(r"<p>(.*?)</p>", page, re.DOTALL):
            assert not re.search(r"^(?:- |\* |\d\. |\|)", paragraph, re.MULTILINE), (name, paragraph)


def test_files_elsewhere_in_the_repository_are_on_the_site(site):
    results = (site / "results.html").read_text(encoding="utf-8")
    for link in (
        "repository/leaderboards/ml-100k/index.html",
        "repository/leaderboards/ifdb_played/tables/by_age-1.svg",
    ):
        assert link in results and (site / link).is_file()
    baselines = (site / "repository/baselines/index.html").read_text(encoding="utf-8")
    assert 'href="../../add_a_baseline.html"' in baselines


def test_the_reference_has_signatures_arguments_and_errors(site):
    use = re.sub(r"<[^>]*>", "", (site / "api" / "use.html").read_text(encoding="utf-8"))
    assert "run_recbole(" in use and "a mistake in what was given" in use
    contracts = (site / "api" / "contracts.html").read_text(encoding="utf-8")
    for name in ("models.contract.RankedList", "data.splits.contract.Split.divide", "backbones.contract.Backbone"):
        assert f'id="recbole_specgr.{name}"' in contracts


def test_every_page_is_reached_from_the_readme():
    waiting, reached = [ROOT / "README.md"], set()
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s:]+\.md)", page.read_text(encoding="utf-8"))
        linked = {Path(os.path.normpath(page.parent / link)) for link in links}
        waiting += sorted(linked - reached - set(waiting))
    assert {*ROOT.glob("docs/**/*.md")} - reached == set()
