"""The page in a real headless Chromium, without a network; skipped where Debian's chromium is not installed."""

import json
import re
import socket

import pytest
from leaderboard_records import make_result, some_results
from study_cells import made_up
from webdriver import CHROMIUM, DRIVER, Browser

from recbole_specgr.leaderboard.archive import collect
from recbole_specgr.leaderboard.render import render_all
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.studies.spec import read_study

RESULTS = [*some_results(), make_result("<b>x", group="ID")]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """index.html of three data sets, one of them with an evil title and name of a model, one without results."""
    folder = tmp_path_factory.mktemp("page")
    list(collect([*RESULTS, *some_results(seeds=(1,), dataset="other")], folder))
    for name in ("ablation", "hyperparameters"):
        made_up(read_study(name), folder / "tiny" / "studies" / name, _measured)
    (folder / "tiny" / "about.yaml").write_text(
        "title: Tiny </script><script>window.evil = 1</script>\nsource: From https://example.org/data, free.\n"
    )
    (folder / "later").mkdir()
    (folder / "later" / "about.yaml").write_text("title: Later\ndescription: Nobody has run it.\nnotes: [One thing]\n")
    render_all(folder)
    return folder / "index.html"


def _measured(setup, seed):
    shown = {
        f"{part}{metric}@{k}": 0.1 * seed
        for part in ("", "in_sample_", "unseen_")
        for metric in ("recall", "ndcg")
        for k in (10, 50)
    }
    return {**shown, "list_unseen_share": 0.2, "batch_ms_p50": 10.0 * seed, "users_per_second": 100.0}


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def browse(page, port, tmp_path):
    """browse(dark=..., width=...) opens the page at its data set `tiny`."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Debian's chromium and chromium-driver")
    opened = []

    def open_page(anchor="tiny", **how):
        browser = Browser(tmp_path / f"profile{len(opened)}", port, **how)
        opened.append(browser)
        browser.open(f"{page.as_uri()}#{anchor}")
        return browser

    yield open_page
    for browser in opened:
        browser.close()


SHOWN = "document.querySelector('section:not([hidden])')"
TABLE = f"{SHOWN}.querySelector('table')"
HEADS = f"[...{TABLE}.tHead.rows[0].cells]"
OVERALL = f"{HEADS}.find(cell => cell.textContent === 'overall')"
OPENER = f"[...{SHOWN}.querySelectorAll('.open')].find(button => button.textContent === 'SpecGR++')"
MODELS = f"return [...{TABLE}.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[0].textContent)"


def test_the_file_asks_for_nothing(page):
    text = page.read_text()
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    links = re.findall(r'(?:src|href)="([^"]*)"', markup)
    assert '<a href="https://example.org/data">https://example.org/data</a>, free.' in markup  # one may follow it
    assert all(link.startswith(("#", "data:,")) for link in links if link != "https://example.org/data")
    assert page.stat().st_size < 1_000_000
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert len(json.loads(data)["models"]) == 7 + 6
    assert "There are no results yet." in (page.parent / "later" / "README.md").read_text()


def test_it_is_drawn_and_can_be_used(browse):
    browser = browse()
    assert browser.run(f"return {SHOWN}.querySelectorAll('.picture circle').length") == 7
    assert (
        browser.run("return window.evil") is None and browser.run("return document.querySelector('td b, th b')") is None
    )
    assert browser.run(
        "return [...document.querySelectorAll('section.dataset')].filter(s => !s.hidden).map(s => s.id)"
    ) == ["tiny"]

    # sorting: the best first, then the worst first
    values = f"return [...{TABLE}.tBodies[0].rows].map(row => parseFloat(row.cells[{OVERALL}.cellIndex].textContent))"
    browser.run(f"{OVERALL}.querySelector('button').click()")
    assert browser.run(values) == sorted(browser.run(values), reverse=True)
    assert browser.run(f"return {OVERALL}.getAttribute('aria-sort')") == "descending"
    browser.run(f"{OVERALL}.querySelector('button').click()")
    assert browser.run(values) == sorted(browser.run(values))

    # filtering by text and by group, and choosing columns
    def choose(name: str, value: str) -> None:
        script = f"const box = {SHOWN}.querySelector(`[name=${{arguments[0]}}]`); box.value = arguments[1];"
        browser.run(f"{script} box.dispatchEvent(new Event('input'))", name, value)

    choose("text", "specgr")
    assert sorted(browser.run(MODELS)) == ["SpecGR++", "SpecGR_Aux"]
    assert browser.run(f"return {SHOWN}.querySelector('output').textContent") == "2 models"
    choose("text", "")
    choose("group", "ID")
    assert sorted(browser.run(MODELS)) == ["<b>x", "MostPop"]
    choose("group", "")
    shown = browser.run(f"return {HEADS}.map(cell => cell.textContent)")
    assert shown == ["model", "overall", "in-sample", "unseen", "vs best baseline", "group", "seeds", "users/s"]

    # another metric, cut-off and seed: their numbers in the table, their picture above it
    (mean,) = summarise(RESULTS)
    (one,) = summarise([result for result in RESULTS if result.record["seed"] == 2])
    cell = f"return {OPENER}.closest('tr').cells[3].textContent"
    expected = next(row for row in mean.rows if row.name == "SpecGR++").values["unseen_recall@50"]
    assert browser.run(cell) == f"{expected.mean:.4f} ± {expected.deviation:.4f}†"
    for name, value in (("metric", "ndcg"), ("cutoff", "10"), ("seeds", "2")):
        choose(name, value)
    expected = next(row for row in one.rows if row.name == "SpecGR++").values["unseen_ndcg@10"]
    assert browser.run(cell).rstrip("†") == f"{expected.mean:.4f}"
    assert "NDCG@10" in browser.run(f"return {SHOWN}.querySelector('.picture svg').ariaLabel")
    there = [value for value in browser.run(values) if value is not None]
    assert there == sorted(there) and browser.run(values)[-1] is None  # sorted as before; <b>x has no seed 2

    # a row opens to its command, settings, environment and curves
    below = f"{OPENER}.closest('tr').nextElementSibling"
    browser.run(f"{OPENER}.click()")
    detail = browser.run(f"return {below}.textContent")
    for text in ("run_recbole.py --model=SpecGRPP --dataset=tiny --seed=2", "epochs: 5", "a processor", "digest"):
        assert text in detail
    assert browser.run(f"return {below}.querySelectorAll('.plot polyline').length") >= 6
    browser.run(f"{OPENER}.click()")
    assert browser.run(f"return {below}?.className") != "detail"

    # the other data set
    browser.run("location.hash = '#other'")
    assert browser.wait("return document.querySelector('nav a[aria-current]')?.textContent === 'other'")

    # a data set without results
    browser.run("location.hash = '#later'")
    assert browser.wait("return document.querySelector('nav a[aria-current]')?.textContent === 'Later'")
    assert browser.run(f"return {SHOWN}.innerText").split("\n\n") == [
        "Later",
        "Nobody has run it.",
        "One thing",
        "There are no results yet.",
    ]
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.complaints() == []


def test_it_works_by_keyboard(browse):
    browser = browse(anchor="")
    focus = "const e = document.activeElement; return e.id || e.name || e.className || `${e.tagName} ${e.textContent}`"
    order = []
    for _ in range(60):
        browser.press("tab")
        order.append(browser.run(focus))
        if order[-1] == "open":
            break
    assert order[0] == "skip" and "theme" in order
    controls = ["metric", "cutoff", "seeds", "group", "text"]
    assert [name for name in order if name in controls] == controls
    assert order[-1] == "open" and order[-2].startswith("BUTTON ")  # past the heads, which are buttons too
    browser.press("enter")
    assert browser.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
    assert browser.run("return document.querySelectorAll('tr.detail').length") == 1
    browser.press("space")
    assert browser.run("return document.querySelectorAll('tr.detail').length") == 0
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def _contrast(browser, selector: str) -> float:
    """WCAG contrast ratio of an element's text with the ground it is on."""
    script = """
    const luminance = (color) => {
      const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const element = document.querySelector(arguments[0]);
    const clear = ["rgba(0, 0, 0, 0)", "transparent"];
    let ground = element;
    while (clear.includes(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
    const colours = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
    const [a, b] = colours.map(luminance);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    """
    return browser.run(script, selector)


def test_dark_mode_and_its_switch(browse):
    ground = "return getComputedStyle(document.body).backgroundColor"
    light, dark = browse(), None
    assert light.run(ground) == "rgb(255, 255, 255)"
    checked = (
        "body",
        "header p",
        "section:not([hidden]) td.best",
        "section:not([hidden]) td small",
        ".open",
        "nav a",
        ".caption",
        "thead th",
    )
    for selector in checked:
        assert _contrast(light, selector) >= 4.5, selector
    light.run("document.getElementById('theme').click()")
    switched = light.run(ground)
    light.close()
    dark = browse(dark=True)
    assert dark.run(ground) == switched != "rgb(255, 255, 255)"
    for selector in checked:
        assert _contrast(dark, selector) >= 4.5, selector
    ink = dark.run("return getComputedStyle(document.body).color")
    assert dark.run("return getComputedStyle(document.querySelector('.picture text')).fill") == ink
    soft = dark.run("return getComputedStyle(document.querySelector('.caption')).color")
    assert dark.run("return getComputedStyle(document.querySelector('.plot .axis')).stroke") == soft
    assert dark.run("return getComputedStyle(document.querySelector('.picture .ground')).fill") == "none"


def test_it_fits_a_phone(browse):
    browser = browse(width=390, height=800)
    assert browser.run(f"return {HEADS}[3].getBoundingClientRect().right") <= 390  # model, overall, in-sample, unseen
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    browser.run("document.querySelectorAll('section:not([hidden]) .open')[0].click()")
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert browser.run(f"return {TABLE}.parentElement.scrollWidth > {TABLE}.parentElement.clientWidth")
    heights = "return [...document.querySelectorAll('nav a, #theme')].map(e => e.getBoundingClientRect().height)"
    assert min(browser.run(heights)) >= 24
