"""What the views ask of a portal: the client's verbs, and nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Told", "Verbs"]

#: What a verb answers: JSON.
Told = Mapping[str, Any]


class Verbs(Protocol):
    """A client of a portal. Each verb may raise PortalError, with a message for people."""

    def me(self) -> Told:
        """Tell who asks."""
        ...

    def search(self, text: str, *, limit: int = 20, cursor: str = "", typing: bool = False) -> Told:
        """Find."""
        ...

    def suggest(self, beginning: str, *, limit: int = 8) -> Told:
        """Return words that begin so."""
        ...

    def preview(self, catalog: str, id: str) -> Told:
        """Look inside."""
        ...

    def basket(self, basket: str = "") -> Told:
        """Return a basket; by default, the one in use."""
        ...

    def basket_add(self, catalog: str, record: str, *, basket: str = "") -> Told:
        """Put something into it."""
        ...

    def basket_remove(self, thing: str, *, basket: str = "") -> Told:
        """Take something out."""
        ...

    def basket_rename(self, name: str, *, basket: str = "") -> Told:
        """Name it."""
        ...

    def basket_new(self, name: str) -> Told:
        """Begin another one."""
        ...

    def basket_delete(self, basket: str) -> Told:
        """Delete one; answers the one in use then."""
        ...

    def basket_share(self, basket: str, subjects: Sequence[str]) -> Told:
        """Show it to these subjects, and to nobody else."""
        ...

    def saved(self) -> Told:
        """Return the searches that were saved."""
        ...

    def save_search(self, q: str, name: str) -> Told:
        """Save one."""
        ...

    def forget_search(self, id: str) -> Told:
        """Forget one."""
        ...

    def mark_seen(self, id: str) -> Told:
        """Count what is new from now on."""
        ...

    def ask_access(self, slug: str, access: str, message: str) -> Told:
        """Ask an app's owner."""
        ...

    def requests(self) -> Told:
        """Return what was asked, and what is to be answered."""
        ...

    def answer_request(self, id: str, *, grant: bool) -> Told:
        """Answer a request."""
        ...
