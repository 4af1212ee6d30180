"""What is kept ready for visits: a template and a few forks of it, or a few kernels that have run the notebook.

The first run tells which. A new template is made beside the old one and takes its place when it is ready; the old one
goes when its last fork has gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from vaas.errors import VaasError
from vaas.events import happens
from vaas.facts import QUERY, VISITOR, Facts, fits
from vaas.runtime.kernels import Kernels
from vaas.runtime.manifest import Limits
from vaas.runtime.modes import Mode, advice
from vaas.runtime.ready import Ready, look
from vaas.runtime.recorded import Recorded
from vaas.runtime.rendering import Renders
from vaas.runtime.states import Taken
from vaas.runtime.template import Failed, Ran, Template

__all__ = ["Claim", "Stock"]

_LOOK, _LOOK_AT_SOURCES = 0.5, 3.0
#: After a run that failed, the next is tried so much later (seconds), and then later and later.
_AGAIN, _LATEST = 5.0, 600.0
#: A notebook whose data have changed is run again when so many times as long as its run took have passed: what changes
#: all the time, as a log does, must not keep the machine busy.
_REST = 2.0
#: A claim that took longer is not tried again.
_WORTH_ANOTHER = 5.0
#: So often a fork is tried; and what its author reads if there is none at all.
_TRIALS, _MOMENT = 2, 1.0
_NO_FORK = "A copy of the session that ran the notebook does not start; the app's log says why."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A kernel for one visit, and how far the notebook has run in it; ``page`` is its page, if that is all."""

    kernel_id: str
    ran: Ran
    page: Recorded | None = None
    #: The state of its widgets, if it is that of the run.
    state: Taken | None = None
    #: With what functions of the author's failed when the visit began: a part of it is not as it should be.
    failed: tuple[str, ...] = ()


def _explained(error: Exception) -> str:
    """Put into the log what went wrong, and return it in words for the author."""
    if isinstance(error, Failed):
        log.warning("The notebook could not be run ahead: %s", error)
        return f"{error} It is run for each visit."
    log.error("Keeping the app ready", exc_info=error)
    return "Something went wrong; the server's log says what."


class Stock:
    """Keeps the app ready.

    Parameters
    ----------
    stop:
        The index of the first cell that asks for something of the visit, as far as its code tells.
    """

    def __init__(self, kernels: Kernels, rendering: Renders, limits: Limits, *, stop: int | None) -> None:
        self._kernels, self._rendering, self._limits = kernels, rendering, limits
        self._stop = stop
        #: Cells that asked and were not expected to.
        self._found: set[int] = set()
        self.mode: Mode = "preparing"
        self.why: list[str] = []
        self.progress = (0, 0)
        #: Called with each cell that begins while nothing is ready.
        self.watchers: set[Callable[[int, int], None]] = set()
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()
        self._current: Ready | None = None
        self._spares: deque[str] = deque()
        self._pool: deque[Ready] = deque()
        self._retired: list[Template] = []
        #: Whether visits can be forks, as far as is known; if not, why.
        self._forks, self._hindrances = True, list[str]()
        self._looked = self._rest_until = 0.0
        self._looking: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sources")
        self._filling: asyncio.Future[None] | None = None
        self._most = max(self._limits.spares, self._limits.warm)

    @property
    def spare(self) -> list[str]:
        """The kernels that are kept ready for visits."""
        return [*self._spares, *(ready.template.kernel_id for ready in self._pool)]

    async def bound(self, most: int) -> None:
        """Keep no more than so many kernels ready, until told otherwise: they give way to visits."""
        self._most = most
        while len(self._spares) > most:
            await self._kernels.stop(self._spares.pop(), now=True)
        while len(self._pool) > most:
            await self._pool.pop().template.close()

    async def tend(self) -> None:
        """Make the template, and make it again when it is old or has died; until cancelled."""
        if not self._limits.ahead:
            self._settle("cold", ["This site runs notebooks for each visit."])
            return
        pause = _AGAIN
        while True:
            try:
                if self._due():
                    await self._renew()
                pause = _AGAIN
            except Exception as error:
                self._settle("cold", [_explained(error)])
                await self._sleep(pause)
                pause = min(2 * pause, _LATEST)
                continue
            try:
                await self._clear_away()
                self._look_at_sources()
            except Exception:
                log.exception("Looking after what is kept ready")
            await self._sleep(_LOOK)

    async def settled(self) -> None:
        """Wait until it is known how the app opens."""
        await self._settled.wait()

    @property
    def opens(self) -> Mapping[str, Any]:
        """How the app opens, for the portal."""
        instant = self._current if self.mode == "instant" else None
        mode, why = instant.template.opens if instant else (self.mode, list(self.why))
        return {"mode": mode, "why": why}

    def fits_whole(self, facts: Facts) -> bool:
        """Tell whether a visit with these facts will have its whole page at once."""
        if self.mode == "instant":
            whole = self._current.template.whole if self._current else None
            return whole is not None and fits(whole[1].asked, facts)
        return self.mode == "warm" and any(self._fits(ready, facts) for ready in self._pool)

    async def claim(self, facts: Facts, *, page: Mapping[str, object]) -> Claim | None:
        """Return a kernel for a visit, with its page if the notebook has run to its end; None: there is none ready."""
        await self.settled()
        began = time.monotonic()
        for _ in range(_TRIALS):
            if time.monotonic() - began > _WORTH_ANOTHER:
                break
            try:
                if self.mode == "instant":
                    return await self._claim_fork(facts, page)
                return await self._claim_kept(facts, page) if self.mode == "warm" else None
            except VaasError as error:
                log.warning("A visit's kernel was not ready: %s", error.log_message)
                self._wanted.set()
        return None

    async def record(self, page: Mapping[str, object]) -> None:
        """Record the page that shows this before somebody comes; no-op where there is no whole one."""
        if self._current is not None and self._current.template.whole is not None:
            await self._current.page(page)

    async def close(self) -> None:
        """End what is kept."""
        self._thread.shutdown(wait=False)
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)

    async def retire(self) -> None:
        """Keep nothing ready any more; return when the last fork has gone, and what it was made from."""
        await self.close()
        for kernel_id in self._spares:
            await self._kernels.stop(kernel_id, now=True)
        for ready in self._pool:
            await ready.template.close()
        self._spares.clear()
        self._pool.clear()
        if self._current is not None:
            self._retired.append(self._current.template)
            self._current = None
        while self._retired:
            await self._clear_away()
            await asyncio.sleep(_LOOK)

    async def _claim_fork(self, facts: Facts, page: Mapping[str, object]) -> Claim | None:
        ready = self._current
        source = ready.template.source_for(facts) if ready is not None else None
        if ready is None or source is None:
            return None
        frozen, ran = source
        whole = source is ready.template.whole
        kernel_id = self._spares.popleft() if whole and self._spares else ""
        if not kernel_id or not self._kernels.lives(kernel_id):
            kernel_id = await self._kernels.fork(ready.template.name, frozen)
        self._fill()
        try:
            failed = await self._begin(kernel_id, facts, ready.template)
            recorded = await ready.page(page) if whole else None
        except BaseException:
            await self._kernels.stop(kernel_id, now=True)
            raise
        # A fork says nothing unless it is asked: what it says counts from its beginning.
        state = replace(ran.state, said=0) if whole and ran.state is not None else None
        return Claim(kernel_id, ran, recorded, state, failed)

    async def _claim_kept(self, facts: Facts, page: Mapping[str, object]) -> Claim | None:
        # The newest first: what is old waits for one to take its place.
        ready = next((ready for ready in reversed(self._pool) if self._fits(ready, facts)), None)
        if ready is None:
            return None
        self._pool.remove(ready)
        self._wanted.set()
        kernel_id, ran = ready.template.kernel_id, ready.template.ran
        assert ran is not None
        ready.template.held.remove(kernel_id)
        try:
            talks = self._kernels.talks(kernel_id)
            failed = await self._begin(kernel_id, facts, ready.template) if talks else ()
            return Claim(kernel_id, ran, await ready.page(page), ran.state, failed)
        except BaseException:
            await self._kernels.stop(kernel_id, now=True)
            raise

    async def _begin(self, kernel_id: str, facts: Facts, template: Template) -> tuple[str, ...]:
        beginning = await self._kernels.begin(kernel_id, facts, seconds=self._rendering.start_seconds)
        template.begun(beginning.seconds)
        return tuple(name for name, _ in beginning.failed)

    def _fits(self, ready: Ready, facts: Facts) -> bool:
        """What a kernel of another language asks for is not known: it may be anything."""
        kernel_id, ran = ready.template.kernel_id, ready.template.ran
        if ran is None or not self._kernels.lives(kernel_id):
            return False
        return fits(ran.asked if self._kernels.talks(kernel_id) else (QUERY, VISITOR), facts)

    def _due(self) -> bool:
        rested = time.monotonic() >= self._rest_until
        if not self._forks:
            wanted = min(self._limits.warm, self._most)
            return len(self._pool) < wanted or (rested and sum(map(self._is_fresh, self._pool)) < wanted)
        ready = self._current
        if ready is None or not all(map(self._kernels.lives, ready.template.held)):
            return True
        late = ready.template.late
        if late is not None and late not in self._found:
            # The next one, now, is frozen before this cell as well: else visits that bring an answer run all cells.
            self._found.add(late)
            return True
        return ready.is_old(self._limits.template_age) or (ready.changed and rested)

    def _look_at_sources(self) -> None:
        """Look whether what was read has changed; a drive that hangs holds up nothing but this."""
        if self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            looking.result()
        kept = [ready for ready in (self._current, *self._pool) if ready is not None and ready.template.sources.read]
        if self._looking is None and kept and time.monotonic() - self._looked > _LOOK_AT_SOURCES:
            self._looked = time.monotonic()
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, look, kept)

    async def _renew(self) -> None:
        began = time.monotonic()
        template = Template(self._kernels, self._rendering, stop=self._stop, progress=self._show)
        freeze = self._forks
        try:
            await template.run(freeze=freeze)
        except BaseException as error:
            await template.close()
            if isinstance(error, Failed) and freeze and template.late is not None and template.late != self._stop:
                # Perhaps it fails because there is no visit: run the cells before it alone.
                self._stop = template.late
                await self._renew()
                return
            raise
        if template.late is not None and freeze:
            self._stop = template.late
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - began)
        if not freeze:
            self._pool.append(Ready(template, self._rendering))
            await self._swap(None, "warm", self._hindrances)
        elif spare := await self._first_fork(template):
            log.info(" ".join(["The app opens at once: its visits are forks.", *template.opens[1]]))
            await self._swap(Ready(template, self._rendering), "instant", [], spare=spare)
            self._fill()
        else:
            await template.close()
            self._hindrances = advice(template.verdict.hindrances) or [_NO_FORK]
            log.info("Visits are no forks: %s", " ".join(self._hindrances))
            self._forks = False
            await self._renew()

    async def _first_fork(self, template: Template) -> str:
        """Return a first fork, which shows that there can be others; "" if there can be none.

        Raises Failed, and closes the template, where there have been forks: for now there are none.
        """
        source = template.whole or template.stem
        if source is None or template.verdict.hindrances:
            return ""
        for _ in range(_TRIALS):
            try:
                return await self._kernels.fork(template.name, source[0])
            except VaasError as error:
                log.warning("A first fork: %s", error.log_message)
            except BaseException:
                await template.close()
                raise
            await asyncio.sleep(_MOMENT)
        if self._current is not None:
            await template.close()
            raise Failed(_NO_FORK)
        return ""

    async def _swap(self, ready: Ready | None, mode: Mode, why: list[str], *, spare: str = "") -> None:
        """Put a template with a fork of it in the place of the one that is there, which ends with its last visit."""
        former, self._current = self._current, ready
        spares, self._spares = list(self._spares), deque()
        if spare:
            whole = ready is not None and ready.template.whole is not None
            (self._spares if whole and self._limits.spares and self._most else spares).append(spare)
        self._settle(mode, why)
        if former is not None:
            self._retired.append(former.template)
        for kernel_id in spares:
            await self._kernels.stop(kernel_id, now=True)

    async def _clear_away(self) -> None:
        for template in list(self._retired):
            if not self._in_use(template):
                self._retired.remove(template)
                await template.close()
        # One that is old serves until there is a fresh one.
        renewed = any(map(self._is_fresh, self._pool))
        gone = [ready for ready in self._pool if not self._lives(ready) or (renewed and not self._is_fresh(ready))]
        # All of them first: meanwhile others are taken, or put in.
        for ready in gone:
            self._pool.remove(ready)
        for ready in gone:
            await ready.template.close()

    def _is_fresh(self, ready: Ready) -> bool:
        return not ready.changed and not ready.is_old(self._limits.template_age)

    def _lives(self, ready: Ready) -> bool:
        return self._kernels.lives(ready.template.kernel_id)

    def _in_use(self, template: Template) -> bool:
        """Tell whether a fork lives that is not the template's own."""
        source = template.whole or template.stem
        return source is not None and self._kernels.forks(source[0], besides=template.held)

    def _fill(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.ensure_future(self._fork_ahead())

    async def _fork_ahead(self) -> None:
        ready = self._current
        whole = ready.template.whole if ready is not None else None
        while ready is not None and whole is not None and ready is self._current:
            if len(self._spares) >= min(self._limits.spares, self._most):
                return
            try:
                kernel_id = await self._kernels.fork(ready.template.name, whole[0])
            except Exception as error:
                log.warning("No fork ahead: %s", error)
                return
            if ready is self._current:
                self._spares.append(kernel_id)
            else:
                await self._kernels.stop(kernel_id, now=True)

    def _show(self, cell: int, cells: int) -> None:
        self.progress = (cell, cells)
        for watcher in list(self.watchers):
            watcher(cell, cells)

    def _settle(self, mode: Mode, why: list[str]) -> None:
        there = self._current is not None if self.mode == "instant" else any(map(self._lives, self._pool))
        if mode == "cold" and there:
            return  # what is there stays: it is old, and works
        self.mode, self.why = mode, why
        self._settled.set()

    async def _sleep(self, seconds: float) -> None:
        self._wanted.clear()
        await happens(self._wanted, seconds=seconds)
