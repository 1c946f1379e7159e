"""Where property and baseline files are looked for."""

from pathlib import Path

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
