"""`python -m recbole_specgr` is the command `recbole-specgr`; torchrun starts it as `-m recbole_specgr`."""

import sys

from recbole_specgr.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main())
