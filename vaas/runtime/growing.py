"""A page that is sent while its notebook runs: where its kernel comes from, what it says meanwhile, and its watch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaas.facts import Facts
from vaas.runtime.endings import Trouble
from vaas.runtime.rendering import Begun
from vaas.runtime.states import Taken
from vaas.runtime.visits import Page
from vaas.runtime.watch import Watch

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer
    from vaas.runtime.stock import Claim

__all__ = ["Growing", "Passing"]


class Passing(str):
    """A piece that says how far the page is, and is no part of it."""


class Growing:
    """Hands what the executor tells to the page, its watch and its owner, and brings the page's kernel.

    Parameters
    ----------
    page, facts, shown:
        The page, what its notebook may know of the visit, and what the page shows.
    queue:
        Takes pieces of the page.
    renderer:
        Has the notebook.
    claims:
        What came of a claim of a kernel, if there was one.
    """

    def __init__(
        self,
        server: AppServer,
        *,
        page: Page,
        facts: Facts,
        shown: Mapping[str, object],
        queue: asyncio.Queue[str | None],
        renderer: Any,
        claims: list[Claim | None],
    ) -> None:
        self._server, self._page, self._facts, self._shown = server, page, facts, shown
        self._queue, self._renderer, self._claims = queue, renderer, claims
        self._where = "before its first cell"
        #: Until there is a kernel of its own that could stand still, others have their own watch.
        self._activity: Any = None
        self.watch = Watch(patience=server.manifest.limits.stalled_after, idle=self._idle)

    async def begin(self, notebook: Any) -> Begun:
        """Return the kernel of this page: one that has run the notebook, or some of it, or a new one.

        While the notebook runs ahead of all visits, this one shows how far it is.
        """
        server = self._server
        claimed = await self._claim()
        if claimed is not None and claimed.ran.whole:
            return Begun(claimed.kernel_id, None, claimed.ran.cells, state=claimed.state)
        if claimed is None:
            name = self._renderer.notebook.metadata.kernelspec.name
            kernel_id = await server.bring_kernel(self._page, name=name, facts=self._facts)
        else:
            kernel_id = claimed.kernel_id
        self.watch.moved()
        executor = server.rendered.executor(notebook, kernel_id, reporter=self)
        await executor.connect(seconds=server.rendered.start_seconds)
        self._activity = server.kernels.mapping.activity(kernel_id)
        if claimed is not None:
            executor.adopt(claimed.ran.captures)
        return Begun(kernel_id, executor, claimed.ran.cells if claimed is not None else (), ready=self._keep)

    def _keep(self, taken: Taken | None) -> None:
        self._page.state = taken

    async def _claim(self) -> Claim | None:
        if self._claims:
            return self._claims.pop()
        stock = self._server.stock
        stock.watchers.add(self._show)
        try:
            if stock.mode == "preparing" and stock.progress[0]:
                self._show(*stock.progress)
            await stock.settled()
        finally:
            stock.watchers.discard(self._show)
        return await self._server.claim(self._page, self._facts, shown=self._shown)

    async def guard(self) -> None:
        """End the page if it stands still while its kernel is idle."""
        await self.watch.until_stalled()
        text = f"A page stood still {self._where} while its kernel was idle. It was ended, and starts again."
        self._server.break_off(self._page, Trouble("stalled", "stalled", text))

    def _idle(self) -> bool:
        return self._activity is not None and not self._activity.busy

    def begins(self, cell: int, cells: int) -> None:
        """Show which cell runs."""
        self.watch.moved()
        self._where = f"at cell {cell} of {cells}"
        self._show(cell, cells)

    def moves(self) -> None:
        """Tell the watch."""
        self.watch.moved()

    def slow(self, text: str) -> None:
        """Tell the owner."""
        self._server.incident("slow", text)

    def over(self, trouble: Trouble) -> None:
        """End the page."""
        self._server.break_off(self._page, trouble)

    def _show(self, cell: int, cells: int) -> None:
        self._queue.put_nowait(Passing(f"<script>window.vaas && window.vaas.runs({cell}, {cells})</script>\n"))
