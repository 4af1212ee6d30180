"""Sweeping: one process at a time looks through all places now and then, and listens to what changes in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from dataclasses import asdict, replace
from datetime import timedelta

from vaas.db.base import Lease
from vaas.errors import VaasError
from vaas.portal.core import Core
from vaas.portal.harvesting import Harvesting, Report
from vaas.portal.heeding import heed
from vaas.portal.work import REPORT, SWEEP, WANTED, Work

__all__ = ["Sweeping", "want_sweep"]

_log = logging.getLogger("vaas")
#: Between two looks at whether a sweep is wanted or another process went away, and after something went wrong.
_OFTEN, _LATER = 1.0, 10.0
#: For so long sweeps wait until changes can be heard.
_PATIENCE = 120.0
#: Until it is tried again whether changes can be heard.
_DEAF = 300.0
#: For so long somebody waits for a sweep.
_WANTED = timedelta(hours=1)


def want_sweep(core: Core) -> str:
    """Ask whichever process sweeps for a sweep at once; return what its report will be held by."""
    asked, now = secrets.token_hex(8), core.now()
    with core.database.begin() as records:
        for before in records.leases.all(WANTED):
            records.leases.give_back(before.name, before.holder)
        records.leases.take(Lease(WANTED, asked, now + _WANTED), now=now)
    return asked


class Sweeping:
    """Sweeps while this process is the one that does; else waits until the one that does is gone."""

    def __init__(self, core: Core, harvesting: Harvesting, *, often: float = _OFTEN) -> None:
        self._core, self._harvesting, self._often = core, harvesting, often
        self._work = Work(core, SWEEP, alone=True, seconds=harvesting.bounds.lease)
        self._wanted, self._listening = asyncio.Event(), asyncio.Event()
        self._asked, self._serving = "", ""
        #: Whether changes on this machine are heard, and when all of it was last looked through.
        self._hears, self._looked = False, -math.inf
        self._last: dict[str, object] = {}

    async def keep_up(self) -> None:
        """Sweep and listen; until cancelled."""
        try:
            while True:
                pause = self._often
                try:
                    if await asyncio.to_thread(self._go_on):
                        await self._lead()
                except Exception:
                    pause = _LATER
                    _log.exception("The stores cannot be swept; it is tried again in %.0f s.", pause)
                await asyncio.sleep(pause)
        finally:
            self._work.end()

    def _go_on(self) -> bool:
        """Hold the lease, and hear whether a sweep is wanted. False: another process sweeps."""
        with self._core.database.begin() as records:
            known = {each.name: each for each in records.leases.all(SWEEP)}
        held, wanted = known.get(SWEEP), known.get(WANTED)
        soon = self._core.now() + timedelta(seconds=0.75 * self._harvesting.bounds.lease)
        # It is said again in good time, and when there is more to say; not each time.
        is_said = held and held.holder == self._work.holder and held.until > soon and held.said == self._last
        if not is_said and not self._work.tell(**self._last):
            return False
        self._asked = wanted.holder if wanted and wanted.until > self._core.now() else ""
        return True

    async def _lead(self) -> None:
        """Sweep and listen for as long as nobody else does."""
        _log.info("This process looks through the stores.")
        self._listening.clear()
        self._hears, self._looked = False, -math.inf
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())}
        try:
            while not any(task.done() for task in tasks) and await asyncio.to_thread(self._go_on):
                if self._asked not in {"", self._serving}:
                    self._wanted.set()
                await asyncio.wait(tasks, timeout=self._often, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        # First listen, then look: else what changes between both is not found.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._listening.wait()
        while True:
            self._wanted.clear()
            asked, began = self._asked, time.monotonic()
            self._serving = asked or self._serving
            here = bool(asked) or not self._hears or began - self._looked >= self._harvesting.bounds.every_here
            try:
                report = await self._harvesting.sweep(here=here, told=self._tell)
                self._looked = began if here else self._looked
            except VaasError as error:
                _log.warning("The stores cannot be swept at the moment: %s", error.log_message)
                report = None
            self._last = {}
            await asyncio.to_thread(self._answer, asked, report)
            every = self._harvesting.bounds.every
            left = every - (time.monotonic() - began) if report else min(every, _LATER)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, self._often)):
                    await self._wanted.wait()

    def _tell(self, done: int, of: int) -> None:
        self._last = {"done": done, "of": of}

    def _answer(self, asked: str, report: Report | None) -> None:
        """Leave the report for who asked for it."""
        if not asked:
            return
        now = self._core.now()
        if report:
            # What was skipped before and is as it was, too.
            skipped = dict.fromkeys(report.skipped + self._harvesting.noted())
            report = replace(report, skipped=tuple(skipped))
        said = asdict(report) if report else {"failed": True}
        with self._core.database.begin() as records:
            records.leases.give_back(WANTED, asked)
            # Over at once: the next report takes its place.
            records.leases.take(Lease(REPORT, asked, now, said), now=now)

    async def _listen(self) -> None:
        """Heed what changes; where it cannot be heard, the sweeps go on without."""
        while True:
            try:
                async with self._core.stores.watched() as touched:
                    self._hears = True
                    self._listening.set()
                    await heed(touched, self._harvesting.touched)
            except Exception:
                _log.exception("What changes in the stores cannot be heard, and is found by the sweeps.")
            # What is not heard any more is looked for again.
            self._hears, self._looked = False, -math.inf
            self._listening.set()
            await asyncio.sleep(_DEAF)
