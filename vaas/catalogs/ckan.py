"""Datasets of a CKAN portal, of which many governments and institutes have one: by its Action API, version 3.

Source: CKAN's API guide, ``package_search`` and ``package_show``; what a query may say is Solr's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.foreign import area, ask, each, get, moment, number, prose, span, text, texts, turned
from vaas.catalogs.linked import MOST_FILES, Linked, check_count, checksum_of, link, linked_files
from vaas.catalogs.lucene import unknown, written
from vaas.errors import NotFound
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import Clause, Search
from vaas.stores.base import Store

__all__ = ["CkanCatalog"]

#: The most that CKAN gives at once, and how far it may be paged.
_MOST, _FAR = 100, 10_000
#: Formats of what is no file.
_NO_FILES = frozenset({"api", "arcgis", "esri rest", "html", "sparql", "wcs", "web page", "wfs", "wms", "wmts"})
_FIELDS = {
    "": "",
    "title": "title",
    "author": "author",
    "owner": "author",
    "tag": "tags",
    "name": "res_name",
    "id": "name",
    "format": "res_format",
}


class CkanCatalog(Catalog):
    """One portal at ``url``."""

    same_for_all = True

    def __init__(self, catalog_id: str, title: str, url: str, *, http: Http, patience: float = 8.0):
        self.id, self.title = catalog_id, title
        self._url, self._http, self._patience = url.rstrip("/"), http, patience

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what fits; nothing, with a note, where something is asked that there is no field for."""
        kinds, search = search.asked("type"), search.without("type")
        if names := unknown(search, _FIELDS):
            return Page(notes=(f"{self.title} cannot be asked for {', '.join(names)}.",))
        if kinds and "data" not in kinds:
            return Page()
        size, start = min(limit, _MOST), turned(cursor, first=0)
        query = written(_spelled(search), _FIELDS, dated="metadata_modified", day="{}T00:00:00Z")
        # What CKAN takes otherwise for a query without fields knows neither NOT, OR nor words that begin so.
        asked = {"q": query or "*:*", "defType": "edismax", "rows": size, "start": start}
        asked |= {} if search.words else {"sort": "metadata_modified desc"}
        found = await self._ask(f"package_search?{urlencode(asked)}")
        hits = list(each(get(found, "result", "results")))[:size]
        records = tuple(record for hit in hits if (record := self._record(hit)))
        total = number(get(found, "result", "count")) or 0
        more = bool(records) and start + size < min(total, _FAR)
        return Page(records, max(total, len(records)), cursor=str(start + size) if more else "")

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one dataset. Raises NotFound."""
        answer = await self._ask(f"package_show?{urlencode({'id': record_id})}", one=True)
        found = self._record(get(answer, "result"))
        if found is None:
            raise NotFound(f"{self.title} has no such record.")
        return found

    async def files(self, record_id: str, *, visitor: Visitor) -> Store:
        """Return what holds the files of a dataset: those that the portal keeps itself, and those that it links to."""
        answer = await self._ask(f"package_show?{urlencode({'id': record_id})}", one=True)
        listed = list(each(get(answer, "result", "resources"), MOST_FILES + 1))
        check_count(len(listed))
        found = [file for resource in listed if (file := _file(resource))]
        return linked_files(self.title, found, at=self._url, http=self._http)

    async def _ask(self, action: str, *, one: bool = False) -> Mapping[str, Any]:
        url = f"{self._url}/api/3/action/{action}"
        return await ask(self._http, url, title=self.title, headers={}, seconds=self._patience, one=one)

    def _record(self, hit: object) -> Record | None:
        name, title = text(get(hit, "name")), text(get(hit, "title")) or text(get(hit, "name"))
        if not name:
            return None
        files = list(each(get(hit, "resources")))
        sizes = [size for file in files if (size := number(get(file, "size"))) is not None]
        formats = texts(files, "format")
        begins, ends = span(_extra(hit, "temporal_start"))[0], span(_extra(hit, "temporal_end"))[1]
        return Record(
            id=name,
            type="data",
            title=title,
            summary=prose(get(hit, "notes"), 600),
            authors=tuple(filter(None, (text(get(hit, "author")), text(get(hit, "organization", "title"))))),
            tags=texts(get(hit, "tags"), "display_name") or texts(get(hit, "tags"), "name"),
            names=(name, *texts(files, "name")),
            format=formats[0] if formats else "",
            catalog=self.id,
            licence="" if get(hit, "license_id") == "notspecified" else text(get(hit, "license_id")),
            size=sum(sizes) if sizes and len(sizes) == len(files) else None,
            changed=moment(get(hit, "metadata_modified")),
            begins=begins,
            ends=ends,
            box=_place(_extra(hit, "spatial")),
            # Made here: an address that a stranger gives is nowhere to send people.
            url=f"{self._url}/dataset/{quote(name, safe='')}",
        )


def _file(resource: object) -> Linked | None:
    """Return the file of a resource; None for pages and services, which are for people or ask for more."""
    form, url = text(get(resource, "format")).lower(), get(resource, "url")
    if form in _NO_FILES or not isinstance(url, str):
        return None
    try:
        last = unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return None
    named = text(get(resource, "name")) or last or "file"
    end = f".{form}" if form.isalnum() and not named.lower().endswith(f".{form}") else ""
    # What is only linked to changes without a word to the portal, which says the size that it had.
    size = number(get(resource, "size")) if get(resource, "url_type") == "upload" else None
    name = last if "." in last.strip(".") else named.replace("/", "-") + end
    return link(name, url, size=size or None, checksum=checksum_of(get(resource, "hash")))


def _spelled(search: Search) -> Search:
    """Return the search so that formats, which CKAN keeps as CSV and compares to the letter, are found as csv too."""
    groups: list[tuple[Clause, ...]] = []
    for group in search.groups:
        spelled = tuple(each for clause in group for each in _spellings(clause))
        groups += [(clause,) for clause in spelled] if group[0].negated else [spelled]
    return replace(search, groups=tuple(groups))


def _spellings(clause: Clause) -> tuple[Clause, ...]:
    loud = replace(clause, text=clause.text.upper())
    return (clause, loud) if clause.field == "format" and loud != clause else (clause,)


def _extra(hit: object, name: str) -> object:
    """Return what a dataset says besides what CKAN has fields for: in a list of its own, or beside the fields."""
    said = (get(extra, "value") for extra in each(get(hit, "extras")) if get(extra, "key") == name)
    return next(said, get(hit, name))


def _place(shape: object) -> tuple[float, float, float, float] | None:
    """Return the box around a shape that is given as text."""
    try:
        return area(json.loads(shape)) if isinstance(shape, str) else area(shape)
    except (ValueError, RecursionError):
        return None
