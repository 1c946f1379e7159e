"""`python -m recbole_specgr.semantic_ids`: see `workbench`."""

import sys

from recbole_specgr.semantic_ids.workbench import main

sys.exit(main())
