"""Collections of a STAC API, as satellite data and grids are offered: fetched, kept for a while, and searched here.

A collection is what people call a data set; the items in it, one for each scene, are for programs. Few servers can be
asked for words, and all list their collections, so these are read and matched here.

Source: STAC API 1.0.0, "Collections", and STAC 1.0.0, "Collection specification".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.foreign import ask, box, each, get, moment, number, prose, text, texts, turned
from vaas.catalogs.linked import Linked, LinkedFiles, check_count, checksum_of, link
from vaas.errors import NotFound
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import Clause, Search
from vaas.stores.base import Store

__all__ = ["StacCatalog"]

#: How many pages of collections are read, and for how many seconds they are good.
_PAGES, _KEPT = 20, 900.0
#: How many collections one page may have: servers that do not turn pages send all at once.
_MOST = 1_000
#: What assets are for that are no data.
_NO_DATA = frozenset({"thumbnail", "overview", "metadata"})
#: How a multihash begins: the number of its kind, and that of its bytes.
_MULTIHASHES = {
    "d50110": "md5",
    "1114": "sha1",
    "1220": "sha256",
    "2030": "sha384",
    "1340": "sha512",
    "1620": "sha3_256",
    "1440": "sha3_512",
}
#: What a word counts by where it is.
_TITLE, _TAG, _TEXT = 3.0, 2.0, 1.0


class StacCatalog(Catalog):
    """One server at ``url``, asked for ``size`` collections at a time: by themselves some give 10, and some all."""

    same_for_all = True

    def __init__(self, catalog_id: str, title: str, url: str, *, http: Http, patience: float = 8.0, size: int = 100):
        self.id, self.title, self._size = catalog_id, title, size
        self._url, self._http, self._patience = url.rstrip("/"), http, patience
        self._collections: dict[str, Record] = {}
        self._until = 0.0

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return the collections that fit, those first that have most of the words where they count."""
        start = turned(cursor, first=0)
        records = (await self._all()).values()
        ranked = sorted(
            ((_score(search, each), each.title, each) for each in records), key=lambda one: (-one[0], one[1])
        )
        fitting = [record for score, _, record in ranked if score >= 0]
        shown = tuple(fitting[start : start + limit])
        after = start + len(shown)
        return Page(shown, len(fitting), cursor=str(after) if shown and after < len(fitting) else "")

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one collection. Raises NotFound."""
        found = (await self._all()).get(record_id)
        if found is None:
            raise NotFound(f"{self.title} has no such record.")
        return found

    async def files(self, record_id: str, *, visitor: Visitor) -> Store:
        """Return what holds the files of the collection itself, without those of its items, one for each scene."""
        at = f"{self._url}/collections/{quote(record_id, safe='')}"
        said = await ask(self._http, at, title=self.title, headers={}, seconds=self._patience, one=True)
        assets = get(said, "assets")
        listed = [each for each in assets.values() if _is_file(each)] if isinstance(assets, Mapping) else []
        data = [each for each in listed if "data" in texts(get(each, "roles"))]
        check_count(len(listed))
        found = [file for asset in data or listed if (file := _file(asset, f"{at}/"))]
        if not found:
            raise NotFound("Its files are those of its items, one for each scene: choose them where it is.")
        return LinkedFiles(self.title, found, at=self._url, http=self._http)

    async def _all(self) -> Mapping[str, Record]:
        if time.monotonic() < self._until:
            return self._collections
        found: dict[str, Record] = {}
        address: str | None = f"{self._url}/collections?limit={self._size}"
        seen: set[str] = set()
        while address is not None and address not in seen and len(seen) < _PAGES:
            seen.add(address)
            page = await ask(self._http, address, title=self.title, headers={}, seconds=self._patience)
            for said in each(get(page, "collections"), _MOST):
                if record := self._record(said):
                    found[record.id] = record
            address = self._next(page)
        self._collections, self._until = found, time.monotonic() + _KEPT
        return found

    def _next(self, page: Mapping[str, Any]) -> str | None:
        """Return the address of the next page, if it is one of the same server."""
        for one in each(get(page, "links")):
            href = get(one, "href")
            if get(one, "rel") == "next" and isinstance(href, str):
                address = urljoin(f"{self._url}/", href)
                own = urlsplit(address)[:2] == urlsplit(self._url)[:2]
                return address if own else None
        return None

    def _record(self, said: object) -> Record | None:
        name = text(get(said, "id"))
        if not name:
            return None
        spans = [span for span in each(get(said, "extent", "temporal", "interval")) if isinstance(span, list)]
        first, last = (spans[0] + [None, None])[:2] if spans else (None, None)
        boxes = list(each(get(said, "extent", "spatial", "bbox")))
        variables, doi = get(said, "cube:variables"), text(get(said, "sci:doi"))
        # STAC 1.1 has bands in the collection itself, what came before in the summaries.
        bands = [*each(get(said, "bands")), *each(get(said, "summaries", "bands"))]
        bands += each(get(said, "summaries", "eo:bands"))
        columns = texts(bands, "name") + (texts(list(variables)) if isinstance(variables, Mapping) else ())
        # Who only keeps a copy is no author.
        makers = [one for one in each(get(said, "providers")) if get(one, "roles") != ["host"]]
        return Record(
            id=name,
            type="data",
            title=text(get(said, "title")) or name,
            summary=prose(get(said, "description"), 600),
            authors=texts(makers, "name"),
            tags=texts(get(said, "keywords")),
            names=tuple(filter(None, (name, f"doi:{doi}" if doi else ""))),
            columns=columns,
            catalog=self.id,
            licence=text(get(said, "license")),
            changed=moment(get(said, "updated")),
            begins=moment(first),
            ends=moment(last),
            box=box(boxes[0]) if boxes else None,
            # Made here: an address that a stranger gives is nowhere to send people.
            url=f"{self._url}/collections/{quote(name, safe='')}",
            details={"doi": doi} if doi else {},
        )


def _is_file(asset: object) -> bool:
    """Tell whether an asset is one file with data, and neither a picture of them nor a folder."""
    is_folder = "zarr" in text(get(asset, "type")).lower()
    return not is_folder and not _NO_DATA & {*texts(get(asset, "roles"))}


def _file(asset: object, at: str) -> Linked | None:
    href = get(asset, "href")
    try:
        url = urljoin(at, href) if isinstance(href, str) else ""
        name = unquote(urlsplit(url).path.rpartition("/")[2]) or text(get(asset, "title"))
    except ValueError:
        return None
    size, checksum = number(get(asset, "file:size")), _checksum(get(asset, "file:checksum"))
    return link(name, url, size=size, checksum=checksum)


def _checksum(value: object) -> str:
    """Return the checksum that a multihash in hexadecimal digits says, of the kinds that are used; "" for others."""
    said = value.lower() if isinstance(value, str) else ""
    for begins, kind in _MULTIHASHES.items():
        if said.startswith(begins) and (found := checksum_of(f"{kind}:{said.removeprefix(begins)}")):
            return found
    return ""


def _score(search: Search, record: Record) -> float:
    """Return how well it fits; less than 0: it does not."""
    total = 0.0
    for group in search.groups:
        worth = max(_worth(clause, record) for clause in group)
        if worth < 0:
            return -1.0
        total += worth
    late = search.after and record.ends and record.ends.date() < search.after
    early = search.before and record.begins and record.begins.date() >= search.before
    return -1.0 if late or early else total


def _worth(clause: Clause, record: Record) -> float:
    fields = {
        "title": ((record.title, _TITLE),),
        "tag": tuple((tag, _TAG) for tag in record.tags),
        "type": ((record.type, 0.0),),
        "author": tuple((author, _TAG) for author in record.authors),
        "owner": tuple((author, _TAG) for author in record.authors),
        "column": tuple((column, _TAG) for column in record.columns),
        "name": tuple((each, _TITLE) for each in record.names),
        "id": tuple((each, _TITLE) for each in record.names),
    }
    words = (record.summary, *record.columns, *record.authors)
    anywhere = ((record.title, _TITLE), (record.id, _TITLE), *((tag, _TAG) for tag in record.tags))
    places = fields.get(clause.field, ()) if clause.field else (*anywhere, *((each, _TEXT) for each in words))
    wanted = clause.text.casefold()
    found = max((worth for place, worth in places if wanted in place.casefold()), default=-1.0)
    return (0.0 if found < 0 else -1.0) if clause.negated else found
