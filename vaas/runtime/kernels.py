"""Kernels of visits: how they are started, what they may see, and how they end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vaas.facts import Facts
from vaas.runtime import gate
from vaas.runtime.activity import WatchedKernels
from vaas.runtime.asking import Beginning
from vaas.runtime.caches import FontCache
from vaas.runtime.channel import Channel
from vaas.runtime.confinement import Confinement
from vaas.runtime.content import discard
from vaas.runtime.endings import how_it_ended
from vaas.runtime.environment import kernel_environment
from vaas.runtime.excess import Excess, Lookout
from vaas.runtime.forks import CHANNELS, ForkedKernelManager, Frozen
from vaas.runtime.logged import Logged
from vaas.runtime.manager import ConfinedKernelManager
from vaas.runtime.modes import Verdict
from vaas.runtime.printed import Printed
from vaas.runtime.python import KernelPython
from vaas.runtime.sandbox import HOME
from vaas.runtime.sources import Sources
from vaas.runtime.specs import AppSpecs
from vaas.runtime.warden import TEMPORARY

__all__ = ["HIDDEN_ERROR", "Kernels", "StartedKernels"]

#: What a visitor reads in place of a traceback that comes up after the page was shown.
HIDDEN_ERROR = "This part could not be computed. The owner of this page finds the reason in its log."
#: How long a kernel may take to say goodbye (exit hooks of the notebook run) before it is killed.
_GOODBYE = 1.5
#: How long all of them together may take to be killed, when the server ends.
_FAREWELL = 10.0
_LONGEST_SOCKET = 107
#: How long a kernel that is idle may take to answer, in seconds: to freeze one, its memory is gone through.
_PATIENCE = 30.0
#: Of so many functions that fail when a visit begins something is said.
_MOST_FAILED = 5


class StartedKernels(WatchedKernels):
    """Jupyter's kernels, each with a manager of the class that its start names."""

    def pre_start_kernel(self, kernel_name: Any, kwargs: Any) -> Any:
        """Make the kernel's manager, of the class ``manager_class``, and set it up by ``traits``."""
        self.kernel_manager_factory = kwargs.pop("manager_class")
        traits = kwargs.pop("traits")
        manager, name, kernel_id = super().pre_start_kernel(kernel_name, kwargs)
        # One of its own would be two threads for each, and to end it would wait for messages that nobody takes.
        manager.context = self.context
        for key, value in traits.items():
            setattr(manager, key, value)
        return manager, name, kernel_id


class Kernels:
    """Start and stop kernels in the folder of the notebook, each with a private home that goes when it goes.

    Parameters
    ----------
    folder:
        A private folder that has the version's files in ``content``.
    notebook:
        The notebook's path in them.
    environ:
        The server's own environment, of which kernels get a little.
    confinement:
        How kernels are confined; the version's files are added to what they see.
    mapping:
        Where kernels are kept, if not in a mapping of their own.
    """

    #: Those of Jupyter's by which visits speak with their forks.
    channels: Sequence[str] = CHANNELS

    def __init__(
        self,
        *,
        folder: Path,
        notebook: str,
        environ: Mapping[str, str],
        confinement: Confinement,
        mapping: StartedKernels | None = None,
    ) -> None:
        self._cwd = (folder / "content" / notebook).parent
        self._homes = folder / "homes"
        self._shared = folder / "shared"
        self._environ = confinement.python.environ(environ)
        self._connections = folder / "connections"
        for made in (self._homes, self._shared, self._connections):
            made.mkdir(mode=0o700)
        self._shared.chmod(0o755)
        self._fonts = FontCache(self._shared / "matplotlib", code=self._cwd)
        view = replace(confinement.view, read=(*confinement.view.read, folder / "content", self._shared))
        self._confinement = replace(confinement, view=view)
        self._lookout = Lookout(confinement.bounds)
        # Its own: what fills the common threads must not keep it from looking.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lookout")
        self._printed: dict[str, Printed] = {}
        self.specs = AppSpecs(python=confinement.python)
        # None is ever restarted: a restarted kernel is empty behind a page full of widgets.
        self._traits = {
            "autorestart": False,
            "kernel_spec_manager": self.specs,
            "shutdown_wait_time": _GOODBYE,
            "transport": _transport(self._connections),
        }
        self.mapping = self._own_mapping() if mapping is None else mapping

    @property
    def python(self) -> KernelPython:
        """The Python that kernels are."""
        return self._confinement.python

    def _own_mapping(self) -> StartedKernels:
        return StartedKernels(
            connection_dir=str(self._connections),
            kernel_spec_manager=self.specs,
            allow_tracebacks=False,
            traceback_replacement_message=HIDDEN_ERROR,
        )

    async def start(self, name: str, *, request: Mapping[str, str], ahead: bool = False) -> str:
        """Start a kernel and return its id; one that runs ``ahead`` of its visit can be talked to, and be frozen."""
        return await self._start(name, request=request, manager_class=ConfinedKernelManager, traits={"ahead": ahead})

    async def start_for(self, name: str, facts: Facts, *, seconds: float) -> str:
        """Start a kernel for one visit and return its id.

        One that may ask the portal is told how when it runs: more than its process sees an environment.
        """
        if facts.way is None or not self.specs.is_ours(name):
            return await self.start(name, request=facts.environ)
        kernel_id = await self.start(name, request={}, ahead=True)
        try:
            await self.begin(kernel_id, facts, seconds=seconds)
        except BaseException:
            await self.stop(kernel_id, now=True)
            raise
        return kernel_id

    async def fork(self, name: str, frozen: Frozen, *, stays: bool = False) -> str:
        """Fork a kernel from a frozen one and return its id; one that ``stays`` is to be frozen itself."""
        traits = {"ahead": True, "frozen": frozen, "stays": stays, "channels": self.channels}
        return await self._start(name, request={}, manager_class=ForkedKernelManager, traits=traits)

    async def _start(
        self, name: str, *, request: Mapping[str, str], manager_class: type, traits: Mapping[str, Any]
    ) -> str:
        kernel_id = str(self.mapping.new_kernel_id())
        home = self._homes / kernel_id
        if self._confinement.sandbox is None:
            (home / "tmp").mkdir(mode=0o700, parents=True)
        env = self._environment(home, request=request, ahead=bool(traits["ahead"])) | {"VOILA_KERNEL_ID": kernel_id}
        printed = self._printed[kernel_id] = Printed(f"Kernel {kernel_id}")
        own = {
            "confinement": replace(self._confinement, copies=self._fonts.copies()),
            "connection_file": str(self._connections / f"kernel-{kernel_id}.json"),
        }
        try:
            with printed.pipe() as stream:
                await self.mapping.start_kernel(
                    kernel_id=kernel_id,
                    kernel_name=name,
                    cwd=str(self._cwd),
                    env=env,
                    stdout=stream,
                    stderr=stream,
                    manager_class=manager_class,
                    traits={**self._traits, **traits, **own},
                )
        except BaseException:
            self._printed.pop(kernel_id).close()
            # Jupyter remembers each start that failed.
            self.mapping._pending_kernels.pop(kernel_id, None)
            discard(home)
            raise
        return kernel_id

    async def asked(self, kernel_id: str) -> frozenset[str]:
        """Return what the notebook has asked for of its visitor so far, in a kernel that runs ahead."""
        answer = await self._channel(kernel_id).ask({"do": "asked"}, "asked", seconds=_PATIENCE)
        return frozenset(str(aspect) for aspect in answer["asked"])

    async def sources(self, kernel_id: str) -> Sources:
        """Return what the notebook has read so far, in a kernel that runs ahead."""
        answer = await self._channel(kernel_id).ask({"do": "sources"}, "sources", seconds=_PATIENCE)
        return Sources.of(answer["sources"], roots=self._roots())

    async def begin(self, kernel_id: str, facts: Facts, *, seconds: float) -> Beginning:
        """Begin a visit in a kernel that ran ahead of it; Unavailable if what the author does then takes longer."""
        own = replace(facts, request={**facts.request, "VOILA_KERNEL_ID": kernel_id})
        told = {"do": "begin", "facts": own.to_json()}
        beginning = _beginning(await self._channel(kernel_id).ask(told, "begun", seconds=seconds), most=seconds)
        logged = Logged(f"Kernel {kernel_id}")
        for _, trace in beginning.failed:
            logged.say(f"A function given to vaas.on_visit failed:\n{trace.rstrip()}", level=logging.WARNING)
        return beginning

    async def freeze(self, kernel_id: str, *, source: Frozen | None = None) -> tuple[Frozen, Verdict, Sources]:
        """Freeze a kernel that is idle; return what forks are made by, whether they may be, and what it read.

        ``source`` is what the kernel itself was forked from. The kernel answers nobody from now on.
        """
        kernel = self.mapping.get_kernel(kernel_id)
        self.mapping.stop_watching_activity(kernel_id)
        sandboxed = self._confinement.sandbox is not None
        folders = [*TEMPORARY] if sandboxed else [str(self._homes / kernel_id / "tmp")]
        said = await kernel.channel.ask({"do": "freeze", "folders": folders}, "frozen", seconds=_PATIENCE)
        if source is None:
            frozen = Frozen(kernel.channel, kernel.warden, sandboxed, kernel.provisioner.pid)
        else:
            frozen = replace(source, channel=kernel.channel)
        kernel.warned, kernel.frozen = frozen.heard, frozen
        return frozen, Verdict.of(said, sandboxed=sandboxed), Sources.of(said["sources"], roots=self._roots())

    def _roots(self) -> tuple[Path, ...] | None:
        """Return where a kernel in its sandbox finds data that may change."""
        sandbox = self._confinement.sandbox
        return None if sandbox is None else (*sandbox.paths, self._cwd)

    def talks(self, kernel_id: str) -> bool:
        """Tell whether the kernel can be asked, and be told that a visit begins."""
        return self.mapping.get_kernel(kernel_id).channel is not None

    def forks(self, frozen: Frozen, *, besides: Iterable[str]) -> bool:
        """Tell whether there are forks of it that are none of these kernels."""
        known = {kernel.provisioner.pid for kernel_id in besides if (kernel := self._kernel(kernel_id)) is not None}
        return any(fork.pid not in known and not fork.gone for fork in frozen.children.values())

    def _kernel(self, kernel_id: str) -> ConfinedKernelManager | None:
        kernel: ConfinedKernelManager | None = self.mapping.get_kernel(kernel_id) if kernel_id in self.mapping else None
        return kernel

    def lives(self, kernel_id: str) -> bool:
        """Tell whether the kernel is there."""
        return kernel_id in self.mapping and self.mapping.get_kernel(kernel_id).exit_code is None

    def owns(self, kernel_id: str) -> bool:
        """Tell whether the kernel was started here."""
        return kernel_id in self._printed

    def _channel(self, kernel_id: str) -> Channel:
        channel = self.mapping.get_kernel(kernel_id).channel
        assert isinstance(channel, Channel)  # it runs ahead
        return channel

    def _environment(self, home: Path, *, request: Mapping[str, str], ahead: bool) -> dict[str, str]:
        confinement = self._confinement
        make = partial(kernel_environment, self._environ, request=request, ahead=ahead)
        if confinement.sandbox is None:
            return make(home=home, fonts=self._shared / "matplotlib")
        env = make(home=HOME, fonts=HOME / FontCache.PLACE)
        return env | (gate.environment() if confinement.open_gate else {})

    async def stop(self, kernel_id: str, *, now: bool = False) -> None:
        """End the kernel and remove its home; no-op when it has ended."""
        if kernel_id in self.mapping:
            await self.mapping.shutdown_kernel(kernel_id, now=now)
        await self.clear(kernel_id)

    async def clear(self, kernel_id: str) -> None:
        """Remove what an ended kernel leaves; no-op when that is done."""
        printed = self._printed.pop(kernel_id, None)
        if printed is not None:
            printed.close()
        if self._confinement.sandbox is None:
            await asyncio.get_running_loop().run_in_executor(None, discard, self._homes / kernel_id)

    async def stop_all(self) -> None:
        """Kill every kernel that was started here, at once."""
        self._fonts.close()
        self._thread.shutdown(wait=False)
        ids = [kernel_id for kernel_id in self.mapping.list_kernel_ids() if self.owns(kernel_id)]
        ending = asyncio.gather(*(self.stop(kernel_id, now=True) for kernel_id in ids), return_exceptions=True)
        await asyncio.wait({ending}, timeout=_FAREWELL)

    def close(self) -> None:
        """Let go of all connections, when all kernels have ended: nobody takes what waits to be sent."""
        self.mapping.context.destroy(linger=0)

    async def dead(self) -> dict[str, Excess]:
        """Return the kernels whose process has ended by itself, with why; none whose forks are still there.

        With a template's kernel ends its sandbox, and with that all visits in it.
        """
        found = {}
        for kernel_id in list(self.mapping.list_kernel_ids()):
            kernel = self.mapping.get_kernel(kernel_id)
            if kernel.has_kernel and not await kernel.is_alive() and not kernel.forks:
                found[kernel_id] = _end_of(kernel.exit_code, full=kernel_id in self._lookout.full)
        return found

    def stuck(self, *, seconds: float) -> set[str]:
        """Return the kernels that have worked on one request for longer than that."""
        return {kernel for kernel in self.mapping.list_kernel_ids() if self.mapping.activity(kernel).seconds > seconds}

    async def greedy(self) -> dict[str, Excess]:
        """Return the kernels that use more than they may, with what of."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._lookout.look, *self._running())

    async def memory(self) -> dict[str, int]:
        """Return how much memory each kernel has; of what it shares with others, its part."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._lookout.memory, *self._running())

    def _running(self) -> tuple[dict[str, int], dict[str, int]]:
        kernels = {kernel_id: self.mapping.get_kernel(kernel_id) for kernel_id in self.mapping.list_kernel_ids()}
        running = {kernel_id: kernel.provisioner.pid for kernel_id, kernel in kernels.items() if kernel.has_kernel}
        # Those of kernels that are being ended, too: what is left in there is nobody else's.
        return running, {kernel_id: kernel.device for kernel_id, kernel in kernels.items() if kernel.device}

    def model(self, kernel_id: str) -> dict[str, Any]:
        """Return what Jupyter's API says of a kernel."""
        return dict(self.mapping.kernel_model(kernel_id))


def _beginning(said: Mapping[str, Any], *, most: float) -> Beginning:
    """Return what a kernel, which is foreign, says of the beginning of its visit; a name is one of Python's."""
    told = said.get("failed")
    pairs = [pair for pair in told if isinstance(pair, list) and len(pair) == 2] if isinstance(told, list) else []
    failed = [(str(name), str(trace)) for name, trace in pairs[:_MOST_FAILED]]
    seconds = said.get("seconds")
    took = min(max(0.0, seconds), most) if isinstance(seconds, float) else 0.0
    return Beginning(tuple((name if name.isidentifier() else "an error", trace) for name, trace in failed), took)


def _end_of(code: int | None, *, full: bool) -> Excess:
    kind, reason = how_it_ended(code, full=full)
    return Excess(kind, f"The kernel of an open page died: {reason}.")


def _transport(connections: Path) -> str:
    """Prefer sockets in a private folder: a TCP port of a kernel publishes its output to every account of the machine.

    The system allows only short names for such sockets, so a deep temporary folder falls back to TCP.
    """
    longest = connections / f"kernel-{'0' * 36}-ipc-5"
    return "ipc" if sys.platform == "linux" and len(str(longest).encode()) < _LONGEST_SOCKET else "tcp"
