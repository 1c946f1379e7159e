"""python run_recbole.py --model=SpecGRPP [--dataset=ml-100k] [--key=value ...]   (also under torchrun; see --help)"""

import sys

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    words = sys.argv[1:]
    names_a_command = bool(words) and not words[0].startswith("-")
    sys.exit(main(words if names_a_command else ["train", *words]))
