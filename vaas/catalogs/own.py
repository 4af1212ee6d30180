"""The portal's own index: a full text engine in a folder, which can be thrown away and made again at any time.

Whoever asks gives the subjects that they count as. What is found, counted, suggested or corrected is found among what
one of these subjects may see: the filter is part of each query, so nothing else can leak through a number.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import tantivy
from tantivy import Filter, Occur, Query, SchemaBuilder, TextAnalyzerBuilder, Tokenizer

from vaas.catalogs.base import ADMINS, FACETS, Catalog, Entries, Entry, Page, Record
from vaas.errors import Invalid, NotFound, Unavailable
from vaas.model import Visitor
from vaas.query import Clause, Search

__all__ = ["Index", "OwnCatalog"]


_log = logging.getLogger("vaas")
#: Raised when the fields below change: an index of another form is made anew.
_FORM = "2"
#: Fields that are looked for whole, in small letters: name in a query → what a record has there.
_WHOLE = {"type": "type", "owner": "owner", "tag": "tags", "category": "category", "package": "packages"}
_WHOLE |= {"kernel": "kernel", "format": "format", "catalog": "catalog"}
#: Of a word in the title, and of one that is an identifier.
_TITLE, _NAME = 2.5, 6.0
#: Shorter words are looked for as they stand; longer ones may have so many letters wrong.
_ONE_WRONG, _TWO_WRONG = 4, 8
#: The beginnings of very many words are looked for in titles alone.
_SHORT = 4
_GRAM = 3
#: More than 9,999 hits are not turned over.
_LONGEST_CURSOR = 4
_MOST_FACETS, _MOST_SUGGESTED = 50, 200
#: So many facets are counted beside the search, and the others after it.
_HALF = 3
_SHOWN = [field.name for field in fields(Record) if field.name != "text"]
_MUST, _MAY, _MUST_NOT = Occur.Must, Occur.Should, Occur.MustNot


def _now() -> datetime:
    return datetime.now(UTC)


def _schema() -> tantivy.Schema:
    builder = SchemaBuilder()
    for name in ("id", "readers", "names"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("title", "body", "column", "author"):
        builder.add_text_field(name, tokenizer_name="words", index_option="position")
    builder.add_text_field("grams", tokenizer_name="grams", index_option="basic")
    for name in _WHOLE:
        builder.add_text_field(name, fast=name in FACETS, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("changed", indexed=True, fast=True)
    builder.add_integer_field("until", indexed=True)
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


def _plain(text: str) -> str:
    """Return the text as it is compared: small letters without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


class Index(Entries):
    """The index in ``folder``; one process writes it, and any number of threads read."""

    def __init__(self, folder: Path, *, memory: int = 128_000_000, now: Callable[[], datetime] = _now) -> None:
        self._schema = _schema()
        place = folder / _FORM
        self._index = self._opened(place)
        # In the same folder: it is lost with what it tells of.
        self._followed = place / "followed"
        words = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(80))
        self._words = words.filter(Filter.lowercase()).filter(Filter.ascii_fold()).build()
        self._index.register_tokenizer("words", self._words)
        grams = TextAnalyzerBuilder(Tokenizer.ngram(_GRAM, _GRAM)).filter(Filter.lowercase()).build()
        self._index.register_tokenizer("grams", grams)
        self._memory, self._now = memory, now
        self._writing = threading.Lock()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="index")

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
            writer = self._index.writer(self._memory, 2)
            if fresh:
                writer.delete_all_documents()
            for record_id in remove:
                writer.delete_documents_by_term("id", record_id)
            for entry in entries:
                if not fresh:
                    writer.delete_documents_by_term("id", entry.record.id)
                try:
                    writer.add_document(self._document(entry))
                except Exception:
                    _log.exception("%s cannot be found: it does not fit into the index.", entry.record.id)
            writer.commit()
            writer.wait_merging_threads()
            self._index.reload()
            if upto is not None:
                new = self._followed.with_suffix(".new")
                new.write_text(f"{upto[0]} {upto[1]}")
                new.replace(self._followed)

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
        page = self._page(search, subjects, limit=limit, offset=offset, facets=facets, typos=False)
        if page.total or not any(len(clause.text) >= _ONE_WRONG for clause in search.words):
            return page
        return self._page(search, subjects, limit=limit, offset=offset, facets=facets, typos=True)

    def get(self, record_id: str, *, subjects: Collection[str]) -> Record | None:
        """Return the record of this id; None: there is none that these subjects may see."""
        searcher = self._index.searcher()
        wanted = [(_MUST, self._term("id", record_id)), (_MUST, self._readable(subjects))]
        hits = searcher.search(Query.boolean_query(wanted), limit=1, count=False).hits
        return _record(searcher.doc(hits[0][1])) if hits else None

    def suggest(self, beginning: str, *, subjects: Collection[str], limit: int = 8) -> list[str]:
        """Return words of titles that begin so, the most frequent first, among what these subjects may see."""
        words = self._words.analyze(beginning)
        if not words:
            return []
        found = self._index.searcher().terms_with_prefix(
            "title", words[-1], filter_query=self._readable(subjects), limit=_MOST_SUGGESTED
        )
        ranked = sorted(((word, count) for word, count in found if count), key=lambda pair: (-pair[1], pair[0]))
        return [" ".join([*words[:-1], word]) for word, _ in ranked[:limit]]

    def expired(self, now: datetime) -> list[str]:
        """Return the ids of entries that some reader may see no more, some hundreds at most."""
        searcher = self._index.searcher()
        hits = searcher.search(self._due(now), limit=_MOST_SUGGESTED, count=False).hits
        return [_record(searcher.doc(address)).id for _, address in hits]

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def close(self) -> None:
        """Let go of its threads."""
        self._threads.shutdown()

    def _page(
        self, search: Search, subjects: Collection[str], *, limit: int, offset: int, facets: bool, typos: bool
    ) -> Page:
        searcher = self._index.searcher()
        query = self._query(search, subjects, typos=typos)
        # Both look at all that fits; the second core has nothing else to do.
        names, rest = (FACETS[:_HALF], FACETS[_HALF:]) if facets else (FACETS[:1], ())
        counting: Future[Any] = self._threads.submit(searcher.aggregate, query, _counts(names))
        order = None if search.words else "changed"
        hits = searcher.search(query, limit=max(1, limit), offset=offset, count=False, order_by_field=order).hits
        more = searcher.aggregate(query, _counts(rest)) if rest else {}
        counts = _facets({**counting.result(), **more})
        total = sum(counts["type"].values())
        records = tuple(_record(searcher.doc(address)) for _, address in hits[:limit])
        cursor = str(offset + len(records)) if offset + len(records) < total else ""
        return Page(records, total, counts if facets else {}, cursor, typos and bool(total), notes=search.notes)

    def _query(self, search: Search, subjects: Collection[str], *, typos: bool) -> Query:
        parts = [(_MUST, self._readable(subjects))]
        for group in search.groups:
            negated = [clause for clause in group if clause.negated]
            parts += [(_MUST_NOT, self._clause(clause, typos=False)) for clause in negated]
            rest = [self._clause(clause, typos=typos) for clause in group if not clause.negated]
            if rest:
                parts.append((_MUST, rest[0] if len(rest) == 1 else _any(rest)))
        if search.after or search.before:
            parts.append((_MUST, self._changed(search.after, search.before)))
        return Query.boolean_query(parts)

    def _readable(self, subjects: Collection[str]) -> Query:
        """What one of them may see; nothing that has to be looked at again, until it was."""
        named = Query.term_set_query(self._schema, "readers", sorted(subjects))
        told = Query.boolean_query([(_MUST, named), (_MUST_NOT, self._due(self._now()))])
        return Query.const_score_query(told, 0.0)

    def _due(self, now: datetime) -> Query:
        kind, until = tantivy.FieldType.Integer, int(now.timestamp())
        return Query.range_query(self._schema, "until", kind, None, until, include_upper=True)

    def _changed(self, after: date | None, before: date | None) -> Query:
        kind = tantivy.FieldType.Integer
        first, end = (_seconds(day) if day else None for day in (after, before))
        bounds = Query.range_query(self._schema, "changed", kind, first, end, include_upper=end is None)
        return Query.const_score_query(bounds, 0.0)

    def _clause(self, clause: Clause, *, typos: bool) -> Query:
        if clause.field in _WHOLE:
            return Query.const_score_query(self._whole(clause), 0.0)
        if clause.field == "id":
            return self._term("names", _plain(clause.text))
        if clause.field == "name":
            return self._named(clause)
        fields = {"": ("title", "body"), "title": ("title",), "column": ("column",), "author": ("author",)}
        return self._words_in(clause, fields[clause.field], typos=typos)

    def _whole(self, clause: Clause) -> Query:
        text = _plain(clause.text)
        if clause.prefix:
            return Query.fuzzy_term_query(self._schema, clause.field, text, distance=0, prefix=True)
        return self._term(clause.field, text)

    def _named(self, clause: Clause) -> Query:
        """A part of a name: all groups of three letters in it."""
        text = _plain(clause.text)
        if len(text) < _GRAM:
            return Query.fuzzy_term_query(self._schema, "names", text, distance=0, prefix=True)
        grams = sorted({text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)})
        return Query.boolean_query([(_MUST, self._term("grams", gram)) for gram in grams])

    def _words_in(self, clause: Clause, fields: tuple[str, ...], *, typos: bool) -> Query:
        words = self._words.analyze(clause.text)
        if not words:
            return Query.empty_query()
        anywhere = "" if clause.field else _plain(clause.text)
        found = [Query.boost_query(self._term("names", anywhere), _NAME)] if anywhere else []
        if len(words) > 1:
            # A word with signs in it, such as a file's name or a DOI, is what stands in that order.
            for name in fields:
                make = Query.phrase_prefix_query if clause.prefix else Query.phrase_query
                found.append(Query.boost_query(make(self._schema, name, list(words)), _boost(name)))
            return _any(found)
        word = words[0]
        for name in fields:
            found.append(Query.boost_query(self._term(name, word, option="position"), _boost(name)))
            if clause.prefix and (len(word) >= _SHORT or name == "title"):
                begins = Query.fuzzy_term_query(self._schema, name, word, distance=0, prefix=True)
                found.append(Query.const_score_query(begins, 0.5 * _boost(name)))
            if typos and not clause.exact and len(word) >= _ONE_WRONG:
                distance = 2 if len(word) >= _TWO_WRONG else 1
                near = Query.fuzzy_term_query(self._schema, name, word, distance=distance, prefix=clause.prefix)
                found.append(Query.boost_query(near, 0.5 * _boost(name)))
        return _any(found)

    def _term(self, name: str, text: str, *, option: str = "basic") -> Query:
        return Query.term_query(self._schema, name, text, index_option=option)

    def _document(self, entry: Entry) -> tantivy.Document:
        record = entry.record
        document = tantivy.Document()
        document.add_text("id", record.id)
        for reader in entry.readers:
            document.add_text("readers", reader)
        document.add_text("title", record.title)
        # Everything else that a word may be found in.
        body = (record.summary, record.text, *record.tags, record.category, *record.names)
        document.add_text("body", "\n".join(filter(None, (*body, *record.columns, *record.authors, record.owner))))
        for column in record.columns:
            document.add_text("column", column)
        for author in (*record.authors, record.owner):
            document.add_text("author", author)
        for name in record.names:
            document.add_text("names", _plain(name))
            document.add_text("grams", _plain(name))
        for name, attribute in _WHOLE.items():
            value = getattr(record, attribute)
            for text in (value,) if isinstance(value, str) else value:
                if text:
                    document.add_text(name, _plain(text))
        document.add_integer("changed", int(record.changed.timestamp()) if record.changed else 0)
        if entry.until is not None:
            document.add_integer("until", int(entry.until.timestamp()))
        document.add_bytes("shown", json.dumps(_shown(record), ensure_ascii=False).encode())
        return document


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
        return await asyncio.to_thread(asked)

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound, for those that the visitor may not see too."""
        self._check()
        found = await asyncio.to_thread(self._index.get, record_id, subjects=_subjects(visitor))
        if found is None:
            raise NotFound("There is nothing like that here.")
        return found

    def _check(self) -> None:
        """Show nothing that nobody may see any more: where the database cannot be followed, nothing at all."""
        if not self._is_fresh():
            raise Unavailable("Searching here is not possible for a moment.", log_message="The index is behind.")


def _subjects(visitor: Visitor) -> frozenset[str]:
    return visitor.subjects | {ADMINS} if visitor.user and visitor.user.admin else visitor.subjects


def _boost(name: str) -> float:
    return _TITLE if name == "title" else 1.0


def _any(queries: list[Query]) -> Query:
    return Query.boolean_query([(_MAY, query) for query in queries])


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _counts(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"terms": {"field": name, "size": _MOST_FACETS}} for name in names}


def _facets(told: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return {name: {each["key"]: each["doc_count"] for each in found["buckets"]} for name, found in told.items()}


def _shown(record: Record) -> dict[str, Any]:
    said = {name: value for name in _SHOWN if (value := getattr(record, name)) not in ("", (), None, {})}
    for name in ("changed", "begins", "ends"):
        if name in said:
            said[name] = said[name].isoformat()
    return said


def _record(document: tantivy.Document) -> Record:
    said = json.loads(bytes(document["shown"][0]))
    for name in ("changed", "begins", "ends"):
        if name in said:
            said[name] = datetime.fromisoformat(said[name])
    for name in ("authors", "tags", "names", "columns", "packages", "box"):
        if name in said:
            said[name] = tuple(said[name])
    return Record(**said)
