"""The last step before a kernel: run by a bare Python in the sandbox, it takes the limits on and becomes the kernel.

``python -I -S inside.py``, with what to do as JSON on standard input: see :func:`vaas.runtime.sandbox.order`.
It imports next to nothing, because every kernel waits for it. Where there is no sandbox it sets the limits alone.
"""

import json
import os
import resource
import socket
import sys

#: Kernels give way to the servers that look after them, and go first when the memory runs out.
_NICE = 5
_EXPENDABLE = "800"


def main() -> None:
    """Do what standard input says; does not return."""
    order = json.load(sys.stdin)
    if order["gate"] >= 0:
        _open_gate(order["gate"], order["port"])
    if order["uid"]:
        _become(order["uid"])
    _give_way()
    for name, value in order["limits"].items():
        _limit(name, value)
    os.umask(0o077)
    for folder in order["folders"]:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, text in order["files"].items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    for path, source in order["copies"].items():
        with open(source, "rb") as kept, open(path, "wb") as copy:
            copy.write(kept.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    command = order["command"]
    try:
        os.chdir(order["cwd"])
        # 1: the parent is nobody to look after; it ends us when it ends.
        os.execvpe(command[0], command, {**os.environ, "JPY_PARENT_PID": "1"})
    except OSError as error:
        sys.exit(f"{error.filename or command[0]}: {error.strerror}")


def _open_gate(channel: int, port: int) -> None:
    """Listen on the sandbox's own network and hand the socket out: who serves it stands outside."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening, socket.socket(fileno=channel) as outside:
        socket.send_fds(outside, [b"gate"], [listening.fileno()])


def _become(uid: int) -> None:
    """Become another system user, and give every right of root up for good (capabilities(7))."""
    import ctypes  # only here: most kernels are started by somebody who has nothing to give up

    system = ctypes.CDLL(None, use_errno=True)
    for right in range(64):
        system.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP; an unknown one is an error and no matter
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    head, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if system.capset(head, none) != 0:
        sys.exit("The rights of root could not be given up.")


def _limit(name: str, value: int) -> None:
    """Set a limit for good; a stricter one stays, and one that this system lacks is left out."""
    kind = getattr(resource, name, None)
    if kind is not None:
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def _give_way() -> None:
    os.nice(_NICE)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(_EXPENDABLE)
    except OSError:
        pass  # no Linux, or this is no matter of ours


if __name__ == "__main__":
    main()
