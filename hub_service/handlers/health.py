"""Whether the portal and what it stands on are well, and whether kernels are isolated: as a page, and for programs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hub_service.checks import BAD, OK, WARN, Check, disk, environments, indexes, looked, made_environments
from hub_service.handlers.base import Api, Page
from hub_service.isolation import KernelIsolation
from vaas.errors import VaasError
from vaas.portal import Portal
from vaas.portal.work import INDEX

__all__ = ["Health", "HealthJson", "HealthPage"]

_log = logging.getLogger("vaas")
_OFFERED = "Not all of it can be used; “What this portal offers” says why, and what to write."
_WELL = "All is well."
_BROKEN = "It does not work at the moment. Administrators are told here what is wrong."


class Health:
    """The lines: of what nobody can do without for all, the rest and all details for administrators."""

    def __init__(self, portal: Portal, isolation: KernelIsolation, folder: Path | None) -> None:
        self._portal, self._isolated, self._folder = portal, isolation, folder

    async def checks(self, *, admin: bool) -> list[Check]:
        """Look at all that the asker is told of."""
        found = [
            await self._asked("Database", self._database),
            await self._asked("Hub", self._hub),
            await asyncio.to_thread(looked, "Disk", lambda: disk(self._portal.core.content.root)),
        ]
        if not admin:
            return [_covered(each) for each in found] + [self._isolation(admin=False)]
        return [*found, self._isolation(admin=True), *await self._more()]

    async def _more(self) -> list[Check]:
        """What administrators look after."""
        folder = self._folder
        found = [
            await self._asked("Search index", self._index),
            self._facilities(),
            self._mail(),
        ]
        if folder is not None:
            found.append(await asyncio.to_thread(looked, "Environments folder", lambda: made_environments(folder)))
        return found

    async def _asked(self, name: str, probe: Callable[[], Awaitable[Check | str]]) -> Check:
        try:
            said = await probe()
        except (VaasError, OSError) as error:
            _log.warning("Health: %s: %s", name, getattr(error, "log_message", error))
            return Check(name, BAD, str(error))
        return said if isinstance(said, Check) else Check(name, OK, said)

    async def _database(self) -> str:
        with self._portal.core.database.begin() as records:
            records.apps.get("health")
        return "Answers."

    async def _hub(self) -> str:
        return f"Answers; it knows {len(await self._portal.core.directory.people())} people."

    async def _index(self) -> Check | str:
        indexing, now = self._portal.indexing, self._portal.core.now()
        if indexing is None:
            return "Nothing is searched here."
        with self._portal.core.database.begin() as records:
            found = indexes(records.leases.all(INDEX), now)
        when = f"{indexing.upto:%d %B %Y, %H:%M:%S} UTC"
        if not indexing.is_fresh and found.state == OK:
            return replace(found, state=BAD, text=f"It has not followed the database since {when}. Look into the log.")
        return replace(found, text=f"{found.text} It was last fed on {when}.")

    def _facilities(self) -> Check:
        missing = self._portal.facilities.advice(admin=True)["missing"]
        found = environments(self._portal.core.offering.environments, "Facilities")
        if not missing:
            return replace(found, text=f"Environments: {found.text}") if found.state == OK else found
        return Check("Facilities", WARN, " ".join([_OFFERED, *([found.text] if found.state != OK else [])]))

    def _mail(self) -> Check:
        running = self._portal.running
        if running is None or not running.tells:
            return Check("E-mail", OK, "Not set up: no e-mail is sent.")
        if running.sent is None:
            return Check("E-mail", OK, "None has been sent since the portal started.")
        when = f"{running.sent.when:%d %B %Y, %H:%M} UTC"
        if running.sent.why:
            return Check("E-mail", WARN, f"The last, of {when}, could not be sent. {running.sent.why}")
        return Check("E-mail", OK, f"The last was sent on {when}.")

    def _isolation(self, *, admin: bool) -> Check:
        text = self._isolated.details if admin else self._isolated.text
        return Check("Isolation", OK if self._isolated.holds else WARN, text)


def _covered(check: Check) -> Check:
    """Return what everybody is told: that it is well, or broken."""
    return replace(check, state=OK, text=_WELL) if check.state != BAD else replace(check, text=_BROKEN)


def _status(checks: list[Check]) -> int:
    """Return 503 when something is broken, not when something is worth a look."""
    return 503 if any(check.state == BAD for check in checks) else 200


class HealthPage(Page):
    """One line for each thing that the portal needs."""

    async def get(self) -> None:
        """Show the lines; 503 when one of them is bad, not when one is worth a look. Details are for admins."""
        admin = bool(self.user and self.user.admin)
        health = Health(self.portal, self.settings["isolation"], self.settings.get("environments_folder"))
        checks = await health.checks(admin=admin)
        self.set_status(_status(checks))
        self.show("health.html", title="Health", context={"checks": checks})

    async def head(self) -> None:
        """Answer without a page, as some monitors ask."""
        await self.get()


class HealthJson(Api):
    """Whether the portal and what it stands on are well."""

    async def get(self) -> None:
        """Send a line for each thing: its name, its state ("ok", "warn" or "bad") and a text; 503 when one is bad.

        Administrators are told of all that the portal needs, everybody else of what nobody can do without.
        """
        admin = bool(self.user and self.user.admin)
        health = Health(self.portal, self.settings["isolation"], self.settings.get("environments_folder"))
        checks = await health.checks(admin=admin)
        status = _status(checks)
        self.reply({"well": status == 200, "checks": [vars(each) for each in checks]}, status=status)
