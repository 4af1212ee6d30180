"""The database port, second part: what is found in the places where files are, and who looks after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Find", "Finds", "Lease", "Leases", "MOST_KEY", "Walks"]

#: So long may the key of a change be, in bytes: databases keep an index of them.
MOST_KEY = 1_100


@dataclass(frozen=True)
class Find:
    """Something that was found in a place.

    Parameters
    ----------
    record:
        What is said of it, as JSON.
    readers:
        The subjects that may see it.
    mark:
        What of its state was looked at: another one has to be looked at again.
    note:
        Why it could not be looked into, in words.
    """

    place: str
    path: str
    mark: str
    kind: str
    record: Mapping[str, Any] = field(repr=False)
    readers: frozenset[str]
    seen: datetime
    size: int = 0
    modified: datetime | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """What names it among all finds."""
        return f"{self.place}/{self.path}"


class Finds(ABC):
    """What was found in the places; each write notes a change of kind "file" for every find."""

    @abstractmethod
    def some(self, keys: Collection[str]) -> list[Find]:
        """Return those with these keys, as far as there are any."""

    @abstractmethod
    def marks(self, place: str, below: str = "", *, deep: bool = True) -> dict[str, str]:
        """Return the marks of what was found in the place by path, or of what is at or below one path.

        ``deep``: what lies in the folders there, too.
        """

    @abstractmethod
    def count(self, place: str) -> int:
        """Return how much was found in the place."""

    @abstractmethod
    def save(self, finds: Collection[Find]) -> None:
        """Add them, or replace those of the same place and path."""

    @abstractmethod
    def remove(self, place: str, paths: Iterable[str] | None = None) -> None:
        """Remove these of the place, or all with what is known of its folders; no-op for those that are not there."""

    @abstractmethod
    def places(self) -> dict[str, int]:
        """Return of which places there is something, and how much."""

    @abstractmethod
    def noted(self, *, limit: int) -> list[tuple[str, str, str]]:
        """Return place, path and note of what could not be looked into, by place and path."""


class Walks(ABC):
    """What the folders of a place were like when it was last walked: those that are still so need no walk."""

    @abstractmethod
    def of(self, place: str) -> dict[str, str]:
        """Return the etags of its folders by path; empty when there is nothing to go by."""

    @abstractmethod
    def save(self, place: str, etags: Mapping[str, str]) -> None:
        """Keep them instead of those before."""


@dataclass(frozen=True)
class Lease:
    """Work that one process does, until when nobody else may, and what that process says of it."""

    name: str
    holder: str
    until: datetime
    said: Mapping[str, Any] = field(default_factory=dict)


class Leases(ABC):
    """Which process does what, among all that share the database."""

    @abstractmethod
    def take(self, lease: Lease, *, now: datetime) -> bool:
        """Take it, or go on holding it; False, and nothing is kept, while another process holds it."""

    @abstractmethod
    def give_back(self, name: str, holder: str) -> None:
        """Let another process have it; no-op for who does not hold it."""

    @abstractmethod
    def all(self, beginning: str) -> list[Lease]:
        """Return those whose names begin so, over ones too, by name."""
