"""The last step before a kernel: run by a bare Python in the sandbox, it takes the limits on and becomes the kernel.

``python -I -S inside.py``, with what to do as JSON on standard input: see :func:`vaas.runtime.sandbox.order`.
It imports next to nothing, because every kernel waits for it. Where there is no sandbox it sets the limits alone.
"""

import base64
import json
import os
import resource
import socket
import sys

#: Kernels give way to the servers that look after them, and go first when the memory runs out.
_NICE = 5
_EXPENDABLE = "800"
_LAST_SECONDS = 5
#: CAP_SYS_CHROOT, as a bit: with it a fork goes into its own place.
_CHROOT = 1 << 18
_SETPCAP = 1 << 8


def main() -> None:
    """Do what standard input says; does not return."""
    order = json.load(sys.stdin)
    if order["gate"] >= 0:
        _open_gate(order["gate"], order["port"])
    if order["channel"] >= 0:
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import warden  # type: ignore[import-not-found]

        del sys.path[0]
        warden.begin(order["warden"], places=order["places"], keep=order["channel"])
    if order["places"] and not order["uid"]:
        _become_somebody()
    if order["uid"]:
        _become(order["uid"], chroot=order["places"])
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
    if order["channel"] >= 0:
        os.set_inheritable(order["channel"], True)
    try:
        os.chdir(order["cwd"])
        if order["filter"]:
            _filter(base64.b64decode(order["filter"]))
        # 1: the parent is nobody to look after; it ends us when it ends.
        os.execvpe(command[0], command, {**os.environ, "JPY_PARENT_PID": "1"})
    except OSError as error:
        sys.exit(f"{error.filename or command[0]}: {error.strerror}")


def _open_gate(channel: int, port: int) -> None:
    """Listen on the sandbox's own network and hand the socket out: who serves it stands outside."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening, socket.socket(fileno=channel) as outside:
        socket.send_fds(outside, [b"gate"], [listening.fileno()])


def _become(uid: int, *, chroot: bool) -> None:
    """Become another system user, and give every right of root up for good (capabilities(7)), save ``chroot``."""
    import ctypes  # only here: most kernels are started by somebody who has nothing to give up

    system = ctypes.CDLL(None, use_errno=True)
    for right in range(64):
        system.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP; an unknown one is an error and no matter
    system.prctl(8, int(chroot), 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    _keep_rights(_CHROOT if chroot else 0)


def _become_somebody() -> None:
    """Leave root of the sandbox's user namespace for a user of an inner one, who has no power over the outer."""
    import ctypes

    system = ctypes.CDLL(None, use_errno=True)
    if system.unshare(0x10000000) != 0:  # CLONE_NEWUSER
        sys.exit("There is no user namespace for the kernel.")
    for name, text in (("setgroups", "deny"), ("gid_map", "1000 0 1"), ("uid_map", "1000 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    # Once: what is not inheritable by now never is, when the bounds are gone.
    _keep_rights(_CHROOT, now=_CHROOT | _SETPCAP)
    for right in range(64):
        system.prctl(24, right, 0, 0, 0)
    _keep_rights(_CHROOT)


def _keep_rights(rights: int, *, now: int = 0) -> None:
    """Keep these rights, given as bits, through the exec that follows, and no others; ``now``: these meanwhile."""
    import ctypes

    system = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if system.capset(head, (ctypes.c_uint32 * 6)(now or rights, now or rights, rights, 0, 0, 0)) != 0:
        sys.exit("The rights of root could not be given up.")
    for right in range(32):
        if rights >> right & 1 and system.prctl(47, 2, right, 0, 0) != 0:  # PR_CAP_AMBIENT, RAISE
            sys.exit("The kernel could not be given its one right.")


def _filter(program: bytes) -> None:
    """Take on the filter of system calls; where there is a warden, bubblewrap cannot set it for both."""
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    made = Program(len(program) // 8, program)
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, ctypes.byref(made), 0, 0) != 0:  # PR_SET_SECCOMP, FILTER
        sys.exit("The filter of system calls could not be set.")


def _limit(name: str, value: int) -> None:
    """Set a limit for good; a stricter one stays, and one that this system lacks is left out."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    # Who has used up the computing time is told so by a signal of its own, and killed a moment later.
    last = value + _LAST_SECONDS if name == "RLIMIT_CPU" and most == resource.RLIM_INFINITY else value
    resource.setrlimit(kind, (value, last))


def _give_way() -> None:
    os.nice(_NICE)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(_EXPENDABLE)
    except OSError:
        pass  # no Linux, or this is no matter of ours


if __name__ == "__main__":
    main()
