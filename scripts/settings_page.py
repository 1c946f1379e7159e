"""Write docs/settings.md, every setting with its default, from the property files: python scripts/settings_page.py"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from recbole_specgr.settings.foreign import RECBOLE_WORDS  # noqa: E402
from recbole_specgr.settings.reference import (  # noqa: E402
    Described,
    introduction,
    settings_of,
    types_for,
    without_default,
)
from recbole_specgr.settings.schema import read_schema, schema_beside  # noqa: E402
from recbole_specgr.settings.yaml_values import read_mapping  # noqa: E402

PROPERTIES = ROOT / "properties"
PAGE = ROOT / "docs" / "settings.md"
INTRODUCTION = """\
# Settings

`python scripts/settings_page.py` writes this page from `properties/`: the YAML files hold the defaults, the
`.schema.json` files beside them what a value must be and what it does. Any setting may be given as `--name=value`, in a
file for `--config_files`, in a baseline file, or in `properties/` of the working directory. A value that can't be is
refused before anything is read or written, with one sentence that names it, where it came from and what it must be.
Editors that know [yaml-language-server](https://github.com/redhat-developer/yaml-language-server) complete names and
check values in files whose first line names a schema, as ours do.

**What lies over what**, lowest first: `properties/overall.yaml`, `dataset/<dataset>/<dataset>.yaml` (what the
importer found), `properties/dataset/<dataset>.yaml`, `properties/model/<model>.yaml`,
`properties/tuned/<dataset>/<base>.yaml` of a baseline of another name than its base, `baselines/<model>.yaml`,
`properties/tuned/<dataset>/<model>.yaml`, `--config_files`, `--name=value`. Folders `properties` and `baselines` of the
working directory go over the package's own.
"""


def page() -> str:
    """The page's text."""
    overall = PROPERTIES / "overall.yaml"
    shared, defaults = schema_beside(overall), read_mapping(overall)
    parts = [
        INTRODUCTION,
        "## All models\n\n" + _table(settings_of(defaults, shared)),
        "## RecBole's own\n\nHanded on to RecBole, which has the defaults.\n\n"
        + _table(without_default(shared, {*defaults, *RECBOLE_WORDS})),
        "## RecBole's sequential models\n\nEach has some of them; `--model=NAME --help` shows which, with defaults.\n\n"
        + _table(without_default(read_schema(PROPERTIES / "recbole_models.schema.json"), [])),
    ]
    for file in sorted((PROPERTIES / "model").glob("*.yaml")):
        values = read_mapping(file)
        backbone = [values["backbone"]] if "backbone" in values else []
        settings = _table(settings_of(values, types_for(PROPERTIES, [*backbone, file.stem]))) if values else ""
        parts.append("\n\n".join(filter(None, [f"## {file.stem}", introduction(file), settings])))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _table(settings: list[Described]) -> str:
    defaults = any(setting.default is not None for setting in settings)
    names = ["setting", *(["default"] if defaults else []), "must be", "what it does"]
    rows = [names, ["---"] * len(names)]
    for setting in settings:
        default = [f"`{setting.default}`"] if defaults else []
        rows.append([f"`{setting.name}`", *default, setting.values, setting.meaning])
    cells = [[cell.replace("|", "\\|").replace("<", "\\<") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
