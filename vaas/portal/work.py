"""Work that a process does for the whole site or for itself: told to all who share the database, and left to others.

So a command can see how far it is, on whichever machine it is done.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from vaas.db.base import Lease
from vaas.portal.core import Core

__all__ = ["INDEX", "REPORT", "SWEEP", "WANTED", "Work"]

_log = logging.getLogger("vaas")
#: The names: each process's index is followed by a name of its own, sweeps are one process's, and a sweep may be
#: wanted by somebody and is reported then.
INDEX, SWEEP, WANTED, REPORT = "index:", "sweep", "sweep wanted", "sweep report"
#: What is told sometimes is told again after so many seconds.
_SOMETIMES, _PROGRESS = 15.0, 0.5


class Work:
    """One work of this process; ``alone``: no other process does it meanwhile.

    Parameters
    ----------
    seconds:
        After how long without a word the process counts as dead.
    """

    def __init__(self, core: Core, name: str, *, alone: bool = False, seconds: float = 60.0) -> None:
        self._core, self._seconds = core, seconds
        self.holder = secrets.token_hex(8)
        self._name = name if alone else f"{name}:{self.holder}"
        #: One word at a time, and none after the last: a thread may still be about to say something then.
        self._speaking, self._is_over = threading.Lock(), False
        self._told: tuple[float, Mapping[str, Any]] = (float("-inf"), {})

    def tell(self, **said: Any) -> bool:
        """Say that it is done, and how far it is. False: another process does it."""
        now = self._core.now()
        lease = Lease(self._name, self.holder, now + timedelta(seconds=self._seconds), said)
        with self._speaking:
            if self._is_over:
                return False
            with self._core.database.begin() as records:
                taken = records.leases.take(lease, now=now)
        self._told = (time.monotonic(), said)
        return taken

    def tell_sometimes(self, **said: Any) -> None:
        """Say it, unless something like it was said a moment ago; that it cannot be said harms nothing."""
        at, before = self._told
        pause = _SOMETIMES if said == before else _PROGRESS if said.keys() == before.keys() else 0.0
        if time.monotonic() - at < pause:
            return
        try:
            self.tell(**said)
        except Exception as error:
            _log.warning("It cannot be said how far %s is: %s", self._name, error)

    def end(self) -> None:
        """Let another process do it; this one does not take it again."""
        with self._speaking:
            self._is_over = True
            try:
                with self._core.database.begin() as records:
                    records.leases.give_back(self._name, self.holder)
            except Exception as error:
                # It is over by itself, after a while.
                _log.warning("It cannot be said that %s is over: %s", self._name, error)
