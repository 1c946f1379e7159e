"""python run_hyper.py --model=TIGER --params_file=FILE [--trials=20] [--jobs=2] [--key=value ...]   (see --help)"""

import sys

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main(["search", *sys.argv[1:]]))
