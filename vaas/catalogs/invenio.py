"""Records of an InvenioRDM repository, such as Zenodo: by its own REST API, whose answers all sites give in one form.

Source: InvenioRDM's reference of the REST API, "Records", and of the search syntax.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.foreign import area, ask, each, get, moment, number, span, text, texts, turned
from vaas.catalogs.linked import MOST_FILES, Linked, check_count, checksum_of, link, linked_files
from vaas.catalogs.lucene import unknown, written
from vaas.errors import NotFound
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import Search
from vaas.stores.base import Store

__all__ = ["InvenioCatalog"]

_ACCEPT = "application/vnd.inveniordm.v1+json"
#: What anonymous clients, and those with a token, may ask for at once; and how far anybody may turn pages.
_PAGE, _PAGE_WITH_TOKEN, _FAR = 25, 100, 10_000
_FIELDS = {
    "": "",
    "title": "metadata.title",
    "author": "metadata.creators.person_or_org.name",
    "owner": "metadata.creators.person_or_org.name",
    "tag": "metadata.subjects.subject",
    "name": "files.entries.key",
    "id": "pids.doi.identifier",
    "type": "metadata.resource_type.id",
}
#: The kinds of software, computational notebooks among them, begin with its name.
_TYPES = {"data": "dataset", **dict.fromkeys(("app", "notebook", "code"), "software*")}
#: What kinds of dates say when the data are from, the best first.
_ABOUT = ("coverage", "collected", "valid")


class InvenioCatalog(Catalog):
    """One repository at ``url``; with a ``token``, its owner's view of it is searched for everybody."""

    same_for_all = True

    def __init__(self, catalog_id: str, title: str, url: str, *, http: Http, token: str = "", patience: float = 8.0):
        self.id, self.title = catalog_id, title
        self._url, self._http, self._patience = url.rstrip("/"), http, patience
        self._headers = {"Accept": _ACCEPT} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._most = _PAGE_WITH_TOKEN if token else _PAGE

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what fits; nothing, with a note, where something is asked that there is no field for."""
        if names := unknown(search, _FIELDS):
            return Page(notes=(f"{self.title} cannot be asked for {', '.join(names)}.",))
        size, page = min(limit, self._most), turned(cursor, first=1)
        query = written(search, _FIELDS, dated="metadata.publication_date", kinds=_TYPES)
        asked = {"q": query, "size": size, "page": page, "sort": "bestmatch" if search.words else "newest"}
        found = await self._ask(f"/api/records?{urlencode(asked)}")
        hits = list(each(get(found, "hits", "hits")))[:size]
        records = tuple(record for hit in hits if (record := self._record(hit)))
        total = number(get(found, "hits", "total")) or 0
        more = bool(records) and page * size < min(total, _FAR)
        return Page(records, max(total, len(records)), cursor=str(page + 1) if more else "")

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound."""
        found = self._record(await self._ask(f"/api/records/{quote(record_id, safe='')}", one=True))
        if found is None:
            raise NotFound(f"{self.title} has no such record.")
        return found

    async def files(self, record_id: str, *, visitor: Visitor) -> Store:
        """Return what holds the files of a record, each checked by what the repository says of it."""
        path = f"/api/records/{quote(record_id, safe='')}"
        hit = await self._ask(path, one=True)
        if why := _note(get(hit, "access")):
            raise NotFound(why)
        entries, count = get(hit, "files", "entries"), number(get(hit, "files", "count")) or 0
        # A record with many files does not name them itself.
        if not entries and count:
            entries = get(await self._ask(f"{path}/files", one=True), "entries")
        listed = [*entries.values()] if isinstance(entries, Mapping) else [*each(entries, MOST_FILES + 1)]
        check_count(max(count, len(listed)))
        found = [file for entry in listed if (file := self._file(path, entry))]
        return linked_files(self.title, found, at=self._url, http=self._http)

    def _file(self, path: str, entry: object) -> Linked | None:
        """Return the file; where the repository does not say its address, it is where its REST API has it."""
        key = get(entry, "key")
        if not isinstance(key, str) or get(entry, "access", "hidden"):
            return None
        usual = f"{self._url}{path}/files/{quote(key, safe='', errors='replace')}/content"
        size, checksum = number(get(entry, "size")), checksum_of(get(entry, "checksum"))
        return link(key, get(entry, "links", "content") or usual, size=size, checksum=checksum)

    async def _ask(self, path: str, *, one: bool = False) -> Mapping[str, Any]:
        url, headers = self._url + path, self._headers
        return await ask(self._http, url, title=self.title, headers=headers, seconds=self._patience, one=one)

    def _record(self, hit: object) -> Record | None:
        record_id, said = text(get(hit, "id")), get(hit, "metadata")
        title = text(get(said, "title"))
        if not record_id or not title:
            return None
        doi, files = text(get(hit, "pids", "doi", "identifier")), get(hit, "files", "entries")
        names = tuple(text(name) for name in files)[:100] if isinstance(files, Mapping) else ()
        begins, ends = _time(said)
        places = (area(get(one, "geometry")) for one in each(get(said, "locations", "features")))
        details = {"doi": doi, "note": _note(get(hit, "access"))}
        return Record(
            id=record_id,
            type="data" if text(get(said, "resource_type", "id")).startswith("dataset") else "folder",
            title=title,
            summary=text(get(said, "description"), 600),
            authors=texts(get(said, "creators"), "person_or_org", "name"),
            tags=texts(get(said, "subjects"), "subject"),
            names=tuple(filter(None, (f"doi:{doi}" if doi else "", *names))),
            catalog=self.id,
            licence=next(filter(None, map(_licence, each(get(said, "rights")))), ""),
            size=number(get(hit, "files", "total_bytes")) if names else None,
            changed=moment(get(hit, "updated")) or moment(get(said, "publication_date")),
            begins=begins,
            ends=ends,
            box=next(filter(None, places), None),
            # Made here: an address that a stranger gives is nowhere to send people.
            url=f"{self._url}/records/{quote(record_id, safe='')}",
            details={name: value for name, value in details.items() if value},
        )


def _licence(rights: object) -> str:
    """Return the licence's name; one that the repository does not know has a title alone."""
    titles = get(rights, "title")
    other = next(iter(titles.values()), "") if isinstance(titles, Mapping) else ""
    return text(get(rights, "id")) or text(get(titles, "en")) or text(other)


def _time(said: object) -> tuple[datetime | None, datetime | None]:
    """Return the time that the data are about."""
    spans = {text(get(one, "type", "id")): span(get(one, "date")) for one in each(get(said, "dates"))}
    return next((spans[kind] for kind in _ABOUT if kind in spans), (None, None))


def _note(access: object) -> str:
    """Return why its files cannot be had, in words; "" if they can, or if there are none."""
    until = text(get(access, "embargo", "until"))
    notes = {
        "restricted": "Its files are not for everybody: ask those who published it.",
        "embargoed": f"Its files can be had from {until or 'a later day'} on.",
    }
    return notes.get(text(get(access, "status")), "")
