"""Why pages end: the words that pages and websockets get, and what an owner reads."""

from __future__ import annotations

from typing import Literal

__all__ = ["CLOSE_CODES", "Kind", "Trouble", "Why"]

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
#: What the owner of an app is told about.
Kind = Literal["memory", "processes", "cpu", "disk", "output", "died", "stalled", "slow", "start", "network"]


class Trouble(Exception):
    """What ends a page before its time: why, and one line for the owner."""

    def __init__(self, why: Why, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.why, self.kind, self.text = why, kind, text
