"""``python -m vaas.lab`` starts the launch that the environment orders, and ends with it."""

import sys

from vaas.lab.launcher import main

if __name__ == "__main__":
    sys.exit(main())
