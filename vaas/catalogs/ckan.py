"""Datasets of a CKAN portal, of which many governments and institutes have one: by its Action API, version 3.

Source: CKAN's API guide, ``package_search`` and ``package_show``; what a query may say is Solr's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.foreign import ask, each, get, moment, number, text, texts
from vaas.errors import NotFound
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import Clause, Search

__all__ = ["CkanCatalog"]

#: The most that CKAN gives at once, and how far it may be paged.
_MOST, _FAR = 100, 10_000
_FIELDS = {
    "": "",
    "title": "title",
    "author": "author",
    "owner": "author",
    "tag": "tags",
    "name": "res_name",
    "id": "name",
    "format": "res_format",
    "catalog": "",
    "type": "",
}
_SIGNS = re.compile(r'([+\-&|!(){}\[\]^"~*?:\\/])')


class CkanCatalog(Catalog):
    """One portal at ``url``."""

    def __init__(self, catalog_id: str, title: str, url: str, *, http: Http, patience: float = 8.0):
        self.id, self.title = catalog_id, title
        self._url, self._http, self._patience = url.rstrip("/"), http, patience

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what fits; nothing, with a note, where something is asked that there is no field for."""
        unknown = sorted({clause.field for group in search.groups for clause in group} - _FIELDS.keys())
        if unknown:
            return Page(notes=(f"{self.title} cannot be asked for {', '.join(unknown)}.",))
        kinds = search.asked("type")
        if kinds and "data" not in kinds:
            return Page()
        size, start = min(limit, _MOST), int(cursor) if cursor.isdecimal() else 0
        asked = {"q": _written(search) or "*:*", "rows": size, "start": start}
        asked |= {} if search.words else {"sort": "metadata_modified desc"}
        found = await self._ask(f"package_search?{urlencode(asked)}")
        hits = list(each(get(found, "result", "results")))[:size]
        records = tuple(record for hit in hits if (record := self._record(hit)))
        total = number(get(found, "result", "count")) or 0
        more = bool(records) and start + size < min(total, _FAR)
        return Page(records, max(total, len(records)), cursor=str(start + size) if more else "")

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one dataset. Raises NotFound."""
        found = self._record(get(await self._ask(f"package_show?{urlencode({'id': record_id})}"), "result"))
        if found is None:
            raise NotFound(f"{self.title} has no such record.")
        return found

    async def _ask(self, action: str) -> Mapping[str, Any]:
        url = f"{self._url}/api/3/action/{action}"
        return await ask(self._http, url, title=self.title, headers={}, seconds=self._patience)

    def _record(self, hit: object) -> Record | None:
        name, title = text(get(hit, "name")), text(get(hit, "title")) or text(get(hit, "name"))
        if not name:
            return None
        files = list(each(get(hit, "resources")))
        sizes = [size for file in files if (size := number(get(file, "size"))) is not None]
        formats = texts(files, "format")
        return Record(
            id=name,
            type="data",
            title=title,
            summary=text(get(hit, "notes"), 600),
            authors=tuple(filter(None, (text(get(hit, "author")), text(get(hit, "organization", "title"))))),
            tags=texts(get(hit, "tags"), "display_name") or texts(get(hit, "tags"), "name"),
            names=(name, *texts(files, "name")),
            format=formats[0] if formats else "",
            catalog=self.id,
            licence=text(get(hit, "license_id")),
            size=sum(sizes) if sizes and len(sizes) == len(files) else None,
            changed=moment(get(hit, "metadata_modified")),
            # Made here: an address that a stranger gives is nowhere to send people.
            url=f"{self._url}/dataset/{quote(name, safe='')}",
        )


def _written(search: Search) -> str:
    """Write the search in Solr's words."""
    parts = [" OR ".join(filter(None, map(_clause, group))) for group in search.groups]
    parts = [f"({part})" for part in parts if part]
    if search.after or search.before:
        bounds = (f"{day}T00:00:00Z" if day else "*" for day in (search.after, search.before))
        parts.append("metadata_modified:[{} TO {}}}".format(*bounds))
    return " AND ".join(parts)


def _clause(clause: Clause) -> str:
    if clause.field in {"type", "catalog"}:
        return ""
    field, value = _FIELDS[clause.field], _SIGNS.sub(r"\\\1", clause.text)
    value = f'"{value}"' if clause.exact or " " in value else value + "*" * clause.prefix
    return f"{'NOT ' * clause.negated}{field}{':' * bool(field)}{value}"
