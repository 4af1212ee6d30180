"""What the site offers: for people, for programs, and for the portals of other sites."""

from __future__ import annotations

from hub_service.facilities_schema import schema
from hub_service.facilities_shown import shown
from hub_service.handlers.base import Api, Page

__all__ = ["FacilitiesJson", "FacilitiesPage", "FacilitiesSchemaJson"]


class FacilitiesPage(Page):
    """Where one can launch and run what, and with what."""

    nav = "facilities"

    async def get(self) -> None:
        """Show it: what is in the environments, and what may be used, to people who are signed in."""
        told = self.portal.facilities.told(self.visitor, everywhere=True)
        admin = bool(self.user and self.user.admin)
        context = {**shown(told), "advice": self.portal.facilities.advice(admin=admin)}
        self.show("facilities.html", title="Facilities", context=context)


class FacilitiesJson(Api):
    """What this site offers: hardware, environments, technology, storage, sizes, limits, status."""

    async def get(self) -> None:
        """Send it; with ``all=1`` what the portals of other sites said last of theirs, too.

        Who is signed in is told which packages are in the environments, for which groups the facilities are, and
        whether they may use them.
        """
        everywhere = self.get_query_argument("all", "") not in {"", "0", "false"}
        self.reply(self.portal.facilities.told(self.visitor, everywhere=everywhere))


class FacilitiesSchemaJson(Api):
    """The JSON Schema of what this site offers."""

    async def get(self) -> None:
        """Send it."""
        self.reply(schema(self.public_url))
