"""What the dashboard may ask about what people keep: verb → function, with the arguments checked.

Each takes the portal, who asks, and what was sent; what it returns is JSON. It raises what the portal's verbs raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_service.arguments import Arguments, Verb
from hub_service.handlers.sharing import access_named
from hub_service.kept_json import basket_json, request_json, requests_json, saved_json
from vaas.model import Visitor
from vaas.portal import Portal
from vaas.portal.baskets import Look
from vaas.portal.requests import Asked
from vaas.portal.things import MOST_ID

__all__ = ["KEEPING"]


def _told(args: Arguments, look: Look) -> dict[str, Any]:
    return basket_json(look, base=args.base)


async def _basket(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("basket")
    return _told(args, await portal.baskets.look(visitor, args.text("basket", "")))


async def _basket_add(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("catalog", "record", "basket")
    catalog, record = args.text("catalog"), args.text("record", most=MOST_ID)
    return _told(args, await portal.baskets.add(visitor, catalog, record, basket_id=args.text("basket", "")))


async def _basket_remove(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("thing", "basket")
    return _told(args, await portal.baskets.remove(visitor, args.text("thing"), basket_id=args.text("basket", "")))


async def _basket_rename(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("name", "basket")
    return _told(args, await portal.baskets.rename(visitor, args.text("name"), basket_id=args.text("basket", "")))


async def _basket_new(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("name")
    return _told(args, await portal.baskets.new(visitor, args.text("name")))


async def _basket_delete(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("basket")
    return _told(args, await portal.baskets.delete(visitor, args.text("basket")))


async def _basket_share(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("basket", "subjects")
    return _told(args, await portal.baskets.share(visitor, args.text("basket"), args.texts("subjects")))


async def _saved(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only()
    return saved_json(await portal.saved.look(visitor))


async def _save_search(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("q", "name")
    return saved_json(await portal.saved.save(visitor, args.text("q"), args.text("name", "")))


async def _forget_search(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("id")
    return saved_json(await portal.saved.forget(visitor, args.text("id")))


async def _mark_seen(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("id")
    return saved_json(await portal.saved.mark(visitor, args.text("id")))


async def _ask_access(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("slug", "access", "message")
    slug, access, message = args.text("slug"), args.text("access", "READ"), args.text("message", "")
    app = portal.core.see(visitor, slug, "ask for access").app
    request = portal.requests.ask(visitor, slug, access=access_named(access), message=message)
    return request_json(Asked(request, app), base=args.base)


async def _requests(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only()
    asked, to_answer = portal.requests.look(visitor)
    return requests_json(asked, to_answer, base=args.base)


async def _answer_request(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("id", "grant")
    answered = await portal.requests.answer(visitor, args.text("id"), grant=args.flag("grant"))
    return request_json(answered, base=args.base)


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
