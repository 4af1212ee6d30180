"""The portal's verbs, one method each; what they answer is JSON as docs/search.md has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vaas.client.wires import Wire

__all__ = ["Client"]

Answer = dict[str, Any]


class Client:
    """Asks the portal by a wire. Every method raises PortalError, in words for people."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def close(self) -> None:
        """Close the connections; the next question opens one."""
        self._wire.close()

    def me(self) -> Answer:
        """Return who asks: ``name``, None for nobody, whether they are ``signed_in`` and can ``launch``."""
        said = self._ask("me")
        name = said.get("name") or None
        return {"name": name, "signed_in": name is not None, "launch": said.get("launch") is True}

    def search(self, text: str, *, limit: int = 20, cursor: str = "", typing: bool = False) -> Answer:
        """Return what fits: ``records``, ``total``, ``facets``, ``cursor`` for more, ``silent``, ``notes``.

        ``typing``: the last word may not be complete.
        """
        return self._ask("search", text=text, limit=limit, cursor=cursor, typing=typing)

    def suggest(self, beginning: str, *, limit: int = 8) -> Answer:
        """Return ``suggestions``: words and titles that begin so."""
        return self._ask("suggest", beginning=beginning, limit=limit)

    def record(self, catalog: str, id: str) -> Answer:
        """Return one record."""
        return self._ask("record", catalog=catalog, id=id)

    def preview(self, catalog: str, id: str) -> Answer:
        """Return what is inside, by its ``kind``; kind "none", and ``why``, where nothing can be shown."""
        return self._ask("preview", catalog=catalog, id=id)

    def basket(self, basket: str = "") -> Answer:
        """Return a basket, "" for the one that is filled now, and the names of all."""
        return self._ask("basket", basket=basket)

    def read(self, basket: str, thing: str, *, offset: int = 0, size: int = 2_000_000) -> Answer:
        """Return a piece of a file in a basket: ``data`` in Base64, and ``size`` and ``etag`` of the whole."""
        return self._ask("read", basket=basket, thing=thing, offset=offset, size=size)

    def basket_add(self, catalog: str, record: str, *, basket: str = "") -> Answer:
        """Put a record into a basket, and return the basket."""
        return self._ask("basket_add", catalog=catalog, record=record, basket=basket)

    def basket_remove(self, thing: str, *, basket: str = "") -> Answer:
        """Take a thing out of a basket, and return the basket."""
        return self._ask("basket_remove", thing=thing, basket=basket)

    def basket_rename(self, name: str, *, basket: str = "") -> Answer:
        """Give a basket another name, and return it."""
        return self._ask("basket_rename", name=name, basket=basket)

    def basket_new(self, name: str) -> Answer:
        """Begin a basket, and return it."""
        return self._ask("basket_new", name=name)

    def basket_delete(self, basket: str) -> Answer:
        """Throw a basket away, and return the one that is filled from now on."""
        return self._ask("basket_delete", basket=basket)

    def basket_share(self, basket: str, subjects: Iterable[str]) -> Answer:
        """Let these and nobody else see a basket, and return it."""
        return self._ask("basket_share", basket=basket, subjects=list(subjects))

    def saved(self) -> Answer:
        """Return the ``searches`` that were saved, each with how much is ``new`` in it."""
        return self._ask("saved")

    def save_search(self, q: str, name: str) -> Answer:
        """Save a search, and return all."""
        return self._ask("save_search", q=q, name=name)

    def forget_search(self, id: str) -> Answer:
        """Forget a saved search, and return the others."""
        return self._ask("forget_search", id=id)

    def mark_seen(self, id: str) -> Answer:
        """Note that a saved search was looked at, and return all."""
        return self._ask("mark_seen", id=id)

    def ask_access(self, slug: str, access: str, message: str = "") -> Answer:
        """Ask an app's owner for more access."""
        return self._ask("ask_access", slug=slug, access=access, message=message)

    def requests(self) -> Answer:
        """Return what was ``asked`` for, and what waits for the asker ``to_answer``."""
        return self._ask("requests")

    def answer_request(self, id: str, *, grant: bool) -> Answer:
        """Give what somebody asked for, or do not."""
        return self._ask("answer_request", id=id, grant=grant)

    def _ask(self, verb: str, **args: Any) -> Answer:
        answer: Answer = self._wire.ask(verb, args)
        return answer
