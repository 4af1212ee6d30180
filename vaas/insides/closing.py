"""The system calls that are left to a process that has a foreign file open: it can read, compute and answer.

What is refused: to write, make, move or change any file (an open file of ours could be opened anew for writing through
``/proc``), to start a program or a process, to signal another, to use any network, to lock or lease a file. It works
without a sandbox as well; imports still work, so that libraries may load what they need late.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

__all__ = ["Closing", "program"]

# linux/bpf_common.h and linux/seccomp.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32
_NO_NEW_RIGHTS, _SET_FILTER, _BY_FILTER, _DIE_WITH_PARENT = 38, 22, 2, 1

#: machine → the number of its kind (linux/audit.h), and which of the two numbers of a call is its own.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
#: Numbers on x86_64 and on aarch64.
_REFUSED: dict[str, tuple[int, int]] = {
    **{"truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47)},
    **{"fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"fchown": (93, 55), "fchownat": (260, 54), "utimensat": (280, 88)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463)},
    **{"removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466)},
    **{"linkat": (265, 37), "symlinkat": (266, 36), "renameat": (264, 38), "renameat2": (316, 276)},
    **{"unlinkat": (263, 35), "mkdirat": (258, 34), "mknodat": (259, 33), "file_setattr": (469, 469)},
    **{"execve": (59, 221), "execveat": (322, 281), "flock": (73, 32), "chroot": (161, 51)},
    **{"socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202)},
    **{"connect": (42, 203), "accept4": (288, 242), "sendmsg": (46, 211), "sendmmsg": (307, 269)},
    **{"recvmsg": (47, 212), "recvmmsg": (299, 243)},
    **{"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138)},
    **{"rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434)},
    **{"pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "kcmp": (312, 272)},
    **{"process_vm_writev": (311, 271), "process_madvise": (440, 440), "setns": (308, 268), "unshare": (272, 97)},
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428)},
    **{"move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442)},
    **{"swapon": (167, 224), "reboot": (169, 142), "acct": (163, 89), "init_module": (175, 105)},
    **{"finit_module": (313, 273), "kexec_load": (246, 104), "add_key": (248, 217), "request_key": (249, 218)},
    **{"keyctl": (250, 219), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241)},
    **{"fanotify_init": (300, 262), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
    **{"setuid": (105, 146), "setgid": (106, 144), "setgroups": (116, 159), "setresuid": (117, 147)},
    **{"sethostname": (170, 161), "settimeofday": (164, 170), "clock_settime": (227, 112), "personality": (135, 92)},
}
#: The same of old, which only one of the machines has.
_OLD = {
    **{"creat": 85, "chmod": 90, "chown": 92, "lchown": 94, "utime": 132, "utimes": 235, "futimesat": 261},
    **{"link": 86, "symlink": 88, "rename": 82, "unlink": 87, "mkdir": 83, "rmdir": 84, "mknod": 133},
    **{"fork": 57, "vfork": 58},
}
#: They look as if this system did not know them: their flags lie in memory, where a filter cannot look.
_UNKNOWN = {
    **{"clone3": (435, 435), "openat2": (437, 437), "memfd_create": (319, 279), "memfd_secret": (447, 447)},
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180)},
}
_OPEN, _OPENAT, _CLONE, _FCNTL, _IOCTL, _PRLIMIT = 2, (257, 56), (56, 220), (72, 25), (16, 29), (302, 261)
#: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC; the same on both machines.
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000
_THREAD = 0x00010000
#: F_SETLK and F_SETLKW, of processes and of open files, F_SETLEASE, F_NOTIFY; F_SETOWN would send signals.
_HOLDS = (6, 7, 37, 38, 1024, 1026, 8, 15)
_X32 = 0x40000000

_Step = tuple[int, int, int, int]


def program(machine: str = "") -> bytes:
    """Return the filter for this machine (or ``machine``), as ``struct sock_filter``; empty where it is not known."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    kind, column = known
    steps: list[_Step] = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, kind), (_RETURN, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, _NUMBER)]
    if column == 0:
        steps += [(_AT_LEAST, 0, 1, _X32), _answer(errno.ENOSYS)]
    refused = [numbers[column] for numbers in _REFUSED.values()] + ([*_OLD.values()] if column == 0 else [])
    for number in refused:
        steps += [(_EQUAL, 0, 1, number), _answer(errno.EPERM)]
    for numbers in _UNKNOWN.values():
        steps += [(_EQUAL, 0, 1, numbers[column]), _answer(errno.ENOSYS)]
    steps += [(_EQUAL, 0, 1, _IOCTL[column]), _answer(errno.ENOTTY)]
    # What follows looks at one argument, and then loads the call's number again.
    if column == 0:
        steps += _looked_at(_OPEN, _SECOND, [(_ANY_BIT, 0, 1, _WRITING), _answer(errno.EROFS)])
    steps += _looked_at(_OPENAT[column], _THIRD, [(_ANY_BIT, 0, 1, _WRITING), _answer(errno.EROFS)])
    steps += _looked_at(_CLONE[column], _FIRST, [(_ANY_BIT, 1, 0, _THREAD), _answer(errno.EPERM)])
    steps += _looked_at(_PRLIMIT[column], _FIRST, [(_EQUAL, 1, 0, 0), _answer(errno.EPERM)])
    held = [step for hold in _HOLDS for step in ((_EQUAL, 0, 1, hold), _answer(errno.EPERM))]
    steps += _looked_at(_FCNTL[column], _SECOND, held)
    steps += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _looked_at(number: int, argument: int, steps: list[_Step]) -> list[_Step]:
    inner = [(_LOAD, 0, 0, argument), *steps, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(inner), number), *inner]


def _answer(code: int) -> _Step:
    return (_RETURN, 0, 0, _ERRNO | code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


class Closing:
    """The filter, made ready so that a fork takes it on at once."""

    def __init__(self) -> None:
        self._system = ctypes.CDLL(None, use_errno=True)
        self._steps = program()
        self._made = _Program(len(self._steps) // 8, self._steps)
        self._system.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)

    def take_on(self) -> None:
        """Leave this process the calls that are left, for good; and end when the parent ends.

        No-op on a machine whose calls are not known. Raises OSError when the filter cannot be set.
        """
        self._system.prctl(_DIE_WITH_PARENT, 9, 0, 0, 0)
        if self._steps and self._system.prctl(_SET_FILTER, _BY_FILTER, ctypes.byref(self._made), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "The filter of system calls could not be set.")
