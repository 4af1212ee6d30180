"""Jupyter's manager of one kernel, which starts the kernel confined: in a sandbox where there is one, in its limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from traitlets import Any as AnyTrait
from traitlets import Bool

from vaas.events import happens
from vaas.machine.bubblewrap import filter_file
from vaas.machine.processes import children_of, make_expendable
from vaas.runtime.activity import BUFFER
from vaas.runtime.channel import CHANNEL, Channel, pair
from vaas.runtime.doors import Doors
from vaas.runtime.sandbox import HOME, Sandbox, Ward, accounts, bare_command, order

__all__ = ["CONNECTION_FILE", "SOCKETS", "ConfinedKernelManager"]

#: Where a kernel's sockets are in its sandbox, without their numbers, and the file that tells it so.
SOCKETS = str(HOME.parent / ".kernel")
CONNECTION_FILE = str(HOME.parent / ".kernel.json")
#: How long the sandbox may take until it hands its gate out, in seconds.
_START = 20.0
#: How often a new kernel's sockets are looked for, and how soon (ms) who found none tries again.
_LOOK, _AGAIN = 0.01, 20
#: So often what one kernel may start may be there for all forks together: few of many start more than a handful, and
#: one that starts what it can has to leave the machine, and the lookout, something.
_FORKS = 16


class ConfinedKernelManager(ServerKernelManager):
    """Starts its kernel as ``confinement`` says."""

    confinement = AnyTrait()
    #: Whether the kernel runs ahead of its visits: it can be talked to, and frozen and forked.
    ahead = Bool(False)
    #: To the kernel itself and to the warden of its forks; None unless ``ahead``.
    channel: Channel | None = None
    warden: Channel | None = None
    #: Called with what a warden says by itself.
    warned: Callable[[dict[str, Any]], bool] | None = None
    #: What it is frozen as, once it is.
    frozen: Any = None
    #: Of a fork in a place of its own: the device of its temporary folder. 0: it is no such fork.
    device = 0
    _doors: Doors | None = None
    _finding: asyncio.Future[None] | None = None
    _listening: Any = None
    #: The kernel's number in its sandbox, and the code it ended with: as its warden says.
    _kernel = 0
    _code: int | None = None
    #: The first process in the sandbox.
    _init = 0

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        if self.confinement.sandbox is not None:
            # What the kernel is told; we go in by other doors.
            self.transport, self.ip = "ipc", SOCKETS
            self.context.reconnect_ivl = _AGAIN
        self.context.maxmsgsize = BUFFER
        started: tuple[list[str], dict[str, Any]] = await super()._async_pre_start_kernel(**kw)
        return started

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        try:
            await self._launch(kernel_cmd, **kw)
        except BaseException:
            if self.has_kernel:
                await self.provisioner.kill()
            await self._async_cleanup_resources()
            raise

    async def _launch(self, kernel_cmd: list[str], **kw: Any) -> None:
        if shutil.which(kernel_cmd[0], path=kw["env"].get("PATH")) is None:
            raise FileNotFoundError(f"There is no program {kernel_cmd[0]!r}.")
        cwd = str(kw.pop("cwd", None) or os.getcwd())
        confinement = self.confinement
        with ExitStack() as open_files:
            ward = self._make_ward(open_files) if self.ahead else Ward()
            kw["env"] = kw["env"] | ({CHANNEL: str(ward.channel)} if self.ahead else {})
            if confinement.sandbox is None:
                bounds = replace(confinement.bounds, processes=0)  # they would be counted with all of ours
                told = order(kernel_cmd, cwd=cwd, bounds=bounds, ward=ward)
                await super()._async_launch_kernel(
                    bare_command(), **kw, cwd="/", stdin=subprocess.PIPE, pass_fds=ward.files
                )
                await self._tell(told)
                return
            self._doors = Doors(Path(self.connection_file).with_suffix(".doors"))
            kw["ward"] = ward
            await self._launch_in(confinement.sandbox, kernel_cmd, cwd=cwd, kw=kw, open_files=open_files)
        self.ip = self._doors.prefix
        self._finding = asyncio.ensure_future(self._find_sockets())

    async def _launch_in(
        self, sandbox: Sandbox, kernel_cmd: list[str], *, cwd: str, kw: dict[str, Any], open_files: ExitStack
    ) -> None:
        confinement, uid = self.confinement, sandbox.new_uid()
        ward = kw.pop("ward")
        ward = replace(ward, places=self.ahead, filter=sandbox.filter if self.ahead else b"")
        filter_fd = open_files.enter_context(filter_file(b"" if self.ahead else sandbox.filter))
        bounds = sandbox.fitting(confinement.bounds)
        if self.ahead:
            # The system counts what all forks start together; the lookout counts for each.
            bounds = replace(bounds, processes=bounds.processes * _FORKS)
        ours = theirs = None
        if confinement.open_gate:
            ours, theirs = (open_files.enter_context(end) for end in socket.socketpair())
        connection = os.path.realpath(self.connection_file)
        told = order(
            [word.replace(connection, CONNECTION_FILE) for word in kernel_cmd],
            cwd=cwd,
            bounds=bounds,
            uid=uid,
            folders=[HOME / "tmp", *(HOME / Path(path).parent for path in confinement.copies)],
            files={**accounts(uid), CONNECTION_FILE: Path(connection).read_text()},
            copies={str(HOME / path): source for path, source in confinement.copies.items()},
            gate=-1 if theirs is None else theirs.fileno(),
            ward=ward,
        )
        fds = [fd for fd in (filter_fd, -1 if theirs is None else theirs.fileno(), *ward.files) if fd >= 0]
        command = sandbox.command(confinement.view, bounds=confinement.bounds, filter_fd=filter_fd, warden=self.ahead)
        await super()._async_launch_kernel(command, **kw, cwd="/", stdin=subprocess.PIPE, pass_fds=fds)
        if theirs is not None:
            theirs.close()
        await self._tell(told)
        if ours is not None:
            await self._open_gate(ours)

    def emit(self, schema_id: str, data: Any) -> None:
        """Do nothing: nobody listens to Jupyter's events here, and to check each against its schema takes 6 ms."""

    def _make_ward(self, open_files: ExitStack) -> Ward:
        """Open the channels to the warden and to the kernel; their ends close here when both have started."""
        (ours, warden), (mine, kernel) = pair(), pair()
        for end in (warden, kernel):
            open_files.enter_context(end)
        # The warden is ours, and says of everything that ends in the sandbox that it has ended.
        self.warden = Channel(ours, heard=self._hear_warden, foreign=False)
        self.channel = Channel(mine, heard=self._hear)
        return Ward(warden.fileno(), kernel.fileno())

    def _hear(self, said: dict[str, Any]) -> bool:
        """Take what the warden or the kernel say by themselves, and tell whether it was due.

        The kernel may say of its forks what it likes, but nothing of itself.
        """
        return self.warned is not None and self.warned(said)

    def _hear_warden(self, said: dict[str, Any]) -> bool:
        if "kernel" in said:
            self._kernel = said["kernel"]
        elif said.get("ended") == self._kernel:
            self._code = said["code"]
            if not self.forks and self.warden is not None:
                # It has nobody to look after any more: its end is the sandbox's, for which Jupyter waits without end.
                self.warden.close()
        else:
            return self._hear(said)
        return True

    @property
    def exit_code(self) -> int | None:
        """The code that the kernel has ended with; None while it runs."""
        if self._code is not None:
            return self._code
        process = getattr(self.provisioner, "process", None)
        return process.poll() if process is not None else 0

    @property
    def forks(self) -> bool:
        """Whether there are forks that live in this kernel's sandbox, beside it."""
        children = () if self.warden is None or self.frozen is None else self.frozen.children.values()
        return any(not fork.gone for fork in children)

    async def _async_is_alive(self) -> bool:
        return self.has_kernel and self.exit_code is None

    async def _tell(self, told: bytes) -> None:
        """Hand over the order. It fits into a pipe, so nobody waits."""
        for pid in (self.provisioner.pid, *children_of(self.provisioner.pid)):
            make_expendable(pid)
        stdin = self.provisioner.process.stdin
        try:
            stdin.write(told)
            stdin.close()
        except BrokenPipeError:
            return  # it has ended; whoever waits for the kernel will see it

    async def _open_gate(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(ours, arrived.set)
        try:
            await happens(arrived, seconds=_START)
            _, fds, _, _ = socket.recv_fds(ours, 16, 1)
        except (TimeoutError, OSError):
            fds = []
        finally:
            loop.remove_reader(ours)
        if fds:
            self._listening = await self.confinement.gate.serve(socket.socket(fileno=fds[0]))

    async def _find_sockets(self) -> None:
        """Open the doors as soon as the kernel has its sockets; who connects to them before that tries again."""
        process, doors = self.provisioner.process, self._doors
        while process.poll() is None and doors is not None:
            if init := doors.find(children_of(process.pid), sockets=SOCKETS, numbers=self.ports):
                self._init = init
                return
            await asyncio.sleep(_LOOK)

    async def _async_signal_kernel(self, signum: int) -> None:
        """Signal the kernel itself: bubblewrap, which stands between, would end."""
        if not self._init or self.provisioner.process.poll() is not None:
            await super()._async_signal_kernel(signum)
            return
        for pid in self._foreign():
            os.kill(pid, signum)

    def _foreign(self) -> list[int]:
        """Return the kernel's own process: below the sandbox's first, or below the warden that is there before it."""
        first = children_of(self._init)
        return [pid for each in first for pid in children_of(each)][:1] if self.ahead else first

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        await super()._async_cleanup_resources(restart=restart)
        if self._finding is not None:
            self._finding.cancel()
        for channel in (self.channel, self.warden):
            if channel is not None:
                channel.close()
        if self._doors is not None:
            self._doors.close()
            self._doors = None

    def client(self, **kwargs: Any) -> Any:
        """Return a client of the kernel that takes no message larger than allowed."""
        client = super().client(**kwargs)
        client.context.maxmsgsize = BUFFER
        return client

    @property
    def traceback_replacement_message(self) -> str:
        """What is shown in place of a traceback: Jupyter's bridge asks the kernel for it, which has none of its own."""
        return str(self.parent.traceback_replacement_message)

    # AsyncKernelManager binds its own methods under these names.
    interrupt_kernel = ServerKernelManager._async_interrupt_kernel
    is_alive = _async_is_alive
    pre_start_kernel = _async_pre_start_kernel
    signal_kernel = _async_signal_kernel
    cleanup_resources = _async_cleanup_resources
