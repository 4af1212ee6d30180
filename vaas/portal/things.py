"""What is kept of a record in a basket: what it is, where, how large, and how to get it; every text is bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vaas.catalogs.base import Record
from vaas.errors import Invalid
from vaas.keeping import Thing
from vaas.loading import written
from vaas.prose import clean_text, shorten

__all__ = ["MOST_ID", "OWN", "Held", "access_of", "as_found", "as_kept", "as_title", "thing_of"]

#: What the portal's own catalog is called.
OWN = "here"
#: Characters of a title, of a summary, of an address or a path, and of other words.
_TITLE, _SUMMARY, _ADDRESS, _WORD = 300, 600, 4000, 200
#: And of the id of a record.
MOST_ID = 5000
_FILES = {"notebook": "file", "data": "file", "code": "file", "folder": "file", "share": "share"}


@dataclass(frozen=True)
class Held:
    """A thing as one visitor sees it.

    Parameters
    ----------
    state:
        "there"; "gone", of which nothing but what was kept of its title is told; or "unknown", as little, because
        nobody can be asked at the moment.
    changed:
        Whether its content is known to be another one than when it was added.
    """

    thing: Thing
    state: str = "there"
    changed: bool = False
    #: Of which state of the file the checksum is, "" where that is not known.
    etag: str = ""


def thing_of(record: Record, *, basket_id: str, added: datetime) -> Thing:
    """Return the record as a thing in that basket. Raises Invalid for what nobody can take along."""
    if record.type == "person":
        raise Invalid("People cannot be put into a basket.")
    if "basket" in record.details:
        raise Invalid("A collection cannot be put into a basket. Open it, and take from it what you need.")
    if len(record.id) > MOST_ID:
        raise Invalid("This has too long a name to be put into a basket.")
    kind, uri, access = access_of(record)
    return Thing(
        id=_id(basket_id, record.catalog, record.id),
        basket_id=basket_id,
        kind=kind,
        uri=uri,
        title=shorten(" ".join(clean_text(record.title).split()), _TITLE - 2) or "Without a title",
        catalog=record.catalog,
        record=record.id,
        added=added,
        size=record.size,
        checksum=_word(record.details.get("checksum")),
        access=access,
        shown=_shown(record),
    )


def access_of(record: Record) -> tuple[str, str, dict[str, Any]]:
    """Return what kind of thing a record is, where it is, and how to get it."""
    return _here(record) if record.catalog == OWN else _elsewhere(record)


def as_found(kept: Thing, record: Record) -> Held:
    """Return what the record says now, of a thing that was kept."""
    now = replace(thing_of(record, basket_id=kept.basket_id, added=kept.added), id=kept.id)
    changed = bool(kept.checksum and now.checksum) and kept.checksum != now.checksum
    return Held(now, changed=changed, etag=_whole(record.details.get("etag")))


def as_kept(kept: Thing) -> Held:
    """Return the thing as it was kept: of a catalog in which everybody sees the same."""
    return Held(kept)


def as_title(kept: Thing, state: str) -> Held:
    """Return the thing without all that is not for certain to be seen by who added it."""
    return Held(replace(kept, uri="", size=None, checksum="", access={}, shown={}), state)


def _id(basket_id: str, catalog: str, record_id: str) -> str:
    """Return the id that a record has in a basket, always the same: so it lies in there once."""
    text = f"{basket_id}\n{catalog}\n{record_id}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _here(record: Record) -> tuple[str, str, dict[str, Any]]:
    details = record.details
    if record.type == "app":
        slug = _whole(details.get("slug"))
        return "app", f"apps/{slug}/", {"how": "portal", "via": {"slug": slug}}
    store, path = _whole(details.get("store")), _whole(details.get("path"))
    if not store:
        return _FILES.get(record.type, "file"), _whole(record.url), {"how": "portal", "via": {}}
    access = {"how": "store", "via": {"store": store, "path": path}}
    told = written(details)
    return _FILES.get(record.type, "file"), _whole(record.url), {**access, **({"written": told} if told else {})}


def _elsewhere(record: Record) -> tuple[str, str, dict[str, Any]]:
    doi, url = _word(record.details.get("doi")), _whole(record.url)
    via = {"url": url, **({"doi": doi} if doi else {})}
    return ("doi" if doi else "url"), url, {"how": "http", "via": via}


def _shown(record: Record) -> Mapping[str, Any]:
    words = {name: _word(getattr(record, name)) for name in ("type", "owner", "format", "licence")}
    lists = {name: [_word(each) for each in getattr(record, name)[:10]] for name in ("authors", "tags")}
    changed = record.changed.isoformat() if record.changed else ""
    whole = {**words, **lists, "summary": shorten(clean_text(record.summary), _SUMMARY), "changed": changed}
    return {name: value for name, value in whole.items() if value}


def _word(value: object) -> str:
    """Return the beginning of a text that is shown."""
    return clean_text(value)[:_WORD] if isinstance(value, str) else ""


def _whole(value: object) -> str:
    """Return an address or a path as it stands, or nothing of it: a part leads elsewhere."""
    return value if isinstance(value, str) and len(value) <= _ADDRESS else ""
