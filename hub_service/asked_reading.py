"""What is asked about a basket that is worked on: which things lie in it, and the bytes of one, piece by piece.

An app that was handed a basket asks this and nothing else, and only for that basket.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from hub_service.arguments import Arguments, Verb
from vaas.errors import Forbidden, NotFound
from vaas.keeping import Thing
from vaas.loading import address
from vaas.model import Visitor
from vaas.portal import Portal
from vaas.portal.reading import MOST
from vaas.portal.speaking import Asker
from vaas.portal.things import Held

__all__ = ["READING", "answer_handed", "file_name"]

_ONLY = "This app may only ask for the basket that it was given."
_TAKEN_BACK = "The basket that this app was given is gone, or not shared with you any more."
#: A file that is larger is read by nobody in pieces.
_LONGEST = 1 << 50


async def answer_handed(portal: Portal, asker: Asker, verb: str, args: Arguments) -> Any:
    """Return what an app is answered that was handed a basket, and nothing else of its visitor's.

    Raises
    ------
    Forbidden
        It asks for something else, or for the basket, which is not there any more, or not for the visitor.
    NotFound
        It reads a thing that is not in the basket any more, or not for the visitor.
    """
    assert asker.handed is not None
    handed, named = asker.handed, args.text("basket", "")
    if verb not in {"basket", "read"} or named not in {"", handed.basket}:
        raise Forbidden(_ONLY)
    if verb == "read":
        thing = args.text("thing")
        if thing not in handed.things:
            raise Forbidden(_ONLY)
        return await _piece(portal, asker.visitor, args, basket=handed.basket, thing=thing, visit=asker.visit)
    args.only("basket")
    portal.reading.count(asker.visitor, asker.visit)
    try:
        look = await portal.baskets.look(asker.visitor, handed.basket)
    except NotFound as error:
        raise Forbidden(_TAKEN_BACK) from error
    given = [each for each in look.things if each.state == "there" and each.thing.id in handed.things]
    # Not whose it is, nor what else its visitor has: the app may not know them.
    return {"id": look.basket.id, "name": look.basket.name, "things": [_told(each, args.base) for each in given]}


async def _read(portal: Portal, visitor: Visitor, args: Arguments) -> Any:
    return await _piece(portal, visitor, args, basket=args.text("basket", ""), thing=args.text("thing"))


async def _piece(
    portal: Portal, visitor: Visitor, args: Arguments, *, basket: str, thing: str, visit: str = ""
) -> dict[str, Any]:
    args.only("basket", "thing", "offset", "size")
    offset, size = args.number("offset", 0, least=0, most=_LONGEST), args.number("size", MOST, most=MOST)
    piece = await portal.reading.piece(visitor, basket, thing, offset=offset, size=size, visit=visit)
    data = await asyncio.to_thread(base64.b64encode, piece.data)
    return {"data": data.decode("ascii"), "size": piece.size, "etag": piece.etag}


def file_name(thing: Thing) -> str:
    """Return what its file is called; "" when it is no file of ours."""
    return str(thing.access.get("via", {}).get("path", "")).rpartition("/")[2]


def _told(held: Held, base: str) -> dict[str, Any]:
    thing = held.thing
    told = {name: getattr(thing, name) for name in ("id", "kind", "title", "size", "checksum")}
    return {
        **told,
        "etag": held.etag,
        "name": file_name(thing),
        "uri": address(thing.uri, base=base),
        "format": thing.shown.get("format", ""),
        "written": thing.access.get("written", {}),
    }


#: verb → what answers it.
READING: Mapping[str, Verb] = {"read": _read}
