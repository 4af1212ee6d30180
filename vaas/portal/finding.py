"""Finding: one question to all catalogs at once, under one patience; who is silent is named, and holds up nobody."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from vaas.catalogs.base import Catalog, Page, Record
from vaas.errors import Invalid, NotFound, Unavailable, VaasError
from vaas.model import Visitor
from vaas.query import Search, parse
from vaas.stores.base import Store

__all__ = ["LONGEST_CURSOR", "Finding"]

_log = logging.getLogger("vaas")
#: A hit that is one place lower counts so much less: reciprocal rank fusion, Cormack, Clarke and Büttcher (2009).
_RANK = 60
_MOST = 100
#: A cursor is no longer, in characters, and so is what is begun to be typed.
LONGEST_CURSOR = 2000
#: Seconds after which a suggestion is of no use.
_AT_ONCE = 1.0


class Finding:
    """Searches all catalogs.

    Parameters
    ----------
    catalogs:
        The portal's own first: among equals, its hits come first.
    patience:
        Seconds after which those that have not answered are given up for this question.
    """

    def __init__(self, catalogs: Sequence[Catalog], *, patience: float = 4.0) -> None:
        self._catalogs = {catalog.id: catalog for catalog in catalogs}
        self._patience = patience

    async def search(
        self, text: str, *, visitor: Visitor, limit: int = 20, cursor: str = "", typing: bool = False
    ) -> Page:
        """Return the hits of all catalogs, up to ``limit`` of each, the best first.

        Raises
        ------
        Invalid
            The cursor is none of ours.
        """
        search = parse(text, typing=typing)
        cursors = self._cursors(cursor) if cursor else dict.fromkeys(self._catalogs, "")
        # Which catalogs are meant is for us; none of them has to know what it is called here.
        meant = {name: said for name in cursors if (said := search.at(name)) is not None}
        asked = [self._catalogs[name] for name in meant]
        size = max(1, min(limit, _MOST))
        answers = await asyncio.gather(
            *(self._ask(each, meant[each.id], visitor, limit=size, cursor=cursors[each.id]) for each in asked)
        )
        pages = {each.id: answer for each, answer in zip(asked, answers, strict=True) if isinstance(answer, Page)}
        silent = {each.title: answer for each, answer in zip(asked, answers, strict=True) if isinstance(answer, str)}
        return _joined(pages, silent)

    async def record(self, catalog_id: str, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound, and what its catalog raises."""
        catalog = self._catalog(catalog_id)
        async with self._alone(catalog):
            return await catalog.record(record_id, visitor=visitor)

    async def files(self, catalog_id: str, record_id: str, visitor: Visitor) -> Store:
        """Return what holds the files of a record of another site. Raises NotFound, and what its catalog raises."""
        catalog = self._catalog(catalog_id)
        async with self._alone(catalog):
            return await catalog.files(record_id, visitor=visitor)

    def _catalog(self, catalog_id: str) -> Catalog:
        if (catalog := self._catalogs.get(catalog_id)) is None:
            raise NotFound("There is no such catalog here.")
        return catalog

    @asynccontextmanager
    async def _alone(self, catalog: Catalog) -> AsyncIterator[None]:
        """Wait twice as long as for a search: it is asked for alone, and there is nothing else to show."""
        try:
            async with asyncio.timeout(2 * self._patience):
                yield
        except VaasError:
            raise
        except TimeoutError as error:
            raise Unavailable(f"{catalog.title} does not answer at the moment.") from error
        except Exception as error:
            _log.exception("Catalog %s", catalog.id)
            raise Unavailable(f"{catalog.title} sent an answer that cannot be read.") from error

    async def suggest(self, beginning: str, *, visitor: Visitor, limit: int = 8) -> list[str]:
        """Return what begins so, of all that the visitor may see: the portal's own first, each once.

        It is for who types: a catalog that does not suggest at once is left out.
        """
        asked = (self._suggest(each, beginning[:LONGEST_CURSOR], visitor, limit) for each in self._catalogs.values())
        found = [text for told in await asyncio.gather(*asked) for text in told]
        return list(dict.fromkeys(found))[:limit]

    async def _suggest(self, catalog: Catalog, beginning: str, visitor: Visitor, limit: int) -> list[str]:
        try:
            async with asyncio.timeout(_AT_ONCE):
                return await catalog.suggest(beginning, visitor=visitor, limit=limit)
        except (TimeoutError, VaasError):
            return []
        except Exception:
            _log.exception("Catalog %s", catalog.id)
            return []

    async def now(
        self, catalog_id: str, record_ids: Collection[str], *, visitor: Visitor
    ) -> Mapping[str, Record] | None:
        """Return what the records say that the visitor may see; None: all may see them, and nobody is asked.

        Raises
        ------
        Unavailable
            It cannot be told at the moment.
        """
        catalog = self._catalogs.get(catalog_id)
        if catalog is None or catalog.same_for_all:
            return {} if catalog is None else None
        try:
            async with asyncio.timeout(self._patience):
                return await catalog.records(record_ids, visitor=visitor)
        except VaasError:
            raise
        except Exception as error:
            if not isinstance(error, TimeoutError):
                _log.exception("Catalog %s", catalog.id)
            raise Unavailable(f"{catalog.title} does not answer at the moment.") from error

    async def changed(self, text: str, *, since: datetime, visitor: Visitor) -> int:
        """Return how many records of this portal fit that changed at that whole second or later. Raises Unavailable."""
        own = next(iter(self._catalogs.values()), None)
        search = parse(text).at(own.id) if own else None
        if own is None or search is None:
            return 0
        if search.after:
            bound = datetime(search.after.year, search.after.month, search.after.day, tzinfo=UTC)
            since = max(since, bound)
        page = await own.search(replace(search, after=since), visitor=visitor, limit=1)
        # What fits but for a letter was not asked for.
        return 0 if page.corrected else page.total

    async def _ask(self, catalog: Catalog, search: Search, visitor: Visitor, *, limit: int, cursor: str) -> Page | str:
        """Return the catalog's page, or in words why there is none."""
        try:
            async with asyncio.timeout(self._patience):
                return await catalog.search(search, visitor=visitor, limit=limit, cursor=cursor)
        except TimeoutError:
            return f"{catalog.title} does not answer at the moment."
        except VaasError as error:
            _log.warning("Catalog %s: %s", catalog.id, error.log_message)
            return error.message
        except Exception:
            _log.exception("Catalog %s", catalog.id)
            return f"{catalog.title} sent an answer that cannot be read."

    def _cursors(self, cursor: str) -> dict[str, str]:
        if len(cursor) > LONGEST_CURSOR:
            raise Invalid("This page of hits cannot be had any more. Search again.", field="cursor")
        try:
            said = json.loads(base64.urlsafe_b64decode(cursor))
            return {str(name): str(said[name]) for name in said if name in self._catalogs}
        except (ValueError, TypeError, RecursionError) as error:
            raise Invalid("This page of hits cannot be had any more. Search again.", field="cursor") from error


def _joined(pages: Mapping[str, Page], silent: Mapping[str, str]) -> Page:
    ranked = [
        (1 / (_RANK + place), -order, record)
        for order, page in enumerate(pages.values())
        for place, record in enumerate(page.records)
    ]
    ranked.sort(key=lambda one: (-one[0], -one[1]))
    records: dict[str, Record] = {}
    for _, _, record in ranked:
        # The same work may be in several catalogs.
        same = str(record.details.get("doi") or "") or f"{record.catalog} {record.id}"
        records.setdefault(same, record)
    cursors = {name: page.cursor for name, page in pages.items() if page.cursor}
    cursor = base64.urlsafe_b64encode(json.dumps(cursors).encode()).decode() if cursors else ""
    counted = next((page for page in pages.values() if page.facets), Page())
    totals = {name: page.total for name, page in pages.items() if page.total}
    return Page(
        records=tuple(records.values()),
        total=sum(totals.values()),
        facets={**counted.facets, "catalog": totals},
        cursor=cursor,
        corrected=any(page.corrected for page in pages.values()),
        estimated=counted.estimated,
        silent=dict(silent),
        notes=tuple(dict.fromkeys(note for page in pages.values() for note in page.notes)),
    )
