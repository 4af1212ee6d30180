"""How the placing of a launch goes, told to the portal often enough to be watched and no more."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from vaas.errors import VaasError
from vaas.lab.manifest import Thing
from vaas.lab.portal import PortalClient

__all__ = ["Progress"]

#: Seconds between two words about what goes on; what ends something is told at once.
_PAUSE = 0.4


class Progress:
    """What is known now; the portal hears of it by the thread that says it."""

    def __init__(self, portal: PortalClient) -> None:
        self._portal, self._told = portal, 0.0
        self._said: dict[str, Any] = {"state": "placing", "percent": 0, "step": "", "message": "", "things": {}}
        self._lock = threading.RLock()

    def expect(self, things: tuple[Thing, ...]) -> None:
        """Name what there is to fetch."""
        self._said["things"] = {
            each.id: {
                "done": 0,
                "of": each.size,
                "state": "failed" if each.why else "waiting",
                "message": _missing(each) if each.why else "",
            }
            for each in things
        }

    def say(self, *, state: str = "", step: str = "", message: str = "", error: str = "", **more: str) -> bool:
        """Tell the portal at once, and return whether it hears."""
        said = {"state": state, "step": step, "message": message, "error": error} | more
        with self._lock:
            self._said |= {name: value for name, value in said.items() if value}
            if state == "ready":
                self._said["percent"] = self._percent()
            return self._tell()

    def thing(self, id: str, *, done: int = 0, of: int = 0, state: str, message: str = "") -> None:
        """Note how far a thing is; who ends one says so at once."""
        with self._lock:
            of = of or self._said["things"].get(id, {}).get("of", 0)
            self._said["things"][id] = {"done": done, "of": of, "state": state, "message": message}
            self._said["percent"] = self._percent()
            if state != "running" or time.monotonic() - self._told > _PAUSE:
                self._tell()

    def _percent(self) -> int:
        """Return how much of the bytes is there; what failed is not waited for."""
        things = [each for each in self._said["things"].values() if each["state"] not in {"failed", "mounted"}]
        whole = sum(each["of"] for each in things)
        return min(100, 100 * sum(min(each["done"], each["of"]) for each in things) // whole) if whole else 100

    def _tell(self) -> bool:
        self._told = time.monotonic()
        try:
            self._portal.post(self._said)
        except VaasError as error:
            print(f"The portal hears nothing: {error.log_message}", file=sys.stderr, flush=True)
            return False
        return True


def _missing(thing: Thing) -> str:
    """Say why a thing is not fetched, and where it is."""
    return thing.why if thing.uri in thing.why else f"{thing.why} Its address is {thing.uri}"
