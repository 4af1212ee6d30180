"""Why pages end: the words that pages and websockets get, and what an owner reads."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Literal

__all__ = ["CLOSE_CODES", "OUT_OF_MEMORY", "Kind", "Notice", "Trouble", "Why", "how_it_ended", "signal_of"]

#: Why a page ended. The page gets it as it is while it is prepared, and as a code with the end of its websocket; what
#: the visitor reads is in ``vaas.js``. "stalled": it stood still; "flooded": too much output; "slow": a cell took too
#: long and could not be stopped; "failed": it could not be prepared; "greedy": it used more than it may.
Why = Literal["left", "lost", "died", "revoked", "closing", "stalled", "flooded", "slow", "failed", "greedy"]
CLOSE_CODES: dict[Why, int] = {
    "left": 1000,
    "revoked": 4403,
    "lost": 4408,
    "closing": 4410,
    "died": 4410,
    "stalled": 4411,
    "flooded": 4412,
    "slow": 4413,
    "failed": 4414,
    "greedy": 4415,
}
#: What a visitor is told of a page that goes on, in the words of ``vaas.js``. "unprepared": something of the author's
#: failed when the visit began; "memory": there was not enough for what the visitor did last.
Notice = Literal["unprepared", "memory"]
#: Names of the errors by which Python and its libraries say that there is no memory left.
OUT_OF_MEMORY = frozenset({"MemoryError", "_ArrayMemoryError", "ArrowMemoryError"})
#: What the owner of an app is told about.
Kind = Literal[
    "memory", "processes", "cpu", "disk", "output", "died", "stalled", "slow", "start", "network", "callback"
]


class Trouble(Exception):
    """What ends a page before its time: why, and one line for the owner."""

    def __init__(self, why: Why, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.why, self.kind, self.text = why, kind, text


#: The signals that end processes, with what they mean here.
_SIGNALS: Mapping[int, str] = {
    signal.SIGKILL: "it was killed (SIGKILL)",
    signal.SIGTERM: "it was told to end (SIGTERM)",
    signal.SIGXCPU: "it had used all the computing time that a kernel may use",
    signal.SIGXFSZ: "it wrote a file that is larger than allowed",
    signal.SIGSEGV: "a compiled library crashed",
    signal.SIGBUS: "a compiled library crashed, perhaps because its temporary folder is full",
    signal.SIGABRT: "a compiled library gave up",
    signal.SIGSYS: "it asked the system for something that is not allowed",
}
#: bubblewrap says so that a signal ended what it runs.
_BY_SIGNAL = 128


def signal_of(code: int | None) -> int:
    """Return the number of the signal that an exit code tells of; not above 0 where there was none."""
    return -(code or 0) if (code or 0) < 0 else (code or 0) - _BY_SIGNAL


def how_it_ended(code: int | None, *, full: bool = False) -> tuple[Kind, str]:
    """Return kind and reason of a kernel's end from its exit code; None: it is not known.

    ``full``: its memory was near its limit when it was looked at last.
    """
    if code is None:
        return "died", "it ended"
    number = signal_of(code)
    if number == signal.SIGKILL and full:
        return "died", f"{_SIGNALS[number]}, most likely because the memory ran out"
    return "cpu" if number == signal.SIGXCPU else "died", _SIGNALS.get(number, f"it ended itself with code {code}")
