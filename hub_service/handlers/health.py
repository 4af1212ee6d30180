"""Whether the portal and what it stands on are well, and whether kernels are isolated."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable

from hub_service.handlers.base import Page
from hub_service.isolation import KernelIsolation
from vaas.errors import VaasError

__all__ = ["HealthPage"]


class HealthPage(Page):
    """One line for each thing that the portal needs."""

    async def get(self) -> None:
        """Show the lines; 503 when one of them is bad, not when one is worth a look. Details are for admins."""
        admin = bool(self.user and self.user.admin)
        checks = [
            await self._check("Database", self._database, admin=admin),
            await self._check("Hub", self._hub, admin=admin),
            await self._check("Disk", self._disk, admin=admin),
            self._isolation(admin=admin),
        ]
        self.set_status(503 if any(check["state"] == "bad" for check in checks) else 200)
        self.show("health.html", title="Health", context={"checks": checks})

    async def _check(self, name: str, probe: Callable[[], Awaitable[str]], *, admin: bool) -> dict[str, str]:
        try:
            text = await probe()
        except (VaasError, OSError) as error:
            return {"name": name, "state": "bad", "text": str(error)}
        return {"name": name, "state": "ok", "text": text if admin else "All is well."}

    def _isolation(self, *, admin: bool) -> dict[str, str]:
        isolation: KernelIsolation = self.settings["isolation"]
        text = isolation.details if admin else isolation.text
        return {"name": "Isolation", "state": "ok" if isolation.holds else "warn", "text": text}

    async def _database(self) -> str:
        with self.portal.core.database.begin() as records:
            records.apps.get("health")
        return "Answers."

    async def _hub(self) -> str:
        return f"Answers; it knows {len(await self.portal.core.directory.people())} people."

    async def _disk(self) -> str:
        free = shutil.disk_usage(self.portal.core.content.root).free
        if free < 1_000_000_000:
            raise OSError("Less than 1 GB is free. Make room, or publishing will stop.")
        return f"{free / 1e9:.0f} GB free."
