"""What all apps share: looked at once, as the environments are that the site names, and how it can be made again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from hub_service.probing import Probe, rebuilt
from hub_service.settings import ROOT
from vaas.environments.pinned import lock_of
from vaas.errors import Unavailable
from vaas.portal import Core

__all__ = ["Common"]

_log = logging.getLogger("vaas")
_LOCK = ROOT / "requirements" / "app.lock"


class Common:
    """Finds out what is in the apps' environment: what is installed there later is seen when the portal starts anew.

    Parameters
    ----------
    python:
        Of that environment. Where there is none on this machine, nothing is known of it.
    """

    def __init__(self, core: Core, python: Path, probe: Probe, *, known: Path = _LOCK) -> None:
        self._core, self._probe, self._known = core, probe, known
        core.common = replace(core.common, where=str(python))
        core.look_at_common = self.look
        self._look: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Look, unless that was done; whoever asks meanwhile waits for the same answer."""
        if self._look is None:
            self._look = asyncio.create_task(self._find())
        await asyncio.shield(self._look)

    async def _find(self) -> None:
        core = self._core
        where = core.common.where
        question = {"verb": "look", "kind": "python", "path": where, "own": where, "awaited": True}
        try:
            found = rebuilt(core.common, await self._probe.ask(core.common.id, question))
            if found.state == "broken":  # app servers may run elsewhere
                raise Unavailable(found.why, log_message=f"{where}: {found.why}")
            core.common = found
            known = await asyncio.to_thread(self._known.read_text, encoding="utf-8")
        except (Unavailable, OSError) as error:
            _log.warning("What apps share is not known: %s", getattr(error, "log_message", error))
            return
        core.common_lock = await asyncio.to_thread(lock_of, core.common, known)
        if core.common.packages and core.common_lock is None:
            _log.info(
                "Apps share packages that requirements/app.lock does not name, so no version can have them again."
            )
