"""Print the leaderboard of a data set: python scripts/leaderboard.py --dataset=ml-100k [--format=markdown]"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from recbole_specgr.errors import UserError
from recbole_specgr.leaderboard.table import FORMATS, find_records, leaderboard


def main() -> int:
    parser = argparse.ArgumentParser(description="The leaderboard of a data set, drawn from the result records.")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs (default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="terminal")
    arguments = parser.parse_args()
    try:
        records = find_records(arguments.runs, arguments.dataset)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not records:
        print(f"error: there is no result of {arguments.dataset} under {arguments.runs}.", file=sys.stderr)
        return 2
    print(leaderboard(records, arguments.format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
