"""The system calls that a sandboxed kernel has no business with, as a filter program for bubblewrap.

What is refused: making namespaces and mounts (a way around the bounds of the sandbox), memory that nobody counts
(memfd, System V), other processes' memory and limits, the kernel's keyrings, and interfaces known for their holes (bpf,
io_uring, userfaultfd, perf). All else works as always: numpy, compilers and shells do not notice.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct

__all__ = ["program"]

# linux/bpf_common.h and linux/seccomp.h: opcodes, and what a filter may answer.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
# Offsets in struct seccomp_data; of arguments their low half, on little-endian machines.
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24

#: machine → the number of its kind (linux/audit.h), and which of the two numbers of a call is its own.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
#: name → number on x86_64 and on aarch64.
_REFUSED: dict[str, tuple[int, int]] = {
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "acct": (163, 89),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "lookup_dcookie": (212, 18),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
    "statmount": (457, 457),
    "listmount": (458, 458),
}
#: They look as if this system did not know them, so that libraries take another way.
_UNKNOWN: dict[str, tuple[int, int]] = {
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Its flags lie in memory, where a filter cannot look; the C library falls back to clone.
    "clone3": (435, 435),
    "memfd_secret": (447, 447),
}
_CLONE, _SOCKET, _FCNTL = (56, 220), (41, 198), (72, 25)
#: With it a process sets the limits of others of its user: of other visits.
_PRLIMIT = (302, 261)
#: F_SETLEASE and F_NOTIFY: who holds a lease on a file makes everybody else wait who opens it.
_HOLDS = (1024, 1026)
#: CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWNS of linux/sched.h.
_NEW_NAMESPACES = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000
#: Others reach past the sandbox's own network (vsock the hypervisor) or are there for administrators.
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_NETLINK", 16))
#: x32, a second set of numbers for the same calls on x86_64.
_X32 = 0x40000000

_Step = tuple[int, int, int, int]


def program(machine: str = "") -> bytes:
    """Return the filter for this machine (or ``machine``), as an array of ``struct sock_filter``.

    Empty where the calls of the machine are not known here.
    """
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    architecture, column = known
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        steps += [(_AT_LEAST, 0, 1, _X32), _answer(errno.ENOSYS)]
    for calls, code in ((_REFUSED, errno.EPERM), (_UNKNOWN, errno.ENOSYS)):
        for numbers in calls.values():
            steps += [(_EQUAL, 0, 1, numbers[column]), _answer(code)]
    steps += [(_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _NEW_NAMESPACES)]
    steps += [_answer(errno.EPERM), (_LOAD, 0, 0, _NUMBER)]
    steps += [(_EQUAL, 0, 3, _PRLIMIT[column]), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, 0)]
    steps += [_answer(errno.EPERM), (_LOAD, 0, 0, _NUMBER)]
    steps += [(_EQUAL, 0, 5, _FCNTL[column]), (_LOAD, 0, 0, _SECOND), (_EQUAL, 1, 0, _HOLDS[0])]
    steps += [(_EQUAL, 0, 1, _HOLDS[1]), _answer(errno.EPERM), (_LOAD, 0, 0, _NUMBER)]
    families = [(_EQUAL, len(_FAMILIES) - i, 0, int(family)) for i, family in enumerate(_FAMILIES)]
    steps += [(_EQUAL, 0, len(families) + 2, _SOCKET[column]), (_LOAD, 0, 0, _FIRST), *families]
    steps += [_answer(errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _answer(code: int) -> _Step:
    return (_RETURN, 0, 0, _ERRNO | code)
