"""`python -m hub_service`: the portal, as the Hub starts it."""

import sys

from hub_service.application import main

sys.exit(main())
