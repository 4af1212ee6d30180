"""Run a notebook once in a fresh kernel of its own, as Voilà would, and watch it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from vaas.notebook import Cell, Notebook
from vaas.runtime import audit, patches
from vaas.runtime.confinement import Confinement
from vaas.runtime.content import open_up
from vaas.runtime.endings import how_it_ended, signal_of
from vaas.runtime.environment import kernel_environment
from vaas.runtime.excess import FIXES, Excess, Lookout
from vaas.runtime.gate import environment as gate_environment
from vaas.runtime.kernel import AUDIT_FILE, AUDIT_FOLDER
from vaas.runtime.manager import ConfinedKernelManager
from vaas.runtime.outline import WIDGETS, notable
from vaas.runtime.outputs import Outcome, cost_of, plain_traceback
from vaas.runtime.printed import Printed
from vaas.runtime.sandbox import HOME
from vaas.runtime.specs import AppSpecs

__all__ = ["Execution"]

_log = logging.getLogger(__name__)

_START_SECONDS = 60
#: Outputs beyond this are dropped: a page of that size would not show anyway.
_MAX_OUTPUT = 30_000_000
_MAX_KEPT_TEXT = 500_000
_MAX_FAILURES = 5
_MOST_HOSTS = 100
_MOST_WIDGETS = 3_000
_MAX_SOCKET_PATH = 95
_SAMPLE_SECONDS = 0.25
_BULKY = {"stream", "display_data", "execute_result", "update_display_data"}


class _Client(NotebookClient):
    """nbclient, with an eye on what passes by and an end to what it keeps."""

    outcome: Outcome
    budget = _MAX_OUTPUT
    #: Tracebacks that the cell showed: its own, or one that an Output widget caught.
    failures: list[dict[str, Any]]
    #: The little that is kept of widgets, by their id.
    shown: dict[str, dict[str, Any]]

    def page(self) -> dict[str, Any]:
        """Return the notebook as it is now, with its outputs and what its widgets show."""
        for comm_id, widget in self.comm_objects.items():
            if comm_id in self.shown:
                self.shown[comm_id]["state"]["outputs"] = widget.outputs
        return {"cells": self.nb.cells, "metadata": {"widgets": {WIDGETS: {"state": self.shown}}}}

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Look at the message, then let nbclient have it, unless the notebook has put out too much already."""
        kind, content, number = msg["msg_type"], msg["content"], cell_index + 1
        if cost := cost_of(msg):
            self.budget -= cost
            if self.budget < 0:
                return None
        if kind in _BULKY:
            self.outcome.seen.output(content, number)
            self._keep_text(content.get("text") or content.get("data", {}).get("text/plain"), number)
        elif kind == "error" and len(self.failures) < _MAX_FAILURES:
            self.failures.append(content)
        elif kind in {"comm_open", "comm_msg"}:
            return self._process_comm(msg, cell, cell_index)
        return super().process_message(msg, cell, cell_index)

    def _process_comm(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        data, comm_id = content.get("data"), content.get("comm_id")
        self.outcome.seen.widget(data.get("state") if isinstance(data, dict) else None, cell_index + 1)
        self._note_widget(str(comm_id), data)
        result = super().process_message(msg, cell, cell_index)
        # nbclient needs what it knows of Output widgets, and keeps the data of all the others as well.
        if comm_id not in self.comm_objects:
            self.widget_state.pop(comm_id, None)
            self.widget_buffers.pop(comm_id, None)
        return result

    def _note_widget(self, comm_id: str, data: Any) -> None:
        state = data.get("state") if isinstance(data, dict) else None
        if isinstance(state, dict) and (comm_id in self.shown or len(self.shown) < _MOST_WIDGETS):
            known = self.shown.setdefault(comm_id, {"model_name": str(state.get("_model_name"))[:100], "state": {}})
            known["state"] |= notable(state)

    def _keep_text(self, text: Any, number: int) -> None:
        kept = self.outcome.texts.get(number, "")
        if isinstance(text, str) and len(kept) < _MAX_KEPT_TEXT:
            self.outcome.texts[number] = kept + text


class Execution:
    """One run of a notebook; ``outcome`` can be read at any time."""

    def __init__(self, notebook: Notebook, *, folder: Path, cwd: Path, kernel: str, confinement: Confinement) -> None:
        self._notebook = notebook
        self._confinement = confinement
        self._limits = Lookout(confinement.bounds)
        self._printed = Printed(f"The check's kernel “{kernel}”")
        self._excess: Excess | None = None
        #: host → the cell that asked the gate for it.
        self._asked: dict[str, audit.Event] = {}
        self._folder = folder
        self._cwd = cwd
        self._kernel = kernel
        self._family: set[psutil.Process] = set()
        #: The cells that the kernel counts as In[1], In[2] …
        self._counted: list[int] = []
        self._over = False
        self.outcome = Outcome(cells=len(notebook.code))

    async def run(self, *, seconds: int, on_cell: Callable[[], Awaitable[None]]) -> Outcome:
        """Run the cells until one fails, the kernel dies or the time is up; ``on_cell`` is awaited before each.

        No process of the notebook is left when this returns or is cancelled.
        """
        patches.apply()
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vaas-check-", ignore_cleanup_errors=True) as private:
            try:
                await self._run_in(Path(private), seconds=seconds, on_cell=on_cell)
            finally:
                self.outcome.seconds = round(time.monotonic() - started, 2)
                self.outcome.events = audit.read(Path(private) / "audit") + list(self._asked.values())
        return self.outcome

    async def _run_in(self, private: Path, *, seconds: int, on_cell: Callable[[], Awaitable[None]]) -> None:
        connection = str(private / "k")
        manager = ConfinedKernelManager(
            confinement=await asyncio.to_thread(self._confine, private),
            # A kernel that died is told of; another in its place would run nothing.
            autorestart=False,
            kernel_name=self._kernel,
            kernel_spec_manager=AppSpecs(python=self._confinement.python),
            # Nobody else on this machine can listen at a socket in a private folder; its path has to be short.
            transport="ipc" if len(connection) < _MAX_SOCKET_PATH else "tcp",
            connection_file=connection,
        )
        work = asyncio.create_task(self._work(manager, private, seconds=seconds, on_cell=on_cell))
        watch = asyncio.create_task(self._watch(manager))
        try:
            # A cancelled nbclient takes that for a dead kernel, so it runs in a task of its own.
            await asyncio.wait({work}, timeout=seconds)
            if work.done():
                work.result()
            else:
                self._say_timeout(seconds, line=await self._interrupt(manager, work))
        except Exception:
            _log.exception("The check of a notebook failed by itself.")
            self._say("died", "The check came to an unexpected end; the server's log says why.", "Check it again.")
        finally:
            self._over = True
            watch.cancel()
            self._measure(manager)
            self._kill()
            work.cancel()
            await asyncio.wait({work, watch}, timeout=5)
            with contextlib.suppress(RuntimeError, OSError, asyncio.TimeoutError):
                async with asyncio.timeout(5):
                    await manager.shutdown_kernel(now=True)
            self._printed.close()

    def _confine(self, private: Path) -> Confinement:
        """Return the confinement in which the notebook's folder is seen, and the file for the notes can be written."""
        notes = private / "audit"
        notes.touch()
        notes.chmod(0o666)
        view, read, placed = self._confinement.view, [self._folder], dict[Path, Path]()
        if os.geteuid() == 0 and not _open_to_all(self._folder):
            # The kernel is another system user then, and gets a copy in the folder's place.
            copy = private / "copy"
            shutil.copytree(self._folder, copy, symlinks=True)
            open_up(copy)
            read, placed = [], {self._folder: copy}
        view = replace(view, read=(*view.read, *read), placed=placed, written=(notes,))
        return replace(self._confinement, view=view)

    async def _work(self, manager: Any, private: Path, *, seconds: int, on_cell: Callable[[], Awaitable[None]]) -> None:
        node = nbformat.from_dict(_as_nbformat(self._notebook))
        client = _Client(node, km=manager, iopub_timeout=30)
        client.outcome, client.failures, client.shown = self.outcome, [], {}
        try:
            await self._start(manager, client, private, seconds=seconds)
            for index, cell in enumerate(self._notebook.cells):
                if cell.runs and "skip-execution" not in cell.tags:
                    self.outcome.started += 1
                    self.outcome.cell = cell.index
                    self._counted.append(cell.index)
                    audit.mark_cell(private / "audit", cell.index)
                    await on_cell()
                    await client.async_execute_cell(node.cells[index], index)
                    self._add_errors(cell, client.failures)
        except CellExecutionError as error:
            shown = client.failures or [{"ename": error.ename, "evalue": error.evalue, "traceback": []}]
            self._add_errors(self._notebook.cells[self.outcome.cell - 1], shown)
        except DeadKernelError:
            if not self._over:
                self._say_died(manager)
        except _NotStarted as error:
            self._say("kernel", str(error), "Choose another kernel in Jupyter and save the notebook, or ask for help.")
        finally:
            self.outcome.page = client.page()
            if client.kc is not None:
                client.kc.stop_channels()

    async def _start(self, manager: Any, client: _Client, private: Path, *, seconds: int) -> None:
        home = private / "home" if self._confinement.sandbox is None else HOME
        if self._confinement.sandbox is None:
            (home / "tmp").mkdir(parents=True, mode=0o700)
        environ = self._confinement.python.environ(os.environ)
        env = kernel_environment(environ, home=home, fonts=home / ".config/matplotlib", request={})
        env |= {AUDIT_FILE: str(private / "audit"), AUDIT_FOLDER: str(self._folder)}
        if gate := self._confinement.open_gate:
            gate.heard = self._hear
            env |= gate_environment()
        try:
            with self._printed.pipe() as stream:
                await manager.start_kernel(cwd=str(self._cwd), env=env, stdout=stream, stderr=stream)
            client.kc = manager.client()
            client.kc.start_channels()
            await client.kc.wait_for_ready(timeout=min(_START_SECONDS, seconds))
        except (RuntimeError, OSError, NoSuchKernel) as error:
            self._printed.close()
            last = self._printed.last[-1] if self._printed.last else ""
            last = re.sub(r"(?:/[\w.@+-]+)+/(?=[\w.-])", "", last)[:300]
            raise _NotStarted(f"The kernel “{self._kernel}” did not start: {last or error}") from error
        client.kc.allow_stdin = False

    async def _watch(self, manager: Any) -> None:
        while True:
            # In a thread: it looks through all processes of the machine.
            await asyncio.to_thread(self._measure, manager)
            self._excess = self._excess or await asyncio.to_thread(self._greed, manager)
            if self._excess:
                self._kill()
            await asyncio.sleep(_SAMPLE_SECONDS)

    def _greed(self, manager: Any) -> Excess | None:
        pid = getattr(manager.provisioner, "pid", None)
        return self._limits.look({"": pid}).get("") if pid else None

    def _measure(self, manager: Any) -> None:
        """Note who belongs to the kernel's family, and how much memory they have together."""
        with contextlib.suppress(psutil.Error, AttributeError, TypeError):
            main = psutil.Process(manager.provisioner.pid)
            family = [main, *main.children(recursive=True)]
            self._family.update(family)
            together = sum(_resident(process) for process in family)
            highest = max(_high_water(process.pid) for process in family)
            self.outcome.peak_bytes = max(self.outcome.peak_bytes, together, highest)

    def _kill(self) -> None:
        # psutil knows a process by its start too, so nobody is killed who got the same number.
        for process in list(self._family):
            with contextlib.suppress(psutil.Error):
                process.kill()

    async def _interrupt(self, manager: Any, work: asyncio.Task[None]) -> int:
        """Ask the stuck cell where it is; 0 when it does not say."""
        if not manager.has_kernel:
            return 0
        await manager.interrupt_kernel()
        await asyncio.wait({work}, timeout=2)
        if not self.outcome.errors or self.outcome.errors[-1]["name"] != "KeyboardInterrupt":
            return 0
        lines = re.findall(r"^Cell \d+, line (\d+)", self.outcome.errors.pop()["traceback"], re.MULTILINE)
        return int(lines[0]) if lines else 0

    def _add_errors(self, cell: Cell, failures: list[dict[str, Any]]) -> None:
        for content in failures if "raises-exception" not in cell.tags else ():
            self.outcome.errors.append(
                {
                    "cell": cell.index,
                    "name": str(content.get("ename", "")),
                    "message": str(content.get("evalue", ""))[:2_000],
                    "traceback": self._readable(content.get("traceback") or ()),
                    "source": cell.source[:20_000],
                }
            )
        failures.clear()

    def _readable(self, lines: Iterable[Any]) -> str:
        hidden = {f"{folder}/": "" for folder in (self._cwd, self._folder)}
        hidden |= {f"Cell In[{count}]": f"Cell {index}" for count, index in enumerate(self._counted, start=1)}
        return plain_traceback(list(map(str, lines)), hidden=hidden)

    def _hear(self, host: str) -> None:
        if len(self._asked) < _MOST_HOSTS:
            self._asked.setdefault(host, audit.Event("connect", host, self.outcome.cell))

    def _say(self, kind: str, text: str, fix: str) -> None:
        self.outcome.problems.append({"kind": kind, "text": text, "fix": fix})

    def _say_timeout(self, seconds: int, *, line: int) -> None:
        if not self.outcome.cell:
            self._say("timeout", f"The kernel was not ready after {seconds} seconds.", "Check it again.")
            return
        where = f" at line {line}" if line else ""
        self._say(
            "timeout",
            f"Cell {self.outcome.cell} was still running{where} when the {seconds} seconds of the check were over.",
            "Visitors would wait as long. Compute beforehand, save the result to a file, and load that.",
        )

    def _say_died(self, manager: Any) -> None:
        if self._excess:
            text = f"While cell {self.outcome.cell} ran: {self._excess.text}"
            self._say(self._excess.kind, text, FIXES[self._excess.kind])
            return
        process = getattr(manager.provisioner, "process", None)
        code = process.poll() if process is not None else None
        fix = FIXES["memory"] if signal_of(code) == signal.SIGKILL else "Run it in Jupyter."
        self._say("died", f"The kernel died while cell {self.outcome.cell} ran: {how_it_ended(code)[1]}.", fix)


def _open_to_all(folder: Path) -> bool:
    """Tell whether any system user may read what is in the folder."""
    paths = (folder, *folder.rglob("*"))
    return all(path.stat().st_mode & 0o5 == 0o5 if path.is_dir() else path.stat().st_mode & 0o4 for path in paths)


class _NotStarted(Exception):
    """The kernel did not come up; the message says why."""


def _as_nbformat(notebook: Notebook) -> dict[str, Any]:
    """Return the cells alone, without what was saved as their outputs."""
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [_as_cell(cell) for cell in notebook.cells]}


def _as_cell(cell: Cell) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": cell.kind, "source": cell.source, "metadata": {"tags": list(cell.tags)}}
    return {**made, "outputs": [], "execution_count": None} if cell.kind == "code" else made


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _high_water(pid: int) -> int:
    """Return the most memory that the process ever had, which sampling may have missed; 0 where that is not told."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0
