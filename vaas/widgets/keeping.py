"""What belongs to one visitor: who they are, their baskets, saved searches, and requests for access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaas.client import PortalError
from vaas.widgets import shown
from vaas.widgets.verbs import Told, Verbs

__all__ = ["Keeping"]

Json = dict[str, Any]
_MOST_NAME, _MOST_MESSAGE = 80, 1_000


class Keeping:
    """Asks for what is kept, does what is wanted with it, and returns how it looks then.

    Every method may raise PortalError. ``here`` returns the client that asks as the visitor.
    """

    def __init__(self, here: Callable[[], Verbs]) -> None:
        self._here = here
        self.mine: Json = {"state": ""}

    def arrive(self) -> Json:
        """Find out who is there, and what they keep; nobody in particular keeps nothing."""
        client = self._here()
        me = client.me()
        signed_in = bool(me.get("signed_in"))
        self.mine = {"state": "ok", "name": me.get("name"), "signed_in": signed_in, "launch": bool(me.get("launch"))}
        if signed_in:
            for ask, take in (
                (client.basket, self._take_basket),
                (client.saved, self._take_saved),
                (client.requests, self._take_requests),
            ):
                try:
                    take(ask())
                except PortalError as error:
                    # The others may be there all the same.
                    self.mine = {**self.mine, "why": str(error)}
        return self.mine

    def basket(self, do: str, said: Mapping[str, Any]) -> Json:
        """Do something with the basket in use: add, remove, rename, new, delete, share or switch."""
        client, now = self._here(), str((self.mine.get("basket") or {}).get("id") or "")
        name = str(said.get("name") or "").strip()[:_MOST_NAME]
        doings: dict[str, Callable[[], Told]] = {
            "add": lambda: client.basket_add(*_split(said.get("key")), basket=now),
            "remove": lambda: client.basket_remove(str(said["thing"]), basket=now),
            "rename": lambda: client.basket_rename(name, basket=now),
            # Without a name it is the current one, which is there from the start and of which there is one.
            "new": lambda: client.basket_new(name) if name else client.basket(""),
            "delete": lambda: client.basket_delete(now),
            "share": lambda: client.basket_share(now, [str(each) for each in said.get("subjects") or ()]),
            "switch": lambda: client.basket(str(said["basket"])),
        }
        self._take_basket(doings[do]())
        return self.mine

    def saved(self, do: str, said: Mapping[str, Any]) -> Json:
        """Do something with the saved searches: save, forget, or take what one finds as seen."""
        client, name = self._here(), str(said.get("name") or "").strip()[:_MOST_NAME]
        doings: dict[str, Callable[[], Told]] = {
            "save": lambda: client.save_search(str(said["q"]), name or str(said["q"])[:_MOST_NAME]),
            "forget": lambda: client.forget_search(str(said["id"])),
            "seen": lambda: client.mark_seen(str(said["id"])),
        }
        self._take_saved(doings[do]())
        return self.mine

    def ask(self, slug: str, access: str, message: str) -> Json:
        """Ask an app's owner for more access to it."""
        self._here().ask_access(slug, access, message.strip()[:_MOST_MESSAGE])
        self._take_requests(self._here().requests())
        return self.mine

    def answer(self, request: str, *, grant: bool) -> Json:
        """Answer a request."""
        self._here().answer_request(request, grant=grant)
        self._take_requests(self._here().requests())
        return self.mine

    def _take_basket(self, told: Told) -> None:
        baskets = told.get("baskets") or self.mine.get("baskets") or []
        listed = [
            {
                "id": str(each["id"]),
                "name": str(each.get("name") or ""),
                "count": int(each.get("count") or 0),
                "owner": str(each.get("owner") or ""),
                "shared_with": [str(subject) for subject in each.get("shared_with") or ()],
            }
            for each in baskets
        ]
        now = next((each for each in listed if each["id"] == str(told["id"])), None)
        if now is None and not told["id"]:
            listed.insert(0, {"id": "", "name": "", "count": 0, "owner": "", "shared_with": []})
        basket = {
            "id": str(told["id"]),
            "name": str(told.get("name") or ""),
            "count": int(told.get("count") or len(told.get("things") or ())),
            "hidden": int(told.get("hidden") or 0),
            "things": [_thing(each) for each in told.get("things") or ()],
            "owner": now["owner"] if now else "",
            "shared_with": now["shared_with"] if now else [],
            "mine": not now or now["owner"] in {"", self.mine.get("name")},
        }
        self.mine = {**self.mine, "basket": basket, "baskets": listed}

    def _take_saved(self, told: Told) -> None:
        saved = [
            {"id": str(each["id"]), "name": str(each["name"]), "q": str(each["q"]), "new": _count(each.get("new"))}
            for each in told.get("searches") or ()
        ]
        self.mine = {**self.mine, "saved": saved}

    def _take_requests(self, told: Told) -> None:
        asked = [_request(each) for each in told.get("asked") or ()]
        self.mine = {**self.mine, "asked": asked, "to_answer": [_request(each) for each in told.get("to_answer") or ()]}


def _split(key: object) -> tuple[str, str]:
    catalog, _, record = str(key).partition(" ")
    return catalog, record


def _count(said: object) -> int | None:
    """Return how many there are; None: that is not known at the moment."""
    return said if isinstance(said, int) else None


def _thing(said: Mapping[str, Any]) -> Json:
    return {
        "id": str(said["id"]),
        "key": f"{said.get('catalog', '')} {said.get('record', '')}",
        "title": str(said.get("title") or said.get("uri") or ""),
        "kind": str(said.get("kind") or ""),
        "size": shown.size_of(said.get("size")),
        "gone": said.get("state") == "gone",
    }


def _request(said: Mapping[str, Any]) -> Json:
    names = ("id", "who", "slug", "title", "access", "message", "state")
    return {name: str(said.get(name) or "") for name in names}
