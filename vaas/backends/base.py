"""The ports to the Hub: where app servers run, and who there is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vaas.model import ServerName, ServerState, User

__all__ = ["Backend", "Directory"]


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
