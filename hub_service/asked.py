"""What programs ask, verb by verb, for one visitor: the same for the kernels of the portal's own app and over REST.

Another verb is one function and one line in a table that :data:`VERBS` holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from hub_service.arguments import Arguments, Verb
from hub_service.asked_keeping import KEEPING
from hub_service.asked_reading import READING, answer_handed
from hub_service.handlers.base import plain
from vaas.catalogs.base import Record
from vaas.errors import NotFound
from vaas.loading import lines
from vaas.model import Visitor
from vaas.portal import Portal
from vaas.portal.finding import LONGEST_CURSOR
from vaas.portal.speaking import Asker
from vaas.portal.things import MOST_ID, access_of

__all__ = ["VERBS", "answer", "answer_asker", "record_json"]

#: How many hits, and how many suggestions, are had at once.
_MOST, _MOST_SUGGESTED = 100, 50


async def answer(portal: Portal, visitor: Visitor, verb: str, args: Mapping[str, Any], *, base: str) -> Any:
    """Return what the visitor is answered, ready for JSON.

    Raises
    ------
    NotFound
        There is no such verb, or not what it asks for.
    Invalid
        An argument cannot be used.
    """
    function = VERBS.get(verb)
    if function is None:
        raise NotFound("The portal does not know this question.")
    return plain(await function(portal, visitor, Arguments(args, base=base)))


async def answer_asker(portal: Portal, asker: Asker, verb: str, args: Mapping[str, Any], *, base: str) -> Any:
    """Return what an app server's visitor is answered: all that they may ask, or only for what they handed over.

    Raises what :func:`answer` raises, and Forbidden.
    """
    if asker.handed is not None:
        return plain(await answer_handed(portal, asker, verb, Arguments(args, base=base)))
    return await answer(portal, asker.visitor, verb, args, base=base)


async def _me(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only()
    told = {"name": visitor.name or None, "signed_in": visitor.user is not None}
    return {**told, "launch": portal.launching.offered(visitor)}


async def _search(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("text", "limit", "cursor", "typing")
    page = await portal.finding.search(
        args.text("text"),
        visitor=visitor,
        limit=args.number("limit", 20, most=_MOST),
        cursor=args.text("cursor", "", most=LONGEST_CURSOR),
        typing=args.flag("typing", default=False),
    )
    records = [record_json(record, base=args.base) for record in portal.gallery.told(visitor, page.records)]
    facets = dict(page.facets)
    # How many changed in which month: not one of the values by which people choose.
    return {**vars(page), "records": records, "timeline": facets.pop("month", {}), "facets": facets}


async def _suggest(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    args.only("beginning", "limit")
    beginning, limit = args.text("beginning"), args.number("limit", 8, most=_MOST_SUGGESTED)
    return {"suggestions": await portal.finding.suggest(beginning, visitor=visitor, limit=limit)}


async def _record(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    record = await portal.finding.record(*_named(args), visitor=visitor)
    return record_json(*portal.gallery.told(visitor, [record]), base=args.base)


async def _preview(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    return await portal.previewing.preview(visitor, *_named(args))


def _named(args: Arguments) -> tuple[str, str]:
    """Return the catalog and the id of a record."""
    args.only("catalog", "id")
    return args.text("catalog", most=60), args.text("id", most=MOST_ID)


def record_json(record: Record, *, base: str) -> dict[str, Any]:
    """Return a record as programs see it."""
    shown: dict[str, Any] = plain(asdict(record))
    del shown["text"]
    if record.catalog == "here":
        shown["url"] = _page(record, base)
    if record.type == "data":
        shown["code"] = lines(*access_of(record), base=base)
    return shown


def _page(record: Record, base: str) -> str:
    """Return the address of the portal's page of a record: for a data file it is that of its folder."""
    if record.type == "app":
        return f"{base}apps/{record.details['slug']}/"
    if record.type == "person":
        return f"{base}?q={quote(record.owner)}"
    if "basket" in record.details:
        return f"{base}basket/{record.details['basket']}"
    if "store" not in record.details:
        return record.url
    path = str(record.details.get("path", ""))
    shown = path if record.type in {"notebook", "folder"} else path.rpartition("/")[0]
    return f"{base}files/{record.details['store']}/{quote(shown)}"


_FINDING: Mapping[str, Verb] = {
    "me": _me,
    "search": _search,
    "suggest": _suggest,
    "record": _record,
    "preview": _preview,
}
#: verb → what answers it: all tables in one.
VERBS: Mapping[str, Verb] = {**_FINDING, **KEEPING, **READING}
