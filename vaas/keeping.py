"""What a person keeps of searching, as frozen values: baskets with things in them, searches, requests for access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vaas.model import Access

__all__ = ["KINDS", "AccessRequest", "Basket", "Handed", "SavedSearch", "Thing"]

#: What a thing in a basket can be.
KINDS = ("app", "file", "share", "doi", "url")


@dataclass(frozen=True)
class Basket:
    """A person's basket; without a name it is their current one, and shared with subjects it is a collection."""

    id: str
    owner: str
    name: str
    created: datetime
    changed: datetime
    shared_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thing:
    """One thing in a basket, as its record was when it was added.

    Parameters
    ----------
    kind:
        One of :data:`KINDS`.
    uri:
        Where it is; what is here is named from the portal's own address on.
    catalog, record:
        By which it is found again, and by which it is decided who may see it.
    size:
        In bytes; None: it is not known.
    access:
        How to get it: "how" is "store", "http" or "portal", and "via" says with what; "written" says how a table
        that is a text is written, as :func:`vaas.loading.written` has it.
    shown:
        What else was shown of it.
    """

    id: str
    basket_id: str
    kind: str
    uri: str
    title: str
    catalog: str
    record: str
    added: datetime
    size: int | None = None
    checksum: str = ""
    access: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Handed:
    """What a person gave an app for one visit: of one basket these things, by their ids; none that come later.

    Parameters
    ----------
    app, version:
        To which app, by its id, and to which version of it.
    terms:
        Under which terms of the app's, as vaas.portal.core.terms has them.
    """

    basket: str
    things: tuple[str, ...]
    app: str
    version: str
    terms: str


@dataclass(frozen=True)
class SavedSearch:
    """A question that a person asks again: what has changed since ``seen`` is new to them."""

    id: str
    owner: str
    name: str
    q: str
    created: datetime
    seen: datetime


@dataclass(frozen=True)
class AccessRequest:
    """That a person asks for more access to an app, and what came of it.

    ``state`` is "open", "granted", "refused" or "withdrawn"; ``title`` is the app's as the asker saw it.
    """

    id: str
    app_id: str
    who: str
    access: Access
    message: str
    title: str
    created: datetime
    state: str = "open"
    answered_by: str = ""
    answered: datetime | None = None
