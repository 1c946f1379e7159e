"""python scripts/study.py is `recbole-specgr study` from a checkout (see --help)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main(["study", *sys.argv[1:]]))
