"""The wheel: everything the program reads is inside, and it works away from the checkout."""

import json
import logging
import os
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT


def setup_cfg():
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder a freshly built wheel was unpacked to. Built from a copy, so that the checkout stays as it is."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md", "recbole_specgr", "properties", "baselines"):
        if (ROOT / name).exists():
            (source / name).symlink_to(ROOT / name)
    build = f"import sys; from setuptools.build_meta import build_wheel; build_wheel({str(source)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = source.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(target)
    return target


def test_every_package_is_listed():
    listed = set(setup_cfg()["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("recbole_specgr/**/*.py")}
    assert listed == there | {"recbole_specgr.properties", "recbole_specgr.baselines"}


def test_every_file_is_inside(wheel):
    for kind in ("properties", "baselines"):
        files = [path for path in (ROOT / kind).rglob("*") if path.suffix in (".yaml", ".json", ".py", ".md")]
        assert files
        for path in files:
            assert (wheel / "recbole_specgr" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for path in ROOT.glob("recbole_specgr/**/*.py"):
        assert (wheel / path.relative_to(ROOT)).is_file()


def test_an_unpacked_wheel_works_elsewhere(wheel, tmp_path):
    code = (
        "import sys, recbole_specgr\n"
        "from recbole_specgr.settings.config import Config; from recbole_specgr.settings.registry import resolve\n"
        "print(recbole_specgr.__file__)\n"
        "config = Config('SASRec', config_dict={'use_gpu': False})\n"
        "print(config['seed'], config['launch_holdout']['share'], resolve('SASRec_small').base)\n"
        "from recbole_specgr.commands.command_line import main; sys.exit(main(['--model=SASRec', '--help']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(wheel / "recbole_specgr" / "__init__.py"), "2026 0.2 SASRec"]
    assert any("hidden_size" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_the_wheel_goes_from_a_csv_file_to_a_leaderboard(wheel, tmp_path):
    """In a folder that holds nothing but the two files."""
    rng = np.random.default_rng(5)
    rows = [f"u{user},i{item}" for user in range(40) for item in rng.choice(25, 12, replace=False)]
    times = rng.permutation(len(rows)) + 1_600_000_000
    rows = [f"{row},{time}" for row, time in zip(rows, times)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    items = [f"i{item},Film {item},{'comedy' if item % 2 else 'drama'}" for item in range(25)]
    (tmp_path / "films.csv").write_text("\n".join(["item_id,title,genre", *items]))
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "recbole_specgr", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "interactions" in command("import-data", "--interactions=ratings.csv", "--items=films.csv", "--name=films")
    words = ["--model=SASRec", "--dataset=films", "--topk=[5]", "--valid_metric=NDCG@5", "--epochs=1"]
    command(*words, "--show_progress=False")
    shown = command("leaderboard", "--dataset=films")
    assert shown.startswith("films, ") and "SASRec" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"ratings.csv", "films.csv", "dataset", "runs"}
    (record,) = (tmp_path / "runs" / "films" / "SASRec").glob("*/result.json")
    assert json.loads(record.read_text())["command"].startswith("recbole-specgr --model=SASRec")


def test_the_console_script_is_run_recbole(wheel):
    (entry_points,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "recbole-specgr = recbole_specgr.commands.command_line:main" in entry_points.read_text()
    assert "from recbole_specgr.commands.command_line import main" in (ROOT / "run_recbole.py").read_text()


def test_requirements_are_pinned_and_recbole_stops_at_312():
    """Each requirement of setup.cfg has its exact version in constraints.txt."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line]
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in pins)
    exact = {canonicalize_name(pin.name): pin for pin in pins if pin.marker is None or pin.marker.evaluate()}
    extras = setup_cfg()["options.extras_require"]
    asked = [setup_cfg()["options"]["install_requires"], extras["dev"], extras["hub"], extras["hyper"]]
    for line in "\n".join(asked).splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.name == "recbole":
            assert not requirement.marker.evaluate({"python_version": "3.12"})
            assert requirement.marker.evaluate({"python_version": "3.11"})
            continue
        (pin,) = exact[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), requirement


def test_importing_the_package_is_light():
    code = "import sys, recbole_specgr; print([m for m in ('torch', 'recbole', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_installed_package_is_not_taken_for_recbole():
    """Side by side in site-packages, one folder's name is the beginning of the other's."""
    import recbole

    from recbole_specgr.system.log import OurNews

    site = Path(recbole.__file__).parent.parent
    for folder, passes in (("recbole", False), ("recbole_specgr", True)):
        record = logging.LogRecord("root", logging.INFO, str(site / folder / "quick_start.py"), 1, "news", (), None)
        assert OurNews().filter(record) is passes
