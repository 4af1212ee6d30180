"""What people keep, as REST and the dashboard show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vaas.keeping import AccessRequest, Basket
from vaas.loading import address, lines
from vaas.portal.baskets import Look
from vaas.portal.requests import Asked
from vaas.portal.saved import News
from vaas.portal.things import Held

__all__ = ["basket_json", "baskets_json", "request_json", "requests_json", "saved_json", "thing_json"]


def basket_json(look: Look, *, base: str) -> dict[str, Any]:
    """Return a basket with its things and the list of all baskets; ``hidden`` counts what the asker may not see."""
    return {
        **_basket(look.basket, look.count),
        "hidden": look.hidden,
        "things": [thing_json(held, base=base) for held in look.things],
        "baskets": baskets_json(look),
    }


def baskets_json(look: Look) -> list[dict[str, Any]]:
    """Return the baskets that the asker may look into, their own first."""
    return [_basket(basket, count) for basket, count in look.baskets]


def _basket(basket: Basket, count: int) -> dict[str, Any]:
    shared = list(basket.shared_with)
    return {"id": basket.id, "name": basket.name, "owner": basket.owner, "count": count, "shared_with": shared}


def thing_json(held: Held, *, base: str) -> dict[str, Any]:
    """Return a thing; ``code`` are the lines that load it, ``changed`` says that it is another content by now."""
    thing = held.thing
    # A folder has no bytes of its own.
    loads = held.state == "there" and thing.shown.get("type") != "folder"
    names = ("id", "kind", "title", "catalog", "record", "size", "checksum")
    return {
        **{name: getattr(thing, name) for name in names},
        "added": thing.added.isoformat(),
        "uri": address(thing.uri, base=base),
        "access": dict(thing.access),
        "shown": dict(thing.shown),
        "state": held.state,
        "changed": held.changed,
        "code": lines(thing.kind, thing.uri, thing.access, base=base) if loads else "",
    }


def saved_json(news: Iterable[News]) -> dict[str, Any]:
    """Return saved searches; ``new`` is null while nobody can tell."""
    return {
        "searches": [
            {
                "id": each.search.id,
                "name": each.search.name,
                "q": each.search.q,
                "created": each.search.created.isoformat(),
                "seen": each.search.seen.isoformat(),
                "new": each.new,
            }
            for each in news
        ]
    }


def requests_json(asked: Iterable[Asked], to_answer: Iterable[Asked], *, base: str) -> dict[str, Any]:
    """Return what somebody asked for, and what waits for their answer."""
    return {
        "asked": [request_json(each, base=base) for each in asked],
        "to_answer": [request_json(each, base=base) for each in to_answer],
    }


def request_json(asked: Asked, *, base: str) -> dict[str, Any]:
    """Return one request; of an app that the asker may not see any more, with the title as it was."""
    request, app = asked.request, asked.app
    return {
        **_request(request),
        "title": app.title if app else request.title,
        "slug": app.slug if app else "",
        "url": f"{base}apps/{app.slug}/" if app else "",
    }


def _request(request: AccessRequest) -> dict[str, Any]:
    """Return what both sides may know of it: not who of those who may answer did so."""
    return {
        "id": request.id,
        "who": request.who,
        "access": request.access.name,
        "message": request.message,
        "created": request.created.isoformat(),
        "state": request.state,
        "answered": request.answered.isoformat() if request.answered else None,
    }
