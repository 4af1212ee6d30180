"""A template: the notebook, run before anybody comes, in a kernel that is then frozen and forked for each visit.

Most visits bring nothing with them that the notebook asks for. For them the template runs to its end, hearing that
there is nothing. For the others it is frozen a first time before the first cell that asks (its *stem*), and their forks
run what is left. Which cell that is is predicted by reading the code; a cell that was not predicted is known the
next time that the template is made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from nbclient.exceptions import CellExecutionError

from vaas.errors import Unavailable
from vaas.facts import Facts, fits
from vaas.questions import TAG
from vaas.runtime.endings import Trouble
from vaas.runtime.executor import Executor
from vaas.runtime.forks import Frozen
from vaas.runtime.kernels import Kernels
from vaas.runtime.modes import Verdict
from vaas.runtime.promise import Rest, promised
from vaas.runtime.rendering import Renders
from vaas.runtime.sources import Sources
from vaas.runtime.states import Taken, take

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
    #: The state of its widgets, and in how many words the kernel had told it.
    state: Taken | None = None

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
        #: The first cell that did ask, if it was not the expected one; a stem that ends later has heard an answer.
        self.late: int | None = None
        self.name = ""
        #: Kernels that are here, the whole and the stem among them.
        self.held: list[str] = []
        self.whole: tuple[Frozen, Ran] | None = None
        self.stem: tuple[Frozen, Ran] | None = None
        self.verdict, self.sources = Verdict(), Sources()
        self.kernel_id = ""
        self.ran: Ran | None = None
        #: How it failed without a visit after its stem; "": it did not. And how many seconds each cell took.
        self.failure = ""
        self._seconds: dict[int, float] = {}
        self._code: list[int] = []
        self._longest = 0

    @property
    def opens(self) -> tuple[str, list[str]]:
        """How visits open that are made from it, and what is different for whom."""
        stop = self.stop if self.stem is not None and self.stop is not None else 0
        cells = [index for index in self._code if index >= stop]
        seconds = sum(self._seconds.get(index, 0.0) for index in cells)
        rest = Rest([index + 1 for index in cells], above=len(cells) < len(self._code), seconds=seconds)
        asked = sorted(self.whole[1].asked) if self.whole else []
        mode, lines = promised(rest, asked=asked, failure=self.failure, whole=self.whole is not None)
        if self._longest:
            lines.append(f"Functions given to vaas.on_visit took up to {self._longest} s at the beginning of a visit.")
        return mode, lines

    def begun(self, seconds: float) -> None:
        """Note for how long the author's functions held up a visit; what is short is not worth a word."""
        self._longest = max(self._longest, int(seconds))

    async def run(self, *, freeze: bool) -> None:
        """Run the notebook; ``freeze`` it, or leave its kernel as it is, for one visit.

        Raises
        ------
        Failed
            A cell failed, or something else did: it will have to be run for each visit.
        """
        renderer = await self._rendering.open("", page={})
        notebook, self.name = renderer.notebook, renderer.notebook.metadata.kernelspec.name
        self._code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        try:
            ours = self._kernels.specs.is_ours(self.name)
            if freeze and not ours:
                self.verdict = Verdict.of_another_kernel(self.name)
                return
            kernel_id = await self._started(self._kernels.start(self.name, request={}, ahead=ours))
            stop = self.stop if freeze else None
            ran = await self._run(notebook, kernel_id, Ran((), len(notebook.cells)), upto=stop)
            if stop is not None:
                frozen, self.verdict, self.sources = await self._kernels.freeze(kernel_id)
                if self.verdict.hindrances:
                    return
                self.stem = (frozen, ran)
                if TAG in notebook.cells[stop].metadata.get("tags", ()):
                    return
                # No visit begins in it: who waits for one is called in its forks.
                kernel_id = await self._started(self._kernels.fork(self.name, frozen, stays=True))
                try:
                    ran = await self._run(notebook, kernel_id, ran, upto=None)
                except Failed as error:
                    # It may be because there is no visit. Each runs the cells that are left.
                    log.warning("Without a visit the notebook does not run to its end: %s", error)
                    self.failure = str(error)
                    self.held.remove(kernel_id)
                    await self._kernels.stop(kernel_id, now=True)
                    return
            await self._finish(kernel_id, ran, freeze=freeze)
        except (Unavailable, Trouble) as error:
            raise Failed(getattr(error, "log_message", "") or str(error)) from error

    async def _finish(self, kernel_id: str, ran: Ran, *, freeze: bool) -> None:
        """Take a kernel that has run to the end."""
        self.kernel_id, self.ran = kernel_id, ran
        if not freeze:
            if self._kernels.talks(kernel_id):
                self.sources = await self._kernels.sources(kernel_id)
            return
        source = self.stem and self.stem[0]
        frozen, self.verdict, self.sources = await self._kernels.freeze(kernel_id, source=source)
        # What runs when a visit begins may move widgets before anybody listens.
        self.whole = (frozen, replace(ran, state=None) if self.verdict.hooked else ran)

    async def _started(self, start: Any) -> str:
        kernel_id: str = await start
        self.held.append(kernel_id)
        return kernel_id

    async def _run(self, notebook: Any, kernel_id: str, ran: Ran, *, upto: int | None) -> Ran:
        reporter = _Quiet(self._progress)
        executor = self._rendering.executor(notebook, kernel_id, reporter=reporter)
        cells, asked = list(ran.cells), ran.asked
        try:
            await executor.connect(seconds=self._rendering.start_seconds)
            executor.adopt(ran.captures)
            for index in range(len(cells), len(notebook.cells) if upto is None else upto):
                try:
                    cells.append(await self._cell(executor, notebook, index, reporter=reporter))
                except Exception:
                    await self._ask(kernel_id, asked, index)
                    raise
                asked = await self._ask(kernel_id, asked, index)
            await executor.settle()
            state = await self._state(kernel_id, executor) if len(cells) == ran.total else None
            return Ran(tuple(cells), ran.total, asked, executor.captures(), state)
        finally:
            executor.disconnect()

    async def _state(self, kernel_id: str, executor: Executor) -> Taken | None:
        """Return the state of the widgets, which all visits begin with."""
        taken = await take(kernel_id, client=executor.kc, counts=self._kernels.mapping, shared=True)
        self._rendering.learn(taken)
        return taken

    async def _ask(self, kernel_id: str, before: frozenset[str], index: int) -> frozenset[str]:
        """Return what the notebook has asked for until now, and note the cell that began to."""
        if not self._kernels.talks(kernel_id) or not self._kernels.lives(kernel_id):
            return before
        now = await self._kernels.asked(kernel_id)
        if now and not before and index != self.stop:
            self.late = index
        return before | now

    async def _cell(self, executor: Executor, notebook: Any, index: int, *, reporter: _Quiet) -> Any:
        cell, began = notebook.cells[index], time.monotonic()
        try:
            done = await executor.execute_cell(cell, None, index, store_history=False)
        except TimeoutError:
            raise Failed(f"Cell {index + 1} takes too long.") from None
        except CellExecutionError as error:
            raise Failed(f"Cell {index + 1} fails: {error.ename}.") from error
        if reporter.trouble is not None:
            raise Failed(reporter.trouble.text)
        self._seconds[index] = time.monotonic() - began
        return done

    def source_for(self, facts: Facts) -> tuple[Frozen, Ran] | None:
        """Return what a visit with these facts can be forked from, the whole or the stem; None: nothing is."""
        return next((each for each in (self.whole, self.stem) if each and fits(each[1].asked, facts)), None)

    async def close(self) -> None:
        """End its kernels, and with a sandbox all forks that are left in it."""
        for kernel_id in reversed(self.held):
            await self._kernels.stop(kernel_id, now=True)
        self.held.clear()
        await asyncio.sleep(0)
