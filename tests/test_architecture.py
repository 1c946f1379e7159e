"""The house: a package imports only what stands below it, and nothing below `models` names a model.

FLOORS is the one list of packages, from top to bottom. An import counts wherever it stands: at the top of a file,
inside a function, or under TYPE_CHECKING.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import pytest
from conftest import ROOT

PACKAGE = "recbole_specgr"

# Each line is a floor: its packages, and what they are for.
FLOORS = [
    (("__main__",), "`python -m recbole_specgr` is the command `recbole-specgr`."),
    (("commands",), "One file a command. Nothing below knows that there is a command line."),
    (("studies", "search", "serving", "leaderboard"), "What is done with finished runs."),
    (("quick_start",), "The story of a run: settings, data, items, model, trainer, result."),
    (("training",), "Stages, loops, processes, resuming, tuning after training."),
    (("building",), "Makes a model: its items, the parts of a composite model, the model itself."),
    (("runs",), "What a run leaves behind: its folder, its record, the checks of records."),
    (("models",), "The contract of a model, and one file a model."),
    (("decoding", "evaluation"), "Finding the best items with a backbone; metrics of ranked lists."),
    (("backbones",), "The networks that read histories and score tokens."),
    (("items",), "What a model is told about the items: texts, vectors, semantic ids."),
    (("semantic_ids",), "Tokenizers, the table of semantic ids, and how healthy it is."),
    (("text",), "Item text and text vectors."),
    (("data", "importing"), "The data set and its split; files of others turned into atomic files."),
    (("settings",), "RecBole's Config in layers, the checks of settings, names turned into classes."),
    (("__init__",), "The version, and the public names on first use."),
    (("system",), "Processes, interruption, cache, files, logging. It knows nothing of recommendation."),
]

# (importing package, imported package) of one floor -> why this is allowed.
NEIGHBOURS = {
    ("leaderboard", "studies"): "The leaderboard draws what studies have measured; a study draws nothing.",
    ("importing", "data"): "Files are cut and counted as the data set that they become is.",
}


class Import(NamedTuple):
    """A package of this project (`importer`), by the file in it, imports another one (`imported`)."""

    file: str
    importer: str
    imported: str


def package_of(module: str) -> str:
    """`recbole_specgr.data.split` -> `data`, `recbole_specgr` -> `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def python_files() -> Iterator[tuple[str, str, ast.Module]]:
    """File relative to the package, its package, its syntax tree."""
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        file = path.relative_to(ROOT / PACKAGE)
        package = file.parts[0] if len(file.parts) > 1 else file.stem
        yield file.as_posix(), package, ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(file: str, tree: ast.Module) -> Iterator[str]:
    """Modules of this project that a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import; write the whole name."
            module = node.module or ""
            if module == PACKAGE:  # `from recbole_specgr import training` imports a package, `__version__` a name
                folders = {path.stem for path in (ROOT / PACKAGE).iterdir()}
                yield from (f"{PACKAGE}.{name.name}" if name.name in folders else PACKAGE for name in node.names)
            elif module.split(".")[0] == PACKAGE:  # of a package, a name may be one of its modules
                inside = ROOT.joinpath(*module.split("."))
                yield from (f"{module}.{n.name}" if (inside / f"{n.name}.py").is_file() else module for n in node.names)


def imports() -> list[Import]:
    """Every import of one package of this project by another."""
    found = set()
    for file, package, tree in python_files():
        for module in imported_modules(file, tree):
            if package_of(module) != package:
                found.add(Import(file, package, package_of(module)))
    return sorted(found)


FLOOR_OF = {package: floor for floor, (packages, _) in enumerate(FLOORS) for package in packages}


def reaches_up(found: Import) -> bool:
    """The imported package stands higher, or beside the importing one without a reason."""
    importer, imported = FLOOR_OF[found.importer], FLOOR_OF[found.imported]
    return imported < importer or (imported == importer and (found.importer, found.imported) not in NEIGHBOURS)


def test_every_package_has_its_floor():
    there = {package for _, package, _ in python_files()}
    assert there == set(FLOOR_OF)


def test_imports_point_down():
    reaching = {(found.file, found.imported) for found in imports() if reaches_up(found)}
    assert sorted(reaching) == [], "These imports reach up (file, imported package)."


def test_neighbours_that_are_listed_are_used():
    pairs = {(found.importer, found.imported) for found in imports()}
    for importer, imported in NEIGHBOURS:
        assert FLOOR_OF[importer] == FLOOR_OF[imported]
        assert (importer, imported) in pairs


def test_packages_form_no_circle():
    graph: dict[str, set[str]] = {package: set() for package in FLOOR_OF}
    for found in imports():
        graph[found.importer].add(found.imported)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"Packages import each other in a circle: {' <- '.join(error.args[1])}")


def module_names() -> dict[str, set[str]]:
    """Module below `recbole_specgr` (`data.split`) -> the modules that it imports."""

    def name_of(file: str) -> str:
        return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    trees = {file: tree for file, _, tree in python_files()}
    names = {name_of(file) for file in trees}
    return {
        name_of(file): {module.removeprefix(f"{PACKAGE}.") for module in imported_modules(file, tree)} & names
        for file, tree in trees.items()
    }


def test_modules_form_no_circle():
    try:
        tuple(TopologicalSorter(module_names()).static_order())
    except CycleError as error:
        pytest.fail(f"Modules import each other in a circle: {' <- '.join(error.args[1])}")


def model_names() -> set[str]:
    """The names of our models' modules and classes that a `--model=NAME` can name."""
    names = set()
    for path in (ROOT / PACKAGE / "models").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.lower() == path.stem:
                names |= {node.name, path.stem}
    return names


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Every name that a file uses or imports, and its strings, which may be names too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield from alias.name.split(".")
            yield from (getattr(node, "module", None) or "").split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_model_is_named_below_models():
    names, below = model_names(), FLOOR_OF["models"]
    assert {"SpecGRPP", "tiger", "DSI"} <= names
    naming = {
        (file, name)
        for file, package, tree in python_files()
        if FLOOR_OF[package] > below
        for name in names & set(identifiers(tree))
    }
    assert sorted(naming) == [], "These files below `models` name a model (file, name)."
