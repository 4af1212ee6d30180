"""Kernels that are not started but forked from a frozen one: the server's half of a template."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.connect import port_names

from vaas.errors import Unavailable
from vaas.machine.processes import children_of, namespace_of, temporary_of
from vaas.runtime.channel import Channel, pair
from vaas.runtime.doors import Doors
from vaas.runtime.excess import MOST_FILES
from vaas.runtime.manager import SOCKETS, ConfinedKernelManager
from vaas.runtime.sandbox import SHARED_MEMORY
from vaas.runtime.warden import PLACES

__all__ = ["CHANNELS", "ForkedKernelManager", "Forked", "Frozen"]

#: What a page of ours speaks by. Of Jupyter's others, one is for input, which no page gives, and one for signals.
CHANNELS = ("shell", "iopub")
#: How long a fork may take, in seconds; a machine may be very busy.
_PATIENCE = 20.0
#: So many files more fit into a place than make its visit end: the lookout is to see them, and say so.
_SOME = 10_000
#: So often it is looked for what a fork has left: who starts processes faster than that is the lookout's.
_ROUNDS = 20


class Forked:
    """A forked process, with the face of a ``subprocess.Popen``: somebody else is its parent.

    ``inner`` is its number in its sandbox, by which its end is told.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, *, inner: int) -> None:
        self.pid, self.inner = pid, inner
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)
        self._watch = select.poll()
        self._watch.register(self._handle, select.POLLIN)
        self._looked = False

    @property
    def gone(self) -> bool:
        """Whether it has ended, by the system's own word."""
        return self._handle < 0 or bool(self._watch.poll(0))

    def poll(self) -> int | None:
        """Return its exit code, None while it runs; that it was killed, if nobody could tell."""
        if self.returncode is None and self.gone:
            # Who told nobody by the second look is dead as well.
            if self._looked:
                self.returncode = -signal.SIGKILL
            self._looked = True
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its exit code; it has ended when this is called."""
        return self.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal to this very process; no-op when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, signum)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let go of it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@dataclass
class Frozen:
    """A frozen kernel: what forks are made by.

    ``channel`` leads to it; ``warden`` is who makes places for its forks in its sandbox (``sandboxed``), and
    ``monitor`` the process that all of them are below.
    """

    channel: Channel
    warden: Channel
    sandboxed: bool
    monitor: int
    #: Number in the sandbox → the fork.
    children: dict[int, Forked] = field(default_factory=dict)
    numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def heard(self, said: dict[str, Any]) -> bool:
        """Take what the template or its warden say, which fork has ended, and how; tell whether it was due.

        The template is foreign: of a fork that is still there it tells nothing.
        """
        number, code = said.get("ended"), said.get("code")
        fork = self.children.get(number) if isinstance(number, int) else None
        if fork is None or not isinstance(code, int) or not fork.gone:
            return False
        del self.children[fork.inner]
        fork.returncode = code
        return True


class ForkedKernelManager(ConfinedKernelManager):
    """Forks its kernel from ``frozen``.

    ``stays``: it gets no place of its own, to be frozen itself. ``channels``: those of Jupyter's that it has; each
    costs a visit time.
    """

    frozen: Frozen
    stays = False
    channels: Sequence[str] = CHANNELS
    _place = 0
    _process: Forked | None = None

    async def _launch(self, kernel_cmd: list[str], **kw: Any) -> None:
        frozen, printed, env = self.frozen, kw["stdout"], kw["env"]
        number = frozen.numbers()
        if frozen.sandboxed and not self.stays:
            await self._make_place(number)
        connection = {**self.get_connection_info(), "key": self.session.key.decode(), "channels": self.channels}
        if frozen.sandboxed:
            connection |= {"ip": f"{SOCKETS}-{number}" if self.stays else SOCKETS}
        with ExitStack() as open_files:
            ours, theirs = pair()
            open_files.enter_context(theirs)
            self.channel = Channel(ours, heard=self._hear)
            alive = self.channel.expect("alive")
            root = None if self.stays else f"{PLACES}/{number}" if frozen.sandboxed else ""
            order = {"do": "fork", "root": root, "connection": connection, "env": _changed(env, frozen.sandboxed)}
            frozen.channel.send(order, fds=[printed, theirs.fileno()])
        self._take(await self.channel.wait(alive, seconds=_PATIENCE), sockets=connection["ip"])

    def write_connection_file(self, **kwargs: Any) -> None:
        """Write none in a place of its own, where the fork's sockets are alone: it is told by its channel."""
        if self.stays or not self.frozen.sandboxed:
            super().write_connection_file(**kwargs)
            return
        for number, name in enumerate(port_names, start=1):
            setattr(self, name, number)

    async def _async_post_start_kernel(self, **kw: Any) -> None:
        """Nothing: neither is it ever restarted, nor is it told to end by a socket."""

    async def _async_request_shutdown(self, restart: bool = False) -> None:
        """Let go of its channel: it ends when nobody is there, and what is registered for the end runs."""
        if self.channel is not None:
            self.channel.close()

    async def _make_place(self, number: int) -> None:
        bounds = self.confinement.bounds
        memory = min(SHARED_MEMORY, bounds.disk)
        asked = {"make": number, "disk": bounds.disk, "memory": memory, "files": MOST_FILES + _SOME}
        made = await self.frozen.warden.ask(asked, "made", seconds=_PATIENCE)
        if "error" in made:
            raise Unavailable("The app's kernel could not be started.", log_message=f"No place: {made['error']}")
        self._place = number

    def _take(self, said: dict[str, Any], *, sockets: str) -> None:
        """Take who says that it is alive for the fork: who that is the system says."""
        try:
            process = self._process = Forked(said["sender"], inner=int(said["alive"]))
            if self.frozen.sandboxed:
                self._find_place(process, sockets)
            if process.gone:
                raise ProcessLookupError("It has ended.")
        except (OSError, TypeError, ValueError) as error:
            raise Unavailable("The app's kernel could not be started.", log_message=f"No fork: {error}") from error
        self.provisioner.process, self.provisioner.pid, self.provisioner.pgid = process, process.pid, None
        self.frozen.children[process.inner] = process

    def _find_place(self, process: Forked, sockets: str) -> None:
        """Open the doors of the fork. Raises OSError when it is none of ours.

        By the time that we read what a process said, it may have ended, and its number may be somebody else's: another
        app's kernel, say. So its sandbox is looked at, and our caller sees that it was there all the while.
        """
        first, *_ = children_of(self.frozen.monitor) or [0]
        if not first or namespace_of(process.pid) != namespace_of(first):
            raise ProcessLookupError("It is not in the sandbox.")
        self._doors = Doors(Path(self.connection_file).with_suffix(".doors"))
        numbers = [getattr(self, f"{name}_port") for name in self.channels]
        if not self._doors.find([process.pid], sockets=sockets, numbers=numbers):
            raise FileNotFoundError("It has no sockets.")
        if not self.stays:
            self.device = temporary_of(process.pid)

    def _make_url(self, channel: str) -> str:
        if not self.frozen.sandboxed:
            return str(super()._make_url(channel))
        if self._doors is None:
            raise Unavailable("The app's kernel has ended.", log_message="Its doors are closed.")
        return f"ipc://{self._doors.path(getattr(self, f'{channel}_port'))}"

    def cleanup_ipc_files(self) -> None:
        """Remove nothing from here: sockets in a sandbox go with it."""
        if not self.frozen.sandboxed:
            super().cleanup_ipc_files()

    def client(self, **kwargs: Any) -> Any:
        """Return a client of the kernel: one goes by names that are alike, as pages do not."""
        if self._doors is not None:
            self.ip = self._doors.prefix
        return super().client(**kwargs)

    async def _async_signal_kernel(self, signum: int) -> None:
        if self.has_kernel:
            self.provisioner.process.send_signal(signum)

    async def _async_interrupt_kernel(self) -> None:
        await self._async_signal_kernel(signal.SIGINT)

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if self._process is not None:
            # One that is no kernel of ours yet is killed by nobody else, if it is ours at all.
            if self._process.inner not in self.frozen.children and self.device:
                self._process.kill()
            self._process.close()
        if self._place:
            place, self._place = self._place, 0
            await asyncio.get_running_loop().run_in_executor(None, _end_all_in, self.device)
            with contextlib.suppress(Unavailable):
                self.frozen.warden.send({"drop": place})

    signal_kernel = _async_signal_kernel
    interrupt_kernel = _async_interrupt_kernel
    cleanup_resources = _async_cleanup_resources
    post_start_kernel = _async_post_start_kernel
    request_shutdown = _async_request_shutdown


def _changed(env: dict[str, str], sandboxed: bool) -> dict[str, str]:
    """Return what of the environment is another one in each fork: in a sandbox all homes have the same name."""
    return {} if sandboxed else {name: env[name] for name in env if name == "HOME" or name == "TMPDIR" or "XDG" in name}


def _end_all_in(device: int) -> None:
    """Kill what a fork has started and left in its place: its temporary folder is that of nobody else.

    All processes are looked at: of one whose children end meanwhile, Linux tells not all of them.
    """
    halted = set[int]()
    for _ in range(_ROUNDS if device else 0):
        # Who stands still starts no others: a bomb is faster than we are.
        new = [pid for pid in _all_in(device) if pid not in halted and _tell_in(device, pid, signal.SIGSTOP)]
        if not new:
            break
        halted.update(new)
    for _ in range(_ROUNDS if halted else 0):
        if not any([_tell_in(device, pid, signal.SIGKILL) for pid in _all_in(device)]):
            return


def _all_in(device: int) -> list[int]:
    """Return those that are there, the youngest first: the system wakes who stands still when their parent ends."""
    all_there_are = sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True)
    return [pid for pid in all_there_are if temporary_of(pid) == device]


def _tell_in(device: int, pid: int, signum: int) -> bool:
    """Send the signal to the process if it is in the place; tell whether it was."""
    try:
        process = Forked(pid, inner=0)
    except OSError:
        return False
    try:
        there = temporary_of(pid) == device and not process.gone
        if there:
            process.send_signal(signum)
        return there
    finally:
        process.close()
