"""Jupyter's manager of one kernel, which starts the kernel confined: in a sandbox where there is one, in its limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from traitlets import Any as AnyTrait

from vaas.runtime.activity import BUFFER
from vaas.runtime.confinement import Confinement
from vaas.runtime.processes import children_of
from vaas.runtime.sandbox import HOME, Sandbox, accounts, bare_command, filter_file, order

__all__ = ["ConfinedKernelManager", "how_it_ended"]

#: Where a kernel's sockets are in its sandbox, without their numbers, and the file that tells it so.
_SOCKETS = str(HOME.parent / ".kernel")
_CONNECTION = str(HOME.parent / ".kernel.json")
_START = 20.0


class ConfinedKernelManager(ServerKernelManager):
    """Starts its kernel as ``confinement`` says; its own mapping's, unless it has one of its own."""

    confinement = AnyTrait()
    _listening: Any = None
    _init = 0

    def _confinement_default(self) -> Confinement:
        confinement: Confinement = self.parent.confinement
        return confinement

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        if self.confinement.sandbox is not None:
            # What the kernel is told; we go in by another way, see _find_sockets.
            self.transport, self.ip = "ipc", _SOCKETS
        self.context.maxmsgsize = BUFFER
        started: tuple[list[str], dict[str, Any]] = await super()._async_pre_start_kernel(**kw)
        return started

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        if shutil.which(kernel_cmd[0], path=kw["env"].get("PATH")) is None:
            raise FileNotFoundError(f"There is no program {kernel_cmd[0]!r}.")
        cwd = str(kw.pop("cwd", None) or os.getcwd())
        confinement = self.confinement
        if confinement.sandbox is None:
            bounds = replace(confinement.bounds, processes=0)  # they would be counted with all of ours
            told = order(kernel_cmd, cwd=cwd, bounds=bounds)
            await super()._async_launch_kernel(bare_command(), **kw, cwd="/", stdin=subprocess.PIPE)
            await self._tell(told)
            return
        with ExitStack() as open_files:
            await self._launch_in(confinement.sandbox, kernel_cmd, cwd=cwd, kw=kw, open_files=open_files)
        await self._find_sockets()

    async def _launch_in(
        self, sandbox: Sandbox, kernel_cmd: list[str], *, cwd: str, kw: dict[str, Any], open_files: ExitStack
    ) -> None:
        confinement, uid = self.confinement, sandbox.new_uid()
        filter_fd = open_files.enter_context(filter_file(sandbox.filter))
        ours = theirs = None
        if confinement.gate is not None and confinement.gate.allowed:
            ours, theirs = (open_files.enter_context(end) for end in socket.socketpair())
        connection = os.path.realpath(self.connection_file)
        told = order(
            [word.replace(connection, _CONNECTION) for word in kernel_cmd],
            cwd=cwd,
            bounds=sandbox.fitting(confinement.bounds),
            uid=uid,
            folders=[HOME / "tmp", *(HOME / Path(path).parent for path in confinement.copies)],
            files={**accounts(uid), _CONNECTION: Path(connection).read_text()},
            copies={str(HOME / path): source for path, source in confinement.copies.items()},
            gate=-1 if theirs is None else theirs.fileno(),
        )
        fds = [fd for fd in (filter_fd, -1 if theirs is None else theirs.fileno()) if fd >= 0]
        command = sandbox.command(confinement.view, bounds=confinement.bounds, filter_fd=filter_fd)
        await super()._async_launch_kernel(command, **kw, cwd="/", stdin=subprocess.PIPE, pass_fds=fds)
        if theirs is not None:
            theirs.close()
        await self._tell(told)
        if ours is not None:
            await self._open_gate(ours)

    async def _tell(self, told: bytes) -> None:
        """Hand over the order. It fits into a pipe, so nobody waits."""
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
            await asyncio.wait_for(arrived.wait(), _START)
            _, fds, _, _ = socket.recv_fds(ours, 16, 1)
        except (TimeoutError, OSError):
            fds = []
        finally:
            loop.remove_reader(ours)
        if fds:
            self._listening = await self.confinement.gate.serve(socket.socket(fileno=fds[0]))

    async def _find_sockets(self) -> None:
        """Reach the kernel's sockets through the root of its sandbox, as soon as that is there."""
        monitor, ours = self.provisioner.pid, os.stat("/")
        deadline = asyncio.get_running_loop().time() + _START
        while asyncio.get_running_loop().time() < deadline and self.provisioner.process.poll() is None:
            for init in children_of(monitor):
                try:
                    root = os.stat(f"/proc/{init}/root")
                except OSError:
                    continue
                if (root.st_dev, root.st_ino) != (ours.st_dev, ours.st_ino):
                    self._init, self.ip = init, f"/proc/{init}/root{_SOCKETS}"
                    return
            await asyncio.sleep(0.002)
        raise RuntimeError("The sandbox of the kernel did not start.")

    async def _async_signal_kernel(self, signum: int) -> None:
        """Signal the kernel itself: bubblewrap, which stands between, would end."""
        if not self._init:
            await super()._async_signal_kernel(signum)
            return
        for pid in children_of(self._init):
            os.kill(pid, signum)

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        await super()._async_cleanup_resources(restart=restart)

    def client(self, **kwargs: Any) -> Any:
        """Return a client of the kernel that takes no message larger than allowed."""
        client = super().client(**kwargs)
        client.context.maxmsgsize = BUFFER
        return client

    # AsyncKernelManager binds its own methods under these names.
    interrupt_kernel = ServerKernelManager._async_interrupt_kernel
    pre_start_kernel = _async_pre_start_kernel
    signal_kernel = _async_signal_kernel
    cleanup_resources = _async_cleanup_resources


def how_it_ended(code: int | None) -> str:
    """Say why a kernel's process ended, from its exit code; bubblewrap reports a signal as 128 and its number."""
    number = -code if code is not None and code < 0 else (code or 0) - 128
    reasons: dict[int, str] = {
        signal.SIGKILL: "it was killed, most likely because the memory ran out",
        signal.SIGXCPU: "it had used all the computing time that a kernel may use",
        signal.SIGXFSZ: "it wrote a file that is larger than allowed",
        signal.SIGSEGV: "a compiled library crashed",
        signal.SIGBUS: "a compiled library crashed, perhaps because its temporary folder is full",
        signal.SIGABRT: "a compiled library gave up",
        signal.SIGSYS: "it asked the system for something that is not allowed",
    }
    return reasons.get(number, f"it ended itself with code {code}" if code is not None else "it ended")
