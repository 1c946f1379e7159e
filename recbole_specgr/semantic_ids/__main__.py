"""`python -m recbole_specgr.semantic_ids`: see `workbench`."""

import sys

from recbole_specgr.commands.tokenize import main

sys.exit(main())
