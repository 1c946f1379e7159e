"""Where the files of a data set are."""

from pathlib import Path

from recbole_specgr.settings.resources import package_folder
from recbole_specgr.system.errors import UserError, did_you_mean


def find_dataset(name: str, data_path: str | Path) -> Path:
    """The folder with `<name>.inter`: under `data_path`, else among the examples that come with RecBole.

    Raises:
        UserError: there is no such data set; lists those there are.
    """
    examples = package_folder("recbole") / "dataset_example"
    for folder in (Path(data_path) / name, examples / name):
        if (folder / f"{name}.inter").is_file():
            return folder
    there = sorted({path.stem for root in (Path(data_path), examples) for path in root.glob("*/*.inter")})
    raise UserError(
        f"There is no data set [{name}]: {Path(data_path) / name / f'{name}.inter'} does not exist."
        f"{did_you_mean(name, there)} There are: {', '.join(there)}. To import one: recbole-specgr import-data "
        f"--interactions FILE --items FILE --name {name}"
    )
