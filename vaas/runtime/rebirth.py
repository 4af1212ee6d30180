"""Take a kernel's sockets, threads and loop away before a fork, and give the fork its own afterwards.

Everything that a fork does not survive is closed before, so that the process that forks has one thread and no socket:
nothing has to be forgotten, and no lock can be held by a thread that is gone. The fork gets what a page needs: no
heartbeat (its server knows whether the process lives), no threads for control and for subshells, and the one that
publishes output only when there is something to print while the kernel works.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import shutil
import sys
import threading
from typing import Any
from uuid import uuid4

import zmq
from ipykernel.iostream import BackgroundSocket, IOPubThread, OutStream
from jupyter_client.session import Session
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream
from zmq.utils import garbage

from vaas.runtime import apart, hindrances, warden

__all__ = ["Publisher", "dismantle", "move_to", "rebuild"]

#: How long (ms) the sockets of a kernel that is frozen may take to send what they have.
_LINGER = 200
#: So much is read at once of what is printed past Python, in bytes.
_PIECE = 1000
# linux/prctl.h and linux/capability.h.
_PR_SET_DUMPABLE, _PR_CAP_AMBIENT, _CLEAR_ALL, _CAPABILITY_VERSION = 4, 47, 4, 0x20080522
_system = ctypes.CDLL(None, use_errno=True)


class Publisher(IOPubThread):
    """ipykernel's publisher of output, whose thread begins when it is needed: most visits never print.

    Until then the main thread sends by itself, and welcomes who begins to listen: by that they know that they hear all.
    """

    def __init__(self, socket: Any, *, session: Session, streams: list[OutStream]) -> None:
        self.socket, self.session = socket, session
        self.background_socket = BackgroundSocket(self)
        self._streams = streams
        # Whoever has it may use the socket.
        self._begun = threading.RLock()
        self._stopped = self._pipe_flag = False
        self._master_pid = os.getpid()
        self._event_pipes: dict[threading.Thread, Any] = {}
        self.io_loop = None
        self.thread = threading.Thread(target=self._thread_main, name="IOPub", daemon=True)

    def send_multipart(self, *args: Any, **kwargs: Any) -> None:
        """Send at once where no thread can be in the way."""
        if threading.current_thread() is threading.main_thread():
            with self._begun:
                if not self._threaded:
                    self._really_send(*args, **kwargs)
                    # To send makes the system forget that there is something to read.
                    self._welcome()
                    return
        super().send_multipart(*args, **kwargs)

    def welcome(self) -> None:
        """Welcome all who begin to listen from now on."""
        loop, handle = asyncio.get_event_loop(), self.socket.FD

        def look() -> None:
            with self._begun:
                if not self._threaded:
                    self._welcome()
                else:
                    loop.remove_reader(handle)

        loop.add_reader(handle, look)
        loop.call_soon(look)

    @property
    def _threaded(self) -> bool:
        return self.io_loop is not None

    def _welcome(self) -> None:
        while not self.closed and self.socket.EVENTS & zmq.POLLIN:
            self._handle_subscription(self.socket.recv_multipart(zmq.NOBLOCK))

    def schedule(self, f: Any) -> None:
        """Have the thread do it."""
        with self._begun:
            if not self._threaded and not self._stopped:
                background = self.background_socket
                super().__init__(self.socket, pipe=False, session=self.session)
                self.background_socket = background
                for stream in self._streams:
                    stream._io_loop = self.io_loop
                self.start()
        super().schedule(f)


def dismantle(app: Any) -> None:
    """Close the kernel's sockets and end its threads, for good."""
    kernel = app.kernel
    _release()
    if app.heartbeat is not None:
        app.heartbeat.context.term()
        app.heartbeat.join()
    for thread in (kernel.control_thread, kernel.shell_channel_thread):
        if thread is not None and thread.is_alive():
            thread.stop()
            thread.join()
    kernel.iopub_thread.stop()
    app.context.destroy(linger=_LINGER)
    # The thread that lets go of large messages once they are sent; the next one of that size starts it again.
    garbage.gc.stop()
    app.context = app.heartbeat = app.control_thread = app.shell_channel_thread = None
    app.debugpy_socket = app.debug_shell_socket = None
    kernel.control_thread = kernel.shell_channel_thread = kernel.debugpy_stream = None
    kernel.control_stream = kernel.shell_stream = None


def move_to(root: str) -> None:
    """Make a folder the root of this process, with what is in the temporary folders now; "": stay.

    The folder shows what the old root shows, save the temporary folders. The right to do so is given up with it.
    """
    if root:
        where = _here()
        for folder in warden.TEMPORARY:
            _copy(folder, root + folder)
        os.chroot(root)
        os.chdir(where if os.path.isdir(where) else "/")
    _system.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    head, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if os.geteuid() != 0 or root:
        _system.capset(head, none)
    # Other visits are the same user: they cannot look into this process.
    _system.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if root:
        # Nor into what it starts, and they cannot end it.
        apart.enclose()


def _here() -> str:
    """Return where this process is; the root, if that folder is no more."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def rebuild(app: Any, connection: dict[str, Any], *, printed: int) -> None:
    """Give a frozen kernel new sockets by ``connection``; what is printed past Python goes to the file ``printed``.

    It gets the sockets that its visitors use, ``channels``; the one for output is always there.
    """
    asyncio.set_event_loop(asyncio.new_event_loop())
    loop = IOLoop.current()
    zmq.Context._instance = None
    # That there is no debugger is no news.
    app.log.addFilter(lambda record: "debugpy" not in str(record.msg))
    app.context = context = zmq.Context()
    _renew(app.session, connection)
    _redirect(printed)
    for name in ("shell", "control", "stdin"):
        there = name in connection["channels"]
        setattr(app, f"{name}_socket", _bind(context, zmq.ROUTER, connection, f"{name}_port") if there else None)
    output = _bind(context, zmq.XPUB, connection, "iopub_port")
    app.iopub_thread = publisher = Publisher(output, session=app.session, streams=_streams())
    publisher.welcome()
    app.iopub_socket = publisher.background_socket
    kernel, shell = app.kernel, app.kernel.shell
    kernel.ident = str(uuid4())
    kernel.stdin_socket = app.stdin_socket
    kernel.iopub_thread, kernel.iopub_socket = publisher, publisher.background_socket
    kernel.shell_stream = ZMQStream(app.shell_socket, loop)
    kernel.control_stream = ZMQStream(app.control_socket, loop) if app.control_socket is not None else None
    kernel._main_asyncio_lock = asyncio.Lock()
    shell.displayhook.topic = kernel._topic("execute_result")
    for speaks in (app.displayhook, shell.displayhook, shell.display_pub):
        speaks.pub_socket = publisher.background_socket
    for stream in _streams():
        stream.pub_thread = publisher


def _renew(session: Session, connection: dict[str, Any]) -> None:
    """Make a session, which all that speak for the kernel have, another one: a new one takes half a millisecond."""
    session.signature_scheme, session.key = connection["signature_scheme"], connection["key"].encode()
    session.session, session.pid, session.message_count = str(uuid4()), os.getpid(), 0
    session.digest_history = set()


def _streams() -> list[OutStream]:
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, OutStream)]


def _bind(context: Any, kind: int, connection: dict[str, Any], port: str) -> Any:
    socket = context.socket(kind)
    socket.linger = 1000
    # Before it is bound: who connects gets what is set then.
    if kind == zmq.ROUTER:
        socket.router_handover = 1
    else:
        socket.sndhwm, socket.xpub_verbose = 0, 1
    between = "-" if connection["transport"] == "ipc" else ":"
    socket.bind(f"{connection['transport']}://{connection['ip']}{between}{connection[port]}")
    return socket


def _release() -> None:
    """End what reads what is printed past Python, and print where the process did at first."""
    streams = [stream for stream in _streams() if stream._should_watch]
    for stream in streams:
        stream._should_watch = False
        os.write(stream._original_stdstream_fd, b"\0")
    for stream in streams:
        stream.watch_fd_thread.join()
        os.dup2(stream._original_stdstream_copy, stream._original_stdstream_fd)
        # Both its ends: ipykernel leaves one open, and all forks would have it.
        pipe = os.readlink(f"/proc/self/fd/{stream._fid}")
        for fd in [fd for fd, what in hindrances.open_files().items() if what == pipe]:
            os.close(fd)
        stream._fid = None


def _redirect(printed: int) -> None:
    """Read what is printed past Python again, in this process: one thread for all, not one for each as before."""
    streams = _streams()
    for stream in streams:
        os.dup2(printed, stream._original_stdstream_copy)
        stream._master_pid = os.getpid()
        stream._flush_pending = stream._subprocess_flush_pending = False
        stream._buffer_lock, stream._buffers = threading.RLock(), type(stream._buffers)(stream._buffers.default_factory)
        stream._fid, writing = os.pipe()
        os.dup2(writing, stream._original_stdstream_fd)
        os.close(writing)
        stream._should_watch, stream.watch_fd_thread = True, _Watch()
    threading.Thread(target=_relay, args=(streams,), daemon=True).start()


class _Watch:
    """What a stream has in place of a thread of its own: whether the common one still reads for it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.end = self._over.set

    def is_alive(self) -> bool:
        return not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)


def _relay(streams: list[OutStream]) -> None:
    by_handle, ready = {stream._fid: stream for stream in streams}, select.poll()
    for handle in by_handle:
        ready.register(handle, select.POLLIN)
    while by_handle:
        for handle, _ in ready.poll():
            if not _pass_on(by_handle[handle], handle):
                ready.unregister(handle)
                by_handle.pop(handle).watch_fd_thread.end()


def _pass_on(stream: OutStream, handle: int) -> bool:
    """Take what was printed; False when there is nobody to print or to listen any more."""
    try:
        said = os.read(handle, _PIECE)
        if not said or not stream._should_watch:
            return False
        stream.write(said.decode(errors="replace"))
        os.write(stream._original_stdstream_copy, said)
    except Exception:
        stream._exc = sys.exc_info()
        return False
    return True


def _copy(source: str, target: str) -> None:
    """Copy a folder's folders, files and links, with their modes; sockets and the like stay, and what is mounted."""
    device = os.stat(source).st_dev
    for entry in os.scandir(source):
        copied = f"{target}/{entry.name}"
        if entry.stat(follow_symlinks=False).st_dev != device:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), copied)
        elif entry.is_dir():
            there = os.path.isdir(copied)
            if not there:
                os.mkdir(copied, mode=0o700)
            _copy(entry.path, copied)
            if not there:
                shutil.copymode(entry.path, copied)
        elif entry.is_file():
            shutil.copy2(entry.path, copied)
