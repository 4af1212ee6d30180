"""The port to what makes environments: what is asked for becomes a lock, and a lock an environment on this disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vaas.locks import Lock
from vaas.requirements import Requirements

__all__ = ["Bounds", "Made", "Maker", "Told", "nobody"]

#: Hears what is done at the moment, in words for who waits.
Told = Callable[[str], None]


def nobody(step: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Bounds:
    """How much making may take: seconds and bytes for one environment; bytes and days for those that nobody uses."""

    seconds: int = 600
    bytes: int = 8_000_000_000
    kept_bytes: int = 20_000_000_000
    kept_days: int = 30


@dataclass(frozen=True)
class Made:
    """An environment that is there: the digest of its lock, its Python's version, its bytes on the disk."""

    digest: str
    python: str
    size: int


class Maker(ABC):
    """Locks and makes environments; all is named by what is in it, so whatever is made twice is the same."""

    @abstractmethod
    def wanted(self, asked: Requirements) -> str:
        """Return what a lock of this has as ``wanted``: another one when what we add to it has changed."""

    @abstractmethod
    async def lock(self, asked: Requirements, *, before: Lock | None = None, told: Told = nobody) -> Lock:
        """Return exact packages for what is asked; those of ``before`` wherever they fit.

        Raises Invalid where nothing fits, with the line, and Unavailable where the index does not answer.
        """

    @abstractmethod
    async def make(self, lock: Lock, *, told: Told = nobody) -> Made:
        """Return the environment of the lock; made once, however many ask for it at the same time.

        Raises Invalid where the lock cannot be installed, TooLarge, StorageFull and Unavailable.
        """

    @abstractmethod
    def find(self, digest: str) -> Made | None:
        """Return the environment of that name, if it is there, and note that it is used."""

    @abstractmethod
    def sweep(self, *, keep: Collection[str]) -> int:
        """Remove what nobody has used for long, or what is too much, but nothing of ``keep``; return how many."""
