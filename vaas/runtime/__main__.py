"""``python -m vaas.runtime``: the app server, as the Hub's spawner starts it."""

import sys

from vaas.runtime.application import main

sys.exit(main())
