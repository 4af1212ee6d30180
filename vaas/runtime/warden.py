"""Who stays behind in the sandbox of a template and looks after it: makes each fork a place of its own.

It is started as :mod:`vaas.runtime.inside` is, by a bare Python, and knows the standard library alone. It keeps the
rights that making places takes; the kernel, a child of it, gets none of them but the one to go into its place. It
obeys its server only, through a socket pair, in small JSON messages:

- ``{"make": n, "disk": bytes, "memory": bytes, "files": n}`` → ``{"made": n}``: a folder that shows all that the
  sandbox shows, with empty temporary folders of its own, in which what is mounted there is mounted too;
- ``{"drop": n}``: take it away.

It says ``{"kernel": process}`` first, and ``{"ended": process, "code": exit code}`` of each process that ends as its
child: the template, and what the template leaves behind. When its server is gone, so is everything here.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
from collections.abc import Iterator

__all__ = ["PLACES", "TEMPORARY", "begin", "ended"]

#: Where in a template's sandbox the places of its forks are.
PLACES = "/places"
#: The folders that each place has for itself.
TEMPORARY = ("/tmp", "/dev/shm")
_MOST = 65_536
_SUBREAPER, _PARENT_DIES = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG of linux/prctl.h
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _UNBINDABLE, _DETACH = 2, 4, 8, 4096, 16384, 1 << 17, 2
_system = ctypes.CDLL(None, use_errno=True)


def begin(channel: int, *, places: bool, keep: int) -> None:
    """Return in a new process, which is to become the kernel; stay behind in this one, and never return.

    ``places``: whether there is a sandbox to make places in; ``keep`` is the kernel's own channel, none of ours.
    """
    _system.prctl(_SUBREAPER, 1, 0, 0, 0)
    if places:
        _mount(None, PLACES, None, _UNBINDABLE, None)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    kernel = os.fork()
    if kernel == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (channel, woken, wake):
            os.close(fd)
        _system.prctl(_PARENT_DIES, signal.SIGKILL, 0, 0, 0)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(keep)
    os.close(0)
    try:
        server = socket.socket(fileno=channel)
        server.send(json.dumps({"kernel": kernel}).encode())
        os.umask(0o022)
        _ward(server, woken, _mounts() if places else [])
    finally:
        _end_all()
        os._exit(0)


def _ward(server: socket.socket, woken: int, mounts: list[str]) -> None:
    """Obey; ``mounts`` is what is mounted where in the sandbox itself."""
    import select

    while True:
        ready, _, _ = select.select([server.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _report(server)
        if server.fileno() in ready:
            told = server.recv(_MOST)
            if not told:
                return
            _obey(server, json.loads(told), mounts)


def _obey(server: socket.socket, told: dict, mounts: list[str]) -> None:  # type: ignore[type-arg]
    if "make" in told:
        try:
            _make(told["make"], mounts, sizes=(told["disk"], told["memory"]), files=told["files"])
            answer = {"made": told["make"]}
        except OSError as error:
            answer = {"made": told["make"], "error": str(error)}
            _drop(told["make"])
        server.send(json.dumps(answer).encode())
    elif "drop" in told:
        _drop(told["drop"])


def _drop(number: int) -> None:
    place = f"{PLACES}/{int(number)}"
    _system.umount2(place.encode(), _DETACH)
    # If it was never made, or somebody has put something there, the other visits go on.
    with contextlib.suppress(OSError):
        os.rmdir(place)


def _make(number: int, mounts: list[str], *, sizes: tuple[int, int], files: int) -> None:
    place = f"{PLACES}/{int(number)}"
    os.mkdir(place, 0o755)
    _mount("/", place, None, _BIND | _RECURSIVE, None)
    for folder, size in zip(TEMPORARY, sizes, strict=True):
        bounds = f"mode=1777,size={int(size)},nr_inodes={int(files)}"
        _mount("tmpfs", place + folder, "tmpfs", _NOSUID | _NODEV, bounds)
    for path in mounts:
        if path.startswith(tuple(f"{folder}/" for folder in TEMPORARY)):
            _mount_again(path, place + path)
    try:
        # What others are and what they were started with is nobody's business in there.
        _mount("proc", f"{place}/proc", "proc", _NOSUID | _NODEV | _NOEXEC, "hidepid=2")
    except OSError:
        return  # an engine of containers forbids it; what is there keeps the rest to itself
    for path in mounts:
        if path.startswith("/proc/"):
            _mount_again(path, place + path)


def _mount_again(path: str, there: str) -> None:
    if os.path.isdir(path):
        os.makedirs(there, 0o755, exist_ok=True)
    elif not os.path.exists(there):
        os.makedirs(os.path.dirname(there), 0o755, exist_ok=True)
        os.close(os.open(there, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, there, None, _BIND, None)


def _mounts() -> list[str]:
    """Return where in the sandbox something is mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        paths = [line.split()[4] for line in file]
    return [path.replace("\\040", " ").replace("\\134", "\\") for path in paths]


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, data)]
    if _system.mount(words[0], words[1], words[2], flags, words[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _report(server: socket.socket) -> None:
    for pid, code in ended():
        try:
            server.send(json.dumps({"ended": pid, "code": code}).encode())
        except OSError:
            return


def ended() -> Iterator[tuple[int, int]]:
    """Let children go that have ended, and yield each with its exit code."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _end_all() -> None:
    """End what is left below this process; in a sandbox the system does that by itself."""
    for _ in range(100):
        below = _children(os.getpid())
        for pid in below:
            below += _children(pid)
        if not below:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
