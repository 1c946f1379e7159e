"""Classes as they stand in files: what names mean the same, which classes a package has, and a user's own."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from recbole_specgr.settings.resources import folders, package_folder
from recbole_specgr.system.errors import UserError


def key_of(name: str) -> str:
    """What is compared of a name. Case, hyphens and underscores don't matter, and `++` or `PlusPlus` is `PP`: SpecGR++,
    specgr_pp and SpecGRPlusPlus are one name."""
    return re.sub(r"[-_ ]", "", name.lower()).replace("plusplus", "pp").replace("++", "pp")


def classes_in_files(package: str) -> list[tuple[str, str]]:
    """(file without .py, class in it) of all files and classes of a package. Read off the files: importing dozens of
    models would take seconds."""
    return [
        (path.stem, name)
        for path in package_folder(package).glob("*.py")
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def own_class(path: str, named_by: str) -> type:
    """The class `module:Class`. `named_by` says what names it, for errors.

    Raises:
        UserError: there is no such module or class, or the module's file is no Python. What else the module raises when
            it is imported is its own.
    """
    module_name, _, class_name = path.partition(":")
    try:
        module = _baseline_module(module_name) or importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f" Its file {module_name}.py must be in baselines/." if error.name == module_name else ""
        raise UserError(f"{named_by}: {error}.{missing}") from error
    except SyntaxError as error:
        raise UserError(f"{named_by}: {error.filename}, line {error.lineno}, is no Python: {error.msg}.") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise UserError(f"{named_by}: {module.__file__} has no class {class_name}.")
    return found


def _baseline_module(name: str) -> ModuleType | None:
    """The module `name.py` of a baselines folder, or None. Imported under a name of its own: the folder need not be on
    the path, and the module can't shadow another."""
    for folder in reversed(folders("baselines")):
        path = folder / f"{name}.py"
        if path.is_file():
            known_as = f"recbole_specgr_baselines.{name}"
            module = sys.modules.get(known_as)
            if module is None or Path(str(module.__file__)) != path:
                spec = importlib.util.spec_from_file_location(known_as, path)
                assert spec is not None and spec.loader is not None  # a .py file has both
                module = importlib.util.module_from_spec(spec)
                sys.modules[known_as] = module
                spec.loader.exec_module(module)
            return module
    return None
