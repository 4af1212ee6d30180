"""What a notebook says to its owner through Jupyter (errors, standard error): to the log, and not without end."""

from __future__ import annotations

import logging

__all__ = ["Logged", "cut"]

#: So much of one page is written, in characters.
_MOST = 500_000
_MOST_AT_ONCE = 20_000
log = logging.getLogger(__name__)


class Logged:
    """The share that one page has of the log; ``name`` is put before each message."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = _MOST

    def say(self, text: str, *, level: int = logging.INFO) -> None:
        """Write it, unless there was too much."""
        if self._left <= 0:
            return
        text = cut(text)
        self._left -= len(text) + len(self._name)
        log.log(level, "%s: %s", self._name, text)
        if self._left <= 0:
            log.warning("%s says very much; what comes now is left out of this log.", self._name)


def cut(text: str) -> str:
    """Return the text, or the end of one that is far too long: errors say there what they are."""
    return text if len(text) <= _MOST_AT_ONCE else f"…{text[-_MOST_AT_ONCE:]}"
