"""What ``jupyterhub --config`` reads: the site's own file first, if there is one, then ours.

A site that has a configuration of its own calls :func:`hub_service.hub_config.configure` at its end instead.
"""

import os

from hub_service.hub_config import configure
from hub_service.settings import Settings

c = get_config()  # type: ignore[name-defined]
settings = Settings.from_environ(os.environ)
if settings.site_config:
    load_subconfig(str(settings.site_config))  # type: ignore[name-defined]
configure(c, settings)
