"""Where property files, baseline files and RecBole's own files are."""

import importlib.util
from pathlib import Path

from recbole_specgr.system.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def folders(kind: str) -> list[Path]:
    """The folders that hold `kind` ("properties" or "baselines"), lowest priority first: the package's own, then
    `./kind` of the working directory.

    In a checkout the package's own is the top-level folder, in an installed wheel it lies inside the package.
    """
    inside = PACKAGE / kind
    own = inside if inside.is_dir() else PACKAGE.parent / kind
    local = Path.cwd() / kind
    return [own] if local.resolve() == own.resolve() else [own, local]


def package_folder(package: str) -> Path:
    """The folder of a package, found without importing its modules."""
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The package {top} is not installed. On Python 3.12 and later: pip install --no-deps recbole")
    return Path(next(iter(spec.submodule_search_locations)), *rest)
