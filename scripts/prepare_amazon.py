#!/usr/bin/env python
"""Turn a category of Amazon Reviews 2023 into a data set that run_recbole.py takes by name.

python scripts/prepare_amazon.py --category=Video_Games
python run_recbole.py --model=SpecGRPP --dataset=Amazon2023_Video_Games
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from recbole_specgr.importing.amazon import prepare_amazon
from recbole_specgr.importing.amazon_files import REVISION
from recbole_specgr.system.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 with one line on stderr that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--category", required=True, help="such as Video_Games, Office_Products")
    parser.add_argument("--source", metavar="FOLDER", help="take the files from here instead of the hub")
    parser.add_argument("--output", default="dataset", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument(
        "--downloads", default=".cache/amazon2023", metavar="FOLDER", help="keeps fetched files (default: %(default)s)"
    )
    parser.add_argument("--revision", default=REVISION, help="commit of the hub's repository (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set when it exists")
    options = vars(parser.parse_args(arguments))
    try:
        print(prepare_amazon(**options))
    except KeyboardInterrupt:
        print("stopped: run the same command again, it goes on from what has arrived.", file=sys.stderr)
        return 130
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
