"""What the dashboard may ask about what people keep: verb → function, with the arguments checked.

Each takes the portal, who asks, and what was sent; what it returns is JSON. It raises what the portal's verbs raise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hub_service.handlers.sharing import access_named
from hub_service.kept_json import basket_json, request_json, requests_json, saved_json
from vaas.errors import Invalid
from vaas.model import Visitor
from vaas.portal import Portal
from vaas.portal.baskets import Look
from vaas.portal.requests import Asked

__all__ = ["KEEPING", "Verb"]

Verb = Callable[[Portal, Visitor, Mapping[str, Any]], Awaitable[Any]]
#: No argument is longer; what holds for each is the portal's own to say.
_LONGEST, _MOST = 10_000, 200


class _Args:
    """What was sent, each argument of the kind that it must be. One that nobody asked for is an error."""

    def __init__(self, args: Mapping[str, Any], *known: str) -> None:
        self._args = args
        if odd := sorted(str(name)[:40] for name in args if name not in known):
            raise Invalid(f"There is no argument {odd[0]}.")

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        value = self._args.get(name, default)
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise Invalid(f"“{name}” must be a text.", field=name)
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._args.get(name)
        if not isinstance(value, bool):
            raise Invalid(f"“{name}” must be true or false.", field=name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._args.get(name)
        fits = isinstance(value, list | tuple) and len(value) <= _MOST
        if not fits or not all(isinstance(each, str) and len(each) <= _LONGEST for each in value or ()):
            raise Invalid(f"“{name}” must be a list of texts, {_MOST} at most.", field=name)
        return tuple(value or ())


def _told(portal: Portal, look: Look) -> dict[str, Any]:
    return basket_json(look, base=portal.core.public_url)


async def _basket(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "basket")
    return _told(portal, await portal.baskets.look(visitor, said.text("basket", "")))


async def _basket_add(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "catalog", "record", "basket")
    catalog, record, basket = said.text("catalog"), said.text("record"), said.text("basket", "")
    return _told(portal, await portal.baskets.add(visitor, catalog, record, basket_id=basket))


async def _basket_remove(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "thing", "basket")
    return _told(portal, await portal.baskets.remove(visitor, said.text("thing"), basket_id=said.text("basket", "")))


async def _basket_rename(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "name", "basket")
    return _told(portal, await portal.baskets.rename(visitor, said.text("name"), basket_id=said.text("basket", "")))


async def _basket_new(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    return _told(portal, await portal.baskets.new(visitor, _Args(args, "name").text("name")))


async def _basket_delete(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    return _told(portal, await portal.baskets.delete(visitor, _Args(args, "basket").text("basket")))


async def _basket_share(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "basket", "subjects")
    return _told(portal, await portal.baskets.share(visitor, said.text("basket"), said.texts("subjects")))


async def _saved(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    _Args(args)
    return saved_json(await portal.saved.look(visitor))


async def _save_search(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "q", "name")
    return saved_json(await portal.saved.save(visitor, said.text("q"), said.text("name", "")))


async def _forget_search(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    return saved_json(await portal.saved.forget(visitor, _Args(args, "id").text("id")))


async def _mark_seen(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    return saved_json(await portal.saved.mark(visitor, _Args(args, "id").text("id")))


async def _ask_access(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "slug", "access", "message")
    slug, access, message = said.text("slug"), said.text("access", "READ"), said.text("message", "")
    app = portal.core.see(visitor, slug, "ask for access").app
    request = portal.requests.ask(visitor, slug, access=access_named(access), message=message)
    return request_json(Asked(request, app), base=portal.core.public_url)


async def _requests(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    _Args(args)
    asked, to_answer = portal.requests.look(visitor)
    return requests_json(asked, to_answer, base=portal.core.public_url)


async def _answer_request(portal: Portal, visitor: Visitor, args: Mapping[str, Any]) -> Any:
    said = _Args(args, "id", "grant")
    answered = await portal.requests.answer(visitor, said.text("id"), grant=said.flag("grant"))
    return request_json(answered, base=portal.core.public_url)


#: verb → what answers it.
KEEPING: Mapping[str, Verb] = {
    "basket": _basket,
    "basket_add": _basket_add,
    "basket_remove": _basket_remove,
    "basket_rename": _basket_rename,
    "basket_new": _basket_new,
    "basket_delete": _basket_delete,
    "basket_share": _basket_share,
    "saved": _saved,
    "save_search": _save_search,
    "forget_search": _forget_search,
    "mark_seen": _mark_seen,
    "ask_access": _ask_access,
    "requests": _requests,
    "answer_request": _answer_request,
}
