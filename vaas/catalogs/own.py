"""The portal's own index: a full text engine in a folder, which can be thrown away and made again at any time.

Whoever asks gives the subjects that they count as. What is found, counted, suggested or corrected is found among what
one of these subjects may see: the filter is part of each query, so nothing else can leak through a number.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import tantivy
from tantivy import Query

from vaas.catalogs.base import ADMINS, FACETS, Catalog, Entries, Entry, Page, Record
from vaas.catalogs.documents import FORM, SAMPLES, SHORT, document, plain, record_in, schema, tokenizers
from vaas.catalogs.queries import ONE_WRONG, Queries
from vaas.errors import Invalid, NotFound, Unavailable
from vaas.model import Visitor
from vaas.query import Clause, Search, begun_value

__all__ = ["Index", "OwnCatalog", "count"]

_log = logging.getLogger("vaas")
_Answer = TypeVar("_Answer")
#: More than 9,999 hits are not turned over.
_LONGEST_CURSOR = 4
_MOST_FACETS, _MOST_TIMES, _MOST_SUGGESTED, _MOST_PEOPLE = 50, 1_000, 200, 1_000
_PERSON = "person"
#: Fields whose values are taken from records, so many of them → what has them there.
_OF_RECORDS = {"column": ("columns",), "author": ("authors", "owner"), "name": ("names",), "id": ("names",)}
_LOOKED_AT = 100
#: Among more records than these, words that few letters begin are taken from so many titles.
_MANY, _TITLES = 10_000, 200
#: Of times, all that there are: who draws them leaves none out.
_TIMES = ("year", "month")
_COUNTS = {name: {"terms": {"field": name, "size": _MOST_TIMES if name in _TIMES else _MOST_FACETS}} for name in FACETS}
#: Of more words than these, none is forgiven a letter: each of them costs as much as hundreds.
_MOST_WRONG = 8
#: Up to so many hits are counted one by one; of more, a sample.
_COUNTED = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


def count(folder: Path) -> int | None:
    """Return how many entries the index in ``folder`` has, None where there is none; nothing is changed.

    Raises
    ------
    Unavailable
        It cannot be read.
    """
    place = folder / FORM
    if not place.is_dir():
        return None
    try:
        return int(tantivy.Index.open(str(place)).searcher().num_docs)
    except ValueError as error:
        raise Unavailable("The index cannot be read.", log_message=f"{place} cannot be read: {error}") from error


class Index(Entries):
    """The index in ``folder``; one process writes it, and any number of threads read."""

    def __init__(self, folder: Path, *, memory: int = 128_000_000, now: Callable[[], datetime] = _now) -> None:
        self._schema = schema()
        place = folder / FORM
        self._index = self._opened(place)
        # In the same folder: it is lost with what it tells of.
        self._followed = place / "followed"
        cutting = tokenizers()
        for name, each in cutting.items():
            self._index.register_tokenizer(name, each)
        self._words = cutting["words"]
        self._queries = Queries(self._schema, self._words, now=now, has=self._has)
        self._memory = memory
        self._writing, self._is_closed = threading.Lock(), False
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="index")
        # Threads of their own: who searches for much holds up others who search, and nothing else.
        self._searching = ThreadPoolExecutor(4, thread_name_prefix="search")

    def _opened(self, place: Path) -> tantivy.Index:
        """Return the index at this place; one that cannot be read, as after a crash, is made anew."""
        for _ in range(2):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return tantivy.Index(self._schema, path=str(place))
            except ValueError as error:
                _log.warning("The index is made anew, for it cannot be read: %s", error)
                shutil.rmtree(place, ignore_errors=True)
        raise Unavailable("The index cannot be made.", log_message=f"No index can be made in {place}.")

    def put(
        self,
        entries: Iterable[Entry] = (),
        *,
        remove: Iterable[str] = (),
        fresh: bool = False,
        upto: tuple[int, int] | None = None,
    ) -> None:
        """Add, replace and remove; see :class:`Entries`."""
        with self._writing:
            with self._writer() as writer:
                if fresh:
                    writer.delete_all_documents()
                for record_id in remove:
                    writer.delete_documents_by_term("id", record_id)
                for entry in entries:
                    if not fresh:
                        writer.delete_documents_by_term("id", entry.record.id)
                    try:
                        writer.add_document(document(entry))
                    except Exception:
                        _log.exception("%s cannot be found: it does not fit into the index.", entry.record.id)
            self._index.reload()
            if upto is not None:
                new = self._followed.with_suffix(".new")
                new.write_text(f"{upto[0]} {upto[1]}")
                new.replace(self._followed)

    @contextmanager
    def _writer(self) -> Iterator[tantivy.IndexWriter]:
        """Yield what writes: all of it is kept when the block ends, nothing when it raises; one at a time."""
        if self._is_closed:
            raise Unavailable("Searching here is not possible for a moment.", log_message="The index is closed.")
        writer = self._index.writer(self._memory, 2)
        try:
            yield writer
            writer.commit()
        except BaseException:
            # It may be what broke.
            with suppress(Exception):
                writer.rollback()
            with suppress(Exception):
                writer.wait_merging_threads()
            raise
        writer.wait_merging_threads()

    @property
    def followed(self) -> tuple[int, int]:
        """The epoch and the number of the last change that is in it; (0, 0): it is new."""
        try:
            epoch, number = map(int, self._followed.read_text().split())
        except (OSError, ValueError):
            return 0, 0
        return epoch, number

    def search(
        self, search: Search, *, subjects: Collection[str], limit: int = 20, offset: int = 0, facets: bool = True
    ) -> Page:
        """Return what these subjects may see of what fits; where nothing does, what fits but for a letter or two."""
        if set(search.asked("type")) == {_PERSON}:
            return self._people(search, subjects, limit=limit, offset=offset)
        page = self._page(search, subjects, limit=limit, offset=offset, facets=facets, typos=False)
        if (
            page.total
            or len(search.words) > _MOST_WRONG
            or not any(len(clause.text) >= ONE_WRONG for clause in search.words)
        ):
            return page
        return self._page(search, subjects, limit=limit, offset=offset, facets=facets, typos=True)

    def get(self, record_id: str, *, subjects: Collection[str]) -> Record | None:
        """Return the record of this id; None: there is none that these subjects may see."""
        return self.several([record_id], subjects=subjects).get(record_id)

    def several(self, record_ids: Collection[str], *, subjects: Collection[str]) -> dict[str, Record]:
        """Return those of the records that these subjects may see, by id; one query, however many there are."""
        searcher = self._index.searcher()
        # What no text can be, no id is.
        ids = [each for each in record_ids if each.isascii() or each == each.encode(errors="replace").decode()]
        hits = searcher.search(self._queries.named(ids, subjects), limit=max(1, len(ids)), count=False).hits
        records = [record_in(searcher.doc(address)) for _, address in hits]
        people = [each.partition(":")[2] for each in ids if each.startswith(f"{_PERSON}:")]
        records += [found for name in people if (found := self._person(Search(), subjects, plain(name)))]
        return {record.id: record for record in records}

    def suggest(self, beginning: str, *, subjects: Collection[str], limit: int = 8) -> list[str]:
        """Return how it could go on, the most frequent first, among what these subjects may see.

        That is words of titles, and in "field:value" values of that field.
        """
        begun = begun_value(beginning)
        if begun is None:
            before, space, last = beginning.rpartition(" ")
            return [f"{before}{space}{each}" for each in self._titles(last, subjects)[:limit]]
        before, name, value = begun
        if name == "title":
            found = self._titles(value, subjects)
        elif name in _OF_RECORDS:
            found = self._values(name, value, subjects)
        else:
            found = self._terms(name, plain(value), subjects)
        fitting = [each for each in found if '"' not in each]
        return [f'{before}"{each}"' if " " in each else f"{before}{each}" for each in fitting[:limit]]

    def _titles(self, beginning: str, subjects: Collection[str]) -> list[str]:
        words = self._words.analyze(beginning)
        if not words:
            return []
        found = self._often if len(words[-1]) <= SHORT and len(self) > _MANY else partial(self._terms, "title")
        return [" ".join([*words[:-1], word]) for word in found(words[-1], subjects)]

    def _often(self, beginning: str, subjects: Collection[str]) -> list[str]:
        """Return words of some titles that begin so: to count all words that so few letters begin takes long."""
        searcher, counts = self._index.searcher(), Counter[str]()
        query = self._queries.beginning("title", beginning, subjects)
        for _, address in searcher.search(query, limit=_TITLES, count=False).hits:
            words = set(self._words.analyze(record_in(searcher.doc(address)).title))
            counts.update(word for word in words if word.startswith(beginning))
        return _ranked(counts)

    def _terms(self, name: str, beginning: str, subjects: Collection[str]) -> list[str]:
        """Return words of the index that begin so."""
        readable = self._queries.readable(subjects)
        found = self._index.searcher().terms_with_prefix(name, beginning, filter_query=readable, limit=_MOST_SUGGESTED)
        return _ranked({word: count for word, count in found if count})

    def _values(self, name: str, beginning: str, subjects: Collection[str]) -> list[str]:
        """Return values as they are written, of some records that have such: the index has them word by word."""
        searcher, begins = self._index.searcher(), plain(beginning)
        hits = searcher.search(self._queries.beginning(name, beginning, subjects), limit=_LOOKED_AT, count=False).hits
        counts = Counter[str]()
        for _, address in hits:
            record = record_in(searcher.doc(address))
            said = [getattr(record, attribute) for attribute in _OF_RECORDS[name]]
            values = {each for value in said for each in ((value,) if isinstance(value, str) else value)}
            counts.update(each for each in values if each and plain(each).startswith(begins))
        return _ranked(counts)

    def expired(self, now: datetime) -> list[str]:
        """Return the ids of entries that some reader may see no more, some hundreds at most."""
        searcher = self._index.searcher()
        hits = searcher.search(self._queries.due(now), limit=_MOST_SUGGESTED, count=False).hits
        return [record_in(searcher.doc(address)).id for _, address in hits]

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def close(self) -> None:
        """Let go of its threads, when what they do is done; what waits for its turn is given up."""
        with self._writing:
            self._is_closed = True
        self._searching.shutdown(cancel_futures=True)
        self._threads.shutdown(cancel_futures=True)

    async def beside(self, asked: Callable[[], _Answer]) -> _Answer:
        """Return what is asked of this index, in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._searching, asked)

    def _page(
        self, search: Search, subjects: Collection[str], *, limit: int, offset: int, facets: bool, typos: bool
    ) -> Page:
        searcher = self._index.searcher()
        query = self._queries.query(search, subjects, typos=typos)
        # Both look at all that fits; the second core has nothing else to do.
        counting = self._threads.submit(self._facets, searcher, query) if facets else None
        order = None if search.words else "order"
        # Its type knows nothing of "count".
        found: Any = searcher.search(query, limit=max(1, limit), offset=offset, order_by_field=order)
        total = int(found.count)
        records = tuple(record_in(searcher.doc(address)) for _, address in found.hits[:limit])
        cursor = str(offset + len(records)) if offset + len(records) < total else ""
        counts, size = counting.result() if counting else ({}, 1)
        return Page(records, total, counts, cursor, typos and bool(total), size > 1, notes=search.notes)

    def _people(self, search: Search, subjects: Collection[str], *, limit: int, offset: int) -> Page:
        """Return whose things these subjects may see that fit, who has most of them first.

        People are in no entry of their own: so nobody learns of one of whose things they may see none.
        """
        groups = tuple(each for each in search.groups if any(c.field != "type" or c.negated for c in each))
        search = replace(search, groups=groups)
        query = self._queries.query(search, subjects, typos=False)
        told = self._index.searcher().aggregate(query, {"owner": {"terms": {"field": "owner", "size": _MOST_PEOPLE}}})
        names = _ranked({each["key"]: each["doc_count"] for each in told["owner"]["buckets"]})
        asked = [self._person(search, subjects, name) for name in names[offset : offset + limit]]
        records = tuple(filter(None, asked))
        cursor = str(offset + limit) if offset + limit < len(names) else ""
        facets = {"type": {_PERSON: len(names)}} if names else {}
        return Page(records, len(names), facets, cursor, notes=search.notes)

    def _person(self, search: Search, subjects: Collection[str], name: str) -> Record | None:
        """Return the owner of this name, by the things of theirs that fit; None where these subjects see none."""
        searcher, theirs = self._index.searcher(), (Clause(name, "owner"),)
        query = self._queries.query(replace(search, groups=(*search.groups, theirs)), subjects, typos=False)
        found: Any = searcher.search(query, limit=1)
        if not found.hits:
            return None
        count, owner = int(found.count), record_in(searcher.doc(found.hits[0][1])).owner
        has = "1 thing" if count == 1 else f"{count:,} things"
        said = f"Has {has} here that you may see{' and that fit' if search else ''}."
        return Record(f"{_PERSON}:{owner}", _PERSON, owner, said, owner=owner, names=(owner,), catalog="here")

    def _has(self, query: Query) -> bool:
        return bool(self._index.searcher().search(query, limit=1, count=False).hits)

    def _facets(self, searcher: Any, query: Query) -> tuple[dict[str, dict[str, int]], int]:
        """Count what fits by each field; of very many, one of so many is counted for all of them, which is returned."""
        largest = SAMPLES[-1]
        told = searcher.aggregate(self._queries.sampled(query, largest), _COUNTS)
        about = largest * sum(each["doc_count"] for each in told["type"]["buckets"])
        size = next((size for size in (1, *SAMPLES) if about <= size * _COUNTED), largest)
        if size != largest:
            told = searcher.aggregate(self._queries.sampled(query, size) if size > 1 else query, _COUNTS)
        return {
            name: {each["key"]: each["doc_count"] * size for each in told[name]["buckets"]} for name in FACETS
        }, size


def _ranked(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda each: (-counts[each], each))


class OwnCatalog(Catalog):
    """The index as a catalog: what is here, for who asks."""

    id, title = "here", "This portal"

    def __init__(self, index: Index, *, is_fresh: Callable[[], bool] = lambda: True) -> None:
        self._index, self._is_fresh = index, is_fresh

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what the visitor may see of what fits, with facets."""
        if len(cursor) > _LONGEST_CURSOR or not (cursor or "0").isdecimal():
            raise Invalid("So many hits are not shown. Search for something more exact.", field="cursor")
        offset = int(cursor or 0)
        self._check()
        asked = partial(self._index.search, search, subjects=_subjects(visitor), limit=limit, offset=offset)
        return await self._index.beside(asked)

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound, for those that the visitor may not see too."""
        found = (await self.records([record_id], visitor=visitor)).get(record_id)
        if found is None:
            raise NotFound("There is nothing like that here.")
        return found

    async def suggest(self, beginning: str, *, visitor: Visitor, limit: int) -> list[str]:
        """Return what begins so, of what the visitor may see."""
        self._check()
        asked = partial(self._index.suggest, beginning, subjects=_subjects(visitor), limit=limit)
        return await self._index.beside(asked)

    async def records(self, record_ids: Iterable[str], *, visitor: Visitor) -> dict[str, Record]:
        """Return those of the records that there are and that the visitor may see, by id."""
        self._check()
        return await self._index.beside(partial(self._index.several, list(record_ids), subjects=_subjects(visitor)))

    def _check(self) -> None:
        """Show nothing that nobody may see any more: where the database cannot be followed, nothing at all."""
        if not self._is_fresh():
            raise Unavailable("Searching here is not possible for a moment.", log_message="The index is behind.")


def _subjects(visitor: Visitor) -> frozenset[str]:
    return visitor.subjects | {ADMINS} if visitor.user and visitor.user.admin else visitor.subjects
