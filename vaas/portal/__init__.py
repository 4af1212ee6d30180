"""The portal: the façade with the verbs, which knows ports and no concrete adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from vaas.catalogs.base import Catalog
from vaas.insides.base import Looker
from vaas.portal.baskets import Baskets
from vaas.portal.choosing import Choosing
from vaas.portal.copies import Copies
from vaas.portal.core import Core, Limits
from vaas.portal.drafts import Drafts
from vaas.portal.environments import Environments
from vaas.portal.facilities import Facilities
from vaas.portal.finding import Finding
from vaas.portal.gallery import Gallery, Listed
from vaas.portal.giving import Giving
from vaas.portal.handing import Handing
from vaas.portal.harvesting import Harvesting
from vaas.portal.incidents import Incidents
from vaas.portal.indexing import Indexing
from vaas.portal.launching import Launching
from vaas.portal.opening import Opening, Progress
from vaas.portal.placing import Placing
from vaas.portal.previewing import Previewing
from vaas.portal.publishing import Publication
from vaas.portal.reading import Reading
from vaas.portal.requests import Requests
from vaas.portal.run_belongings import Belongings
from vaas.portal.running import Running, without_executors
from vaas.portal.saved import Saved
from vaas.portal.servers import Servers
from vaas.portal.sharing import Sharing
from vaas.portal.showing import Showing
from vaas.portal.speaking import Speaking
from vaas.portal.sweeping import Sweeping
from vaas.portal.versions import Versions

__all__ = [
    "Core",
    "Harvesting",
    "Indexing",
    "Limits",
    "Listed",
    "Portal",
    "Progress",
    "Publication",
    "Running",
    "Sweeping",
]


class Portal:
    """All that people can do, grouped by what it is done to; each group is made from the same core.

    Parameters
    ----------
    catalogs:
        What is searched, the portal's own first.
    indexing:
        What keeps the portal's own as the database is; None: there is none.
    harvesting:
        What keeps the database as the stores are; None: what is in them is not found.
    lookers:
        What looks into files for previews, each into one at a time; none: there are no previews of files.
    facilities:
        What tells what the site offers; None: without a word on the site and on others.
    running:
        Makes what runs notebooks as jobs; None: they are not run.
    """

    def __init__(
        self,
        core: Core,
        *,
        catalogs: Sequence[Catalog] = (),
        indexing: Indexing | None = None,
        harvesting: Harvesting | None = None,
        lookers: Sequence[Looker] = (),
        facilities: Facilities | None = None,
        running: Callable[[Core, Baskets], Running] | None = None,
    ) -> None:
        self.core = core
        self.gallery = Gallery(core)
        self.drafts = Drafts(core)
        self.environments = Environments(core)
        self.choosing = Choosing(core)
        self.versions = Versions(core)
        self.sharing = Sharing(core)
        self.showing = Showing(core, self.sharing)
        self.opening = Opening(core)
        self.copies, self.servers = Copies(core), Servers(core)
        self.speaking = Speaking(core)
        self.giving = Giving(core)
        self.incidents = Incidents(core)
        self.facilities = facilities or Facilities(core)
        self.finding = Finding(catalogs)
        core.files_elsewhere = self.finding.files
        self.baskets = Baskets(core, self.finding, self.sharing)
        self.previewing = Previewing(core, self.finding, self.baskets, lookers)
        self.handing = Handing(core, self.finding, self.baskets)
        self.reading = Reading(core, self.baskets)
        self.belongings = Belongings(core)
        self.placing = Placing(core, self.drafts, self.baskets, self.reading)
        self.requests = Requests(core, self.sharing)
        self.launching = Launching(core, self.baskets, given=self.giving.of)
        self.saved = Saved(core, self.finding, upto=(lambda: indexing.upto) if indexing else core.now)
        self.running = running(core, self.baskets) if running else without_executors(core, self.baskets)
        self.indexing, self.harvesting = indexing, harvesting
        if harvesting is not None:
            core.written = harvesting.written

    async def close(self) -> None:
        """End what reads files and what is done in the background, and let go of the index and the database."""
        await self.previewing.close()
        if self.harvesting is not None:
            await self.harvesting.close()
        await self.core.close()
        if self.indexing is not None:
            await asyncio.to_thread(self.indexing.close)
        self.core.database.close()
