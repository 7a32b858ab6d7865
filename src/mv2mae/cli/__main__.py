"""`python -m mv2mae.cli`."""

import sys

from mv2mae.cli.main import main

sys.exit(main())
