"""A template: the notebook, run before anybody comes, in a kernel that is then frozen and forked for each visit.

Most visits bring nothing with them that the notebook asks for. For them the template runs to its end, hearing that
there is nothing. For the others it is frozen a first time before the first cell that asks (its *stem*), and their forks
run what is left. Which cell that is is predicted by reading the code; a cell that was not predicted is known the
next time that the template is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbclient.exceptions import CellExecutionError

from vaas.errors import Unavailable
from vaas.facts import EMPTY, Facts, fits
from vaas.questions import TAG
from vaas.runtime.endings import Trouble
from vaas.runtime.executor import Executor
from vaas.runtime.forks import Frozen
from vaas.runtime.kernels import Kernels
from vaas.runtime.modes import Verdict
from vaas.runtime.rendering import Renders

__all__ = ["Failed", "Ran", "Template"]

log = logging.getLogger(__name__)


class Failed(Exception):
    """The notebook cannot be run ahead: why, in words for its author."""


@dataclass(frozen=True)
class Ran:
    """How far the notebook has run in a kernel: its cells with what they put out, and what it has asked for.

    ``captures`` are the Output widgets that an executor plays the front end for.
    """

    cells: tuple[Any, ...]
    total: int
    asked: frozenset[str] = frozenset()
    captures: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether it ran to the end."""
        return len(self.cells) == self.total


class _Quiet:
    """Nobody waits for this page; what goes wrong ends the template."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self.trouble: Trouble | None = None

    def begins(self, cell: int, cells: int) -> None:
        self._progress(cell, cells)

    def moves(self) -> None:
        pass

    def slow(self, text: str) -> None:
        raise Failed(text)

    def over(self, trouble: Trouble) -> None:
        self.trouble = trouble


class Template:
    """One run of the notebook ahead of its visits.

    Parameters
    ----------
    kernels, rendering:
        Of the app server.
    stop:
        The index of the first cell that asks for something, among all cells; None: none is expected to.
    progress:
        Called with the number of the cell that begins, and of how many.
    """

    def __init__(
        self, kernels: Kernels, rendering: Renders, *, stop: int | None, progress: Callable[[int, int], None]
    ) -> None:
        self._kernels, self._rendering, self._progress = kernels, rendering, progress
        self.stop = stop
        #: The first cell that did ask, if it was not the expected one.
        self.late: int | None = None
        self.name = ""
        #: Kernels that are here, the whole and the stem among them.
        self.held: list[str] = []
        self.whole: tuple[Frozen, Ran] | None = None
        self.stem: tuple[Frozen, Ran] | None = None
        self.verdict = Verdict()
        self.kernel_id = ""
        self.ran: Ran | None = None

    async def run(self, *, freeze: bool) -> None:
        """Run the notebook; ``freeze`` it, or leave its kernel as it is, for one visit.

        Raises
        ------
        Failed
            A cell failed, or something else did: it will have to be run for each visit.
        """
        renderer = await self._rendering.open("", page={})
        notebook, self.name = renderer.notebook, renderer.notebook.metadata.kernelspec.name
        try:
            kernel_id = await self._started(self._kernels.start(self.name, request={}, ahead=self._talks(renderer)))
            stop = self.stop if freeze else None
            ran = await self._run(notebook, kernel_id, Ran((), len(notebook.cells)), upto=stop)
            if stop is not None:
                frozen, self.verdict = await self._kernels.freeze(kernel_id)
                if self.verdict.hindrances:
                    return
                self.stem = (frozen, ran)
                if TAG in notebook.cells[stop].metadata.get("tags", ()):
                    return
                kernel_id = await self._started(self._kernels.fork(self.name, frozen, stays=True))
                await self._kernels.begin(kernel_id, EMPTY)
                ran = await self._run(notebook, kernel_id, ran, upto=None)
            self.kernel_id, self.ran = kernel_id, ran
            if freeze:
                frozen, self.verdict = await self._kernels.freeze(kernel_id, source=self.stem and self.stem[0])
                self.whole = (frozen, ran)
        except (Unavailable, Trouble) as error:
            raise Failed(getattr(error, "log_message", "") or str(error)) from error

    async def _started(self, start: Any) -> str:
        kernel_id: str = await start
        self.held.append(kernel_id)
        return kernel_id

    @staticmethod
    def _talks(renderer: Any) -> bool:
        return bool(renderer.notebook.metadata.kernelspec.get("language") == "python")

    async def _run(self, notebook: Any, kernel_id: str, ran: Ran, *, upto: int | None) -> Ran:
        reporter = _Quiet(self._progress)
        executor = self._rendering.executor(notebook, kernel_id, reporter=reporter)
        cells, asked = list(ran.cells), ran.asked
        try:
            await executor.connect(seconds=self._rendering.start_seconds)
            executor.adopt(ran.captures)
            for index in range(len(cells), len(notebook.cells) if upto is None else upto):
                cells.append(await self._cell(executor, notebook, index, reporter=reporter))
                if self._kernels.talks(kernel_id):
                    now = await self._kernels.asked(kernel_id)
                    if now > asked and self.late is None and index != self.stop:
                        self.late = index
                    asked |= now
            await executor.settle()
            return Ran(tuple(cells), ran.total, asked, executor.captures())
        finally:
            executor.disconnect()

    async def _cell(self, executor: Executor, notebook: Any, index: int, *, reporter: _Quiet) -> Any:
        cell = notebook.cells[index]
        try:
            done = await executor.execute_cell(cell, None, index, store_history=False)
        except TimeoutError:
            raise Failed(f"Cell {index + 1} takes too long.") from None
        except CellExecutionError as error:
            raise Failed(f"Cell {index + 1} fails: {error.ename}.") from error
        if reporter.trouble is not None:
            raise Failed(reporter.trouble.text)
        return done

    def source_for(self, facts: Facts) -> tuple[Frozen, Ran] | None:
        """Return what a visit with these facts can be forked from, the whole or the stem."""
        if self.whole is not None and fits(self.whole[1].asked, facts):
            return self.whole
        return self.stem

    async def close(self) -> None:
        """End its kernels, and with a sandbox all forks that are left in it."""
        for kernel_id in reversed(self.held):
            await self._kernels.stop(kernel_id, now=True)
        self.held.clear()
        await asyncio.sleep(0)
