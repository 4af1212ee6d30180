"""The ports to the Hub: where app servers run, the servers of people, and who there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vaas.model import ServerName, ServerState, User

__all__ = ["Backend", "Directory", "Lent", "OwnServer", "OwnServers"]


class Backend(ABC):
    """Start, watch and stop app servers; every method raises Unavailable when the Hub does not answer."""

    @abstractmethod
    async def start(self, server: ServerName) -> None:
        """Ask for the server and its account; no-op when it runs or starts."""

    @abstractmethod
    async def state(self, server: ServerName) -> ServerState:
        """Return how the server is doing; "stopped" for one that was never started."""

    @abstractmethod
    async def stop(self, server: ServerName) -> None:
        """Stop the server; no-op when none runs."""

    @abstractmethod
    async def forget(self, account: str) -> None:
        """Stop all servers of the account and remove it; no-op when it does not exist."""

    @abstractmethod
    def url(self, server: ServerName) -> str:
        """Return the server's public address, with a slash at its end."""


@dataclass(frozen=True)
class Lent:
    """What a person lends the portal while it answers one request: their own right to start and stop their servers."""

    user: User
    token: str = field(repr=False)


@dataclass(frozen=True)
class OwnServer:
    """How a person's own server is doing.

    Parameters
    ----------
    phase:
        "queued", "starting", "ready", "stopping", "stopped", or "failed": it did not start, and ``message`` says why.
    progress, message:
        Of 100, and in the Hub's words, while it starts.
    url:
        Its public address, with a slash at its end.
    used:
        When something was last done in it, as the Hub has heard.
    starts_in:
        The batch system's estimate in seconds; None where there is none.
    """

    phase: str = "stopped"
    progress: int = 0
    message: str = ""
    url: str = ""
    used: datetime | None = None
    starts_in: float | None = None


class OwnServers(ABC):
    """Start, watch and stop a person's own named servers, by the right that they lend and by no other.

    Every method raises Unavailable when the Hub does not answer, and Forbidden when what is lent does not suffice.
    """

    @abstractmethod
    async def start(self, lent: Lent, name: str, *, title: str, plan: str) -> None:
        """Ask for the server, and do not wait for it; no-op when it runs or starts. Conflict for one too many."""

    @abstractmethod
    async def state(self, lent: Lent, name: str) -> OwnServer:
        """Return how the server is doing; "stopped" for one that was never started."""

    @abstractmethod
    async def all(self, lent: Lent) -> Mapping[str, OwnServer]:
        """Return how all their servers are doing, by name; why one did not start is told by :meth:`state` alone."""

    @abstractmethod
    async def stop(self, lent: Lent, name: str) -> None:
        """Stop the server, also while it starts; no-op when none runs."""

    @abstractmethod
    async def remove(self, lent: Lent, name: str) -> None:
        """Stop the server and forget it; no-op when there is none."""


class Directory(ABC):
    """Who there is, as the Hub knows it; every method raises Unavailable when the Hub does not answer."""

    @abstractmethod
    async def user(self, name: str) -> User | None:
        """Return the person with this name, or None; a few seconds old at most."""

    @abstractmethod
    async def people(self) -> list[str]:
        """Return the names of all people, sorted, without app accounts."""

    @abstractmethod
    async def groups(self) -> list[str]:
        """Return the names of all groups of people, sorted."""
