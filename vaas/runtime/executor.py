"""Run a notebook's cells for one page: bounded in time and output, and nothing that a visitor may not see."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol

from nbclient.exceptions import DeadKernelError
from nbclient.output_widget import OutputWidget
from traitlets.config import Config
from voila.execute import VoilaExecutor

from vaas.runtime.activity import QUEUED
from vaas.runtime.endings import Trouble, how_it_ended
from vaas.runtime.kernels import HIDDEN_ERROR
from vaas.runtime.logged import Logged
from vaas.runtime.outputs import cost_of
from vaas.runtime.watch import Activity

__all__ = ["Executor", "Reporter"]

#: How long a cell may take to stop once it was told to.
_GRACE = 4.0
_LOOK = 0.1
_DAY = 86_400


class Reporter(Protocol):
    """Who wants to know how it goes on; cells count from 1."""

    def begins(self, cell: int, cells: int) -> None:
        """A cell begins."""

    def moves(self) -> None:
        """Something came from the cell that runs."""

    def slow(self, text: str) -> None:
        """A cell took too long and was stopped; the page goes on."""

    def over(self, trouble: Trouble) -> None:
        """The page has to end."""


class _OutputWidget(OutputWidget):
    """An Output widget that tells the kernel what it captured when the cell has ended, instead of after each line.

    The kernel would not read it earlier, and the whole text again with each line fills its queue until
    the server waits for the kernel, with all its visitors.
    """

    changed = False

    def sync_state(self) -> None:
        self.changed = True

    def tell(self) -> None:
        """Tell the kernel; no-op when it knows."""
        if self.changed:
            self.changed = False
            super().sync_state()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Executor(VoilaExecutor):
    """Voilà's executor with limits. What an Output widget captures loses its tracebacks before it becomes state."""

    def __init__(
        self,
        notebook: Any,
        *,
        manager: Any,
        config: Config,
        activity: Activity,
        budget: int,
        reporter: Reporter,
        show_tracebacks: bool = False,
    ) -> None:
        super().__init__(notebook, km=manager, config=config, show_tracebacks=show_tracebacks)
        # What a cell has put out may take longer to read than it took to run. Nothing of it is left out: who waits for
        # something that does not come is found by the page's watch.
        self.iopub_timeout, self.raise_on_iopub_timeout = self.timeout or _DAY, True
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _OutputWidget}}
        self._activity, self._reporter = activity, reporter
        self._budget = self._left = budget
        self._logged = Logged("Inside an Output widget")
        self._cell = 0
        self._late = False

    async def connect(self, *, seconds: float) -> None:
        """Connect to the kernel and wait until it is ready; Trouble if it is not in time, or ends before."""
        assert self.km is not None
        # The context of all kernels here has their limits; by default each client makes one of its own.
        self.kc = client = self.km.client(context=self.km.context)
        # No heartbeat, which is a thread of its own: whether the process lives is known here.
        client.start_channels(hb=False, stdin=False, control=False)
        client.iopub_channel.socket.rcvhwm = QUEUED
        try:
            await self._ready(client, seconds=seconds)
        except BaseException:
            self.disconnect()
            raise
        client.allow_stdin = False

    @staticmethod
    async def _ready(client: Any, *, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await client.wait_for_ready(timeout=None)
        except TimeoutError:
            raise Trouble("stalled", "start", f"The kernel was not ready after {seconds:.0f} s.") from None
        except RuntimeError as error:
            raise Trouble("died", "start", f"The kernel did not start: {error}.") from error

    async def settle(self) -> None:
        """Wait until the kernel has heard all that it was told, by asking it something behind that."""
        assert self.kc is not None
        await self.kc.kernel_info(reply=True, timeout=self.timeout)

    def captures(self) -> dict[str, list[Any]]:
        """Return what each Output widget has captured, for who runs the next cells."""
        return {comm_id: list(widget.outputs) for comm_id, widget in self.comm_objects.items()}

    def adopt(self, captures: Mapping[str, list[Any]]) -> None:
        """Play the front end of Output widgets that were made while somebody else ran the cells before."""
        for comm_id, outputs in captures.items():
            state = self.widget_state[comm_id] = {"outputs": deepcopy(outputs)}
            self.comm_objects[comm_id] = _OutputWidget(comm_id, state, self.kc, self)

    def disconnect(self) -> None:
        """Close the channels; no-op when they are closed."""
        # Not stop_channels(): to stop those that were not opened, it opens them.
        for channel in (self.kc.shell_channel, self.kc.iopub_channel) if self.kc is not None else ():
            if channel.is_alive():
                channel.stop()

    async def execute_cell(self, cell: Any, resources: Any, cell_index: int, store_history: bool = True) -> Any:
        """Run one cell.

        Raises
        ------
        TimeoutError
            It took too long and was stopped: the kernel is free again, and the cell says what happened.
        Trouble
            It took too long and could not be stopped, or the kernel died.
        """
        self._cell = cell_index + 1
        if cell.cell_type == "code":
            self._reporter.begins(self._cell, len(self.nb.cells))
        try:
            return await super().execute_cell(cell, resources, cell_index, store_history=store_history)
        except TimeoutError:
            self._late = True
            self._tell_widgets()
            text = f"Cell {self._cell} took longer than {self.timeout:.0f} s"
            if not await self._stop():
                raise Trouble("slow", "slow", f"{text} and could not be stopped.") from None
            self._reporter.slow(f"{text} and was stopped.")
            raise
        except DeadKernelError as error:
            if _cancelled():
                # nbclient says the same of a kernel that has died and of a run that is given up.
                raise asyncio.CancelledError from error
            kind, reason = how_it_ended(self.km.exit_code)
            raise Trouble("died", kind, f"The kernel died while cell {self._cell} ran: {reason}.") from error

    def show_code_cell_timeout(self, cell: Any) -> None:
        """Say in the cell that it took too long, below what it has shown."""
        shown = list(cell.get("outputs", ()))
        super().show_code_cell_timeout(cell)
        cell["outputs"] = shown + cell["outputs"]

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Let nbclient have the message, unless there were too many."""
        kind, content = msg["msg_type"], msg["content"]
        self._reporter.moves()
        if cost := cost_of(msg):
            before, self._left = self._left, self._left - cost
            if self._left < 0:
                if before >= 0:
                    text = f"The page put out more than {self._budget / 1e6:.0f} MB until cell {self._cell}."
                    self._reporter.over(Trouble("flooded", "output", text))
                return None
            # What a cell says while it is stopped is that it was interrupted, which the page says better.
            if self._late and not kind.startswith("comm"):
                return None
        elif kind == "status" and content.get("execution_state") == "idle":
            self._tell_widgets()
        captured = bool(self.output_hook_stack[msg["parent_header"].get("msg_id")])
        if self.show_tracebacks:
            return super().process_message(msg, cell, cell_index)
        if captured and kind == "error":
            self._logged.say("\n".join(content.get("traceback", ())), level=logging.WARNING)
            msg["content"] = {"ename": "ExecutionError", "evalue": "", "traceback": [HIDDEN_ERROR]}
        elif captured and kind == "stream" and content.get("name") == "stderr":
            self._logged.say(content.get("text", ""))
            return None
        return super().process_message(msg, cell, cell_index)

    def _tell_widgets(self) -> None:
        for widget in self.comm_objects.values():
            widget.tell()

    async def _stop(self) -> bool:
        """Interrupt the kernel; tell whether it is free again soon."""
        until = time.monotonic() + _GRACE
        async with asyncio.timeout(_GRACE):
            await self.km.interrupt_kernel()
        while self._activity.busy:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(_LOOK)
        return True
