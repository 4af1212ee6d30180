"""What a notebook says to its owner (errors, what its processes print): to the log, and not without end."""

from __future__ import annotations

import logging

__all__ = ["Logged", "cut"]

#: So much of one page is written, in characters.
_MOST = 500_000
_MOST_AT_ONCE = 20_000
#: What the log itself adds to a message.
_AROUND = 100
log = logging.getLogger(__name__)


class Logged:
    """The share of the log, in characters, that one page or one kernel has; ``name`` is put before each message."""

    def __init__(self, name: str, *, most: int = _MOST) -> None:
        self._name = name
        self._left = most

    def is_full(self) -> bool:
        """Whether nothing more is written."""
        return self._left <= 0

    def say(self, text: str, *, level: int = logging.INFO) -> None:
        """Write it, unless there was too much."""
        if self.is_full():
            return
        text = cut(text)
        self._left -= len(text) + len(self._name) + _AROUND
        log.log(level, "%s: %s", self._name, text)
        if self.is_full():
            log.warning("%s says very much; what comes now is left out of this log.", self._name)


def cut(text: str) -> str:
    """Return the text, or the end of one that is far too long: errors say there what they are."""
    return text if len(text) <= _MOST_AT_ONCE else f"…{text[-_MOST_AT_ONCE:]}"
