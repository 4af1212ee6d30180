"""What there is to know of one visit, and whether a template that heard of none is right for it.

A template is a kernel that ran a notebook before anybody came, with empty facts. It is imported by every kernel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

__all__ = [
    "ASPECTS",
    "BASKET",
    "EMPTY",
    "PORTAL",
    "QUERY",
    "REQUEST",
    "VISITOR",
    "VISITOR_VARIABLE",
    "WINDOW",
    "Facts",
    "Query",
    "Way",
    "fits",
]

#: The aspects of a visit that code asks for: the query of its address, who it is, the rest of its request.
QUERY, VISITOR, REQUEST = "query", "visitor", "request"
#: What the portal answers is no fact of a visit: what asks for it is right for none before it has begun.
PORTAL = "portal"
#: Whether its visitor handed it a basket.
BASKET = "basket"
#: The name by which a kernel asks its server for the portal; it leads nowhere else.
WINDOW = "portal.vaas.internal"
#: The variable in which a kernel that is started for a visit is told who it is.
VISITOR_VARIABLE = "VAAS_VISITOR"
_QUERY_VARIABLE = "QUERY_STRING"
#: Variables of a visit → the aspect that who reads them asks for. All others are the same for all visits of an app.
ASPECTS: dict[str, str] = {
    _QUERY_VARIABLE: QUERY,
    **dict.fromkeys(("VOILA_REQUEST_URL", "VOILA_APP_PORT", "SERVER_NAME", "SERVER_PORT", "VOILA_KERNEL_ID"), REQUEST),
}


@dataclass(frozen=True)
class Way:
    """How a visit's kernel asks the portal as its visitor: a port on 127.0.0.1, and what says which visit it is."""

    port: int
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Facts:
    """What there is to know of one visit.

    ``query`` is the query of its address, without "?"; ``name`` and ``groups`` are the visitor's, None and () unless
    the app may know them; ``request`` are further variables of the environment, in CGI's words as Voilà sets them.
    ``way`` is how to ask the portal as the visitor, None where the app may not; it is in no environment. An app that
    is not the portal's own may ask for the basket that it was handed, and has none without.
    """

    query: str = ""
    name: str | None = None
    groups: tuple[str, ...] = ()
    request: Mapping[str, str] = field(default_factory=dict)
    way: Way | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the environment that say it; who the visitor is is not among them."""
        return {**self.request, _QUERY_VARIABLE: self.query}

    @property
    def environ(self) -> dict[str, str]:
        """All of it for the environment of a kernel that is started for this visit alone."""
        known = {"name": self.name, "groups": list(self.groups)}
        return self.variables | ({} if self.name is None else {VISITOR_VARIABLE: json.dumps(known)})

    def aspect(self, name: str) -> object:
        """Return what is comparable of one aspect. Raises KeyError for one that there is not."""
        request = {name: value for name, value in self.request.items() if ASPECTS.get(name) == REQUEST}
        who = self.name, frozenset(self.groups)
        return {QUERY: self.query, VISITOR: who, REQUEST: request, BASKET: self.way is not None}[name]

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        groups, request = list(self.groups), dict(self.request)
        way = {} if self.way is None else {"way": {"port": self.way.port, "secret": self.way.secret}}
        return {"query": self.query, "name": self.name, "groups": groups, "request": request, **way}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Return the facts that ``data`` holds; what is missing is empty."""
        request = {str(name): str(value) for name, value in data.get("request", {}).items()}
        way = Way(**data["way"]) if data.get("way") else None
        return cls(data.get("query", ""), data.get("name"), tuple(data.get("groups", ())), request, way)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Facts:
        """Return the facts that a kernel's environment holds; VISITOR_VARIABLE is JSON with ``name`` and ``groups``."""
        said = json.loads(environ.get(VISITOR_VARIABLE) or "{}")
        request = {name: environ[name] for name in ASPECTS if name in environ}
        return cls(request.pop(_QUERY_VARIABLE, ""), said.get("name"), tuple(said.get("groups", ())), request)


#: What a template knows.
EMPTY = Facts()


def fits(asked: Iterable[str], facts: Facts) -> bool:
    """Tell whether a template that asked for these aspects, and heard that there is nothing, is right for this visit.

    It is, if the visit would have told it the same. What is asked for and not known here fits no visit.
    """
    known = (QUERY, VISITOR, REQUEST, BASKET)
    return all(name in known and facts.aspect(name) == EMPTY.aspect(name) for name in asked)


class Query(Mapping[str, str]):
    """The parameters of the visit's address: each with its last value; :meth:`all` has every one."""

    __slots__ = ("_values",)

    def __init__(self, text: str) -> None:
        # Bounded: it comes from whoever made the address.
        self._values = parse_qs(text, keep_blank_values=True, max_num_fields=1000)

    def __getitem__(self, name: str) -> str:
        return self._values[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of the parameter, in the address's order; () when there is none."""
        return tuple(self._values.get(name, ()))
