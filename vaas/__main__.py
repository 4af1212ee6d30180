"""`python -m vaas` is `vaas`."""

import sys

from vaas.cli import main

sys.exit(main())
