"""python scripts/import_dataset.py is `recbole-specgr import-data` from a checkout (see --help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main(["import-data", *sys.argv[1:]]))
