"""Who can see an app, and which version they get."""

from __future__ import annotations

import asyncio

from hub_service.handlers.base import Page
from vaas.errors import Invalid, VaasError
from vaas.model import EVERYONE, SIGNED_IN, Access, Grant
from vaas.policy import subject_title

__all__ = ["ComparePage", "SharePage", "VersionsPage", "access_named", "subject_added"]


def access_named(name: str) -> Access:
    """Return the access called ``name``. Raises Invalid."""
    if name not in Access.__members__:
        raise Invalid("Access is VIEW, READ or WRITE.")
    return Access[name]


def subject_added(page: Page) -> str:
    """Return whom a form adds to those with whom something is shared."""
    who, name = page.get_body_argument("who", ""), page.get_body_argument("subject", "").strip()
    return SIGNED_IN if who == "signed-in" else f"{'group' if who == 'group' else 'user'}:{name}"


class SharePage(Page):
    """Grants and links of an app."""

    nav = "mine"

    async def get(self, slug: str) -> None:
        """Show who holds what."""
        app, grants, links = self.portal.sharing.grants(self.visitor, slug)
        context = {
            "app": app,
            "grants": [self._row(grant) for grant in grants if not grant.subject.startswith("link:")],
            "links": [
                {"link": link, "url": f"{self.public_url}l/{link.token}", "expires": link.expires} for link in links
            ],
            "groups": await self.portal.core.directory.groups(),
            "people": await self.portal.core.directory.people(),
            "access_level": self.portal.gallery.app(self.visitor, slug).access,
        }
        self.show("share.html", title=f"Share {app.title}", context=context)

    async def post(self, slug: str) -> None:
        """Do what the pressed button says."""
        actions = {"grant": self._grant, "revoke": self._revoke, "link": self._link, "unlink": self._unlink}
        action = actions.get(self.get_body_argument("do", ""))
        if action is None:
            raise Invalid("This button does nothing.")
        try:
            self.done(f"apps/{slug}/share", await action(slug))
        except VaasError as error:
            error.field = "name" if error.field else ""
            self.fail_form(error)
            await self.get(slug)

    def _row(self, grant: Grant) -> dict[str, object]:
        return {"grant": grant, "title": subject_title(grant.subject), "removable": True}

    async def _grant(self, slug: str) -> str:
        who, name = self.get_body_argument("who"), self.get_body_argument("name", "").strip()
        fixed = {"everyone": EVERYONE, "signed-in": SIGNED_IN}
        subject = fixed.get(who) or f"{'group' if who == 'group' else 'user'}:{name}"
        access = access_named(self.get_body_argument("access", "VIEW"))
        grant = await self.portal.sharing.grant(self.visitor, slug, subject=subject, access=access)
        return f"Shared with {subject_title(grant.subject)}."

    async def _revoke(self, slug: str) -> str:
        subject = self.get_body_argument("subject")
        self.portal.sharing.revoke(self.visitor, slug, subject)
        return f"No longer shared with {subject_title(subject)}."

    async def _link(self, slug: str) -> str:
        days = self.get_body_argument("expires", "never")
        self.portal.sharing.make_link(self.visitor, slug, days=int(days) if days.isdecimal() and len(days) < 10 else 0)
        return "The link is ready to be copied."

    async def _unlink(self, slug: str) -> str:
        self.portal.sharing.drop_link(self.visitor, slug, self.get_body_argument("id"))
        return "The link does not work any more."


class VersionsPage(Page):
    """The versions of an app."""

    nav = "mine"

    def get(self, slug: str) -> None:
        """Show them, newest first."""
        app, versions = self.portal.versions.list(self.visitor, slug)
        level = self.portal.gallery.app(self.visitor, slug).access
        context = {"app": app, "versions": versions, "current": app.version, "access_level": level}
        self.show("versions.html", title=f"Versions of {app.title}", context=context)

    def post(self, slug: str) -> None:
        """Go back to the chosen version."""
        app = self.portal.versions.roll_back(self.visitor, slug, self.get_body_argument("hash"))
        self.done(f"apps/{app.slug}/versions", "New visitors get that version now. Those who are in keep theirs.")


class ComparePage(Page):
    """What changed between two versions."""

    nav = "mine"

    async def get(self, slug: str) -> None:
        """Show it by file and by cell; in a thread, for a comparison of large notebooks takes a while."""
        numbers = [self.get_query_argument(name, "") for name in ("from", "to")]
        if not all(number.isdecimal() and len(number) < 10 for number in numbers):
            raise Invalid("Choose two versions to compare.")
        old, new = map(int, numbers)
        app, found = await asyncio.to_thread(self.portal.versions.compare, self.visitor, slug, old=old, new=new)
        names = ("old", "new", "added", "removed", "changed", "texts")
        cells = [{"change": c.change, "old": c.old, "new": c.new, "diff": c.lines} for c in found.cells]
        context = {"app": app, "cells": cells, **{name: getattr(found, name) for name in names}}
        self.show("compare.html", title=f"What changed in {app.title}", context=context)
