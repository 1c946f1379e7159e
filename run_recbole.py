"""python run_recbole.py --model=SpecGRPP [--dataset=ml-100k] [--key=value ...]   (also under torchrun; see --help)"""

import sys

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main())
