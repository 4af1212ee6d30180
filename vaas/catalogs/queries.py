"""From what people type to what the engine looks for; who may see it is a part of each query."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime

import tantivy
from tantivy import Occur, Query

from vaas.catalogs.documents import GRAM, MOST_YEARS, SHORT, WHOLE, plain
from vaas.catalogs.plurals import others
from vaas.query import Clause, Search

__all__ = ["ONE_WRONG", "Queries"]

#: So much more counts what is the name of something.
_NAME = 6.0
#: And so much less what is one of what was asked for as many, or many of one.
_OTHER_NUMBER = 0.8
#: Shorter words are looked for as they stand; longer ones may have so many letters wrong.
ONE_WRONG, _TWO_WRONG = 4, 8
_MUST, _MAY, _MUST_NOT = Occur.Must, Occur.Should, Occur.MustNot


class Queries:
    """Makes queries for an index with this schema.

    Parameters
    ----------
    words:
        Cuts text as the index does.
    has:
        Tells whether something in the index fits: what nothing fits is left out of queries, for it would cost time.
    """

    def __init__(
        self,
        schema: tantivy.Schema,
        words: tantivy.TextAnalyzer,
        *,
        now: Callable[[], datetime],
        has: Callable[[Query], bool],
    ) -> None:
        self._schema, self._words, self._now, self._has = schema, words, now, has

    def query(self, search: Search, subjects: Collection[str], *, typos: bool) -> Query:
        """Return the query for what these subjects may see of what fits, with a letter or two wrong if ``typos``."""
        parts = [(_MUST, self.readable(subjects))]
        for group in search.groups:
            negated = [clause for clause in group if clause.negated]
            parts += [(_MUST_NOT, self._clause(clause, typos=False)) for clause in negated]
            rest = [self._clause(clause, typos=typos) for clause in group if not clause.negated]
            if rest:
                parts.append((_MUST, rest[0] if len(rest) == 1 else _any(rest)))
        if search.after or search.before:
            parts.append((_MUST, self._changed(search.after, search.before)))
        return Query.boolean_query(parts)

    def sampled(self, query: Query, size: int) -> Query:
        """Return the query for one of ``size`` (see :data:`vaas.catalogs.documents.SAMPLES`) of what fits it."""
        return Query.boolean_query([(_MUST, query), (_MUST, self._term("sample", str(size)))])

    def named(self, ids: list[str], subjects: Collection[str]) -> Query:
        """Return the query for those of these records that the subjects may see."""
        wanted = [(_MUST, Query.term_set_query(self._schema, "id", ids)), (_MUST, self.readable(subjects))]
        return Query.boolean_query(wanted)

    def beginning(self, name: str, text: str, subjects: Collection[str]) -> Query:
        """Return the query for what these subjects may see that has a value of this field which may begin so."""
        if name in {"name", "id"}:
            found = Query.fuzzy_term_query(self._schema, "names", plain(text), distance=0, prefix=True)
        else:
            found = self._words_in(Clause(text, name, prefix=True), typos=False)
        return Query.boolean_query([(_MUST, found), (_MUST, self.readable(subjects))])

    def readable(self, subjects: Collection[str]) -> Query:
        """Return the query for what one of them may see; nothing that has to be looked at again, until it was."""
        named = Query.term_set_query(self._schema, "readers", sorted(subjects))
        due = self.due(self._now())
        told = Query.boolean_query([(_MUST, named), (_MUST_NOT, due)]) if self._has(due) else named
        return Query.const_score_query(told, 0.0)

    def due(self, now: datetime) -> Query:
        """Return the query for what has to be looked at again."""
        kind, until = tantivy.FieldType.Integer, int(now.timestamp())
        return Query.range_query(self._schema, "until", kind, None, until, include_upper=True)

    def _changed(self, after: date | None, before: date | None) -> Query:
        kind = tantivy.FieldType.Integer
        first, end = (_seconds(day) if day else None for day in (after, before))
        bounds = Query.range_query(self._schema, "changed", kind, first, end, include_upper=end is None)
        return Query.const_score_query(bounds, 0.0)

    def _clause(self, clause: Clause, *, typos: bool) -> Query:
        if clause.field in WHOLE:
            return Query.const_score_query(self._whole(clause), 0.0)
        if clause.field == "year":
            return self._during(clause.text)
        if clause.field == "id":
            return self._term("names", plain(clause.text))
        if clause.field == "name":
            return self._named(clause)
        return self._words_in(clause, typos=typos)

    def _whole(self, clause: Clause) -> Query:
        text = plain(clause.text)
        if clause.prefix:
            return Query.fuzzy_term_query(self._schema, clause.field, text, distance=0, prefix=True)
        return self._term(clause.field, text)

    def _during(self, text: str) -> Query:
        """A year, or the years from one to another."""
        first, _, last = (text if ".." in text else f"{text}..{text}").partition("..")
        if not (first.isdecimal() and last.isdecimal() and len(first) <= 4 and len(last) <= 4):
            return Query.empty_query()
        years = [f"{year:04}" for year in range(int(first), min(int(last), int(first) + MOST_YEARS) + 1)]
        return Query.const_score_query(Query.term_set_query(self._schema, "year", years), 0.0)

    def _named(self, clause: Clause) -> Query:
        """A part of a name: all groups of three letters in it."""
        text = plain(clause.text)
        if len(text) < GRAM:
            return Query.fuzzy_term_query(self._schema, "names", text, distance=0, prefix=True)
        grams = sorted({text[at : at + GRAM] for at in range(len(text) - GRAM + 1)})
        return Query.boolean_query([(_MUST, self._term("grams", gram)) for gram in grams])

    def _words_in(self, clause: Clause, *, typos: bool) -> Query:
        """Its words in its field; or anywhere, and rather in the title, and best as the name of something."""
        words = self._words.analyze(clause.text)
        if not words:
            return Query.empty_query()
        if clause.field:
            return self._in(clause.field, words, clause, typos=typos)
        # The body has all words, those of the title several times: so one list is looked through, not two.
        anywhere, name = self._in("body", words, clause, typos=typos), plain(clause.text)
        if not self._is_name(name):
            return anywhere
        named = Query.boost_query(self._term("names", name), _NAME)
        return Query.boolean_query([(_MUST, anywhere), (_MAY, named)])

    def _in(self, name: str, words: list[str], clause: Clause, *, typos: bool) -> Query:
        if len(words) > 1:
            # A word with signs in it, such as a file's name or a DOI, is what stands in that order.
            make = Query.phrase_prefix_query if clause.prefix else Query.phrase_query
            return make(self._schema, name, list(words))
        word = words[0]
        found = [self._term(name, word, option="position")]
        if name != "author" and not clause.exact:
            alike = (self._term(name, each, option="position") for each in others(word))
            found += [Query.boost_query(each, _OTHER_NUMBER) for each in alike if self._has(each)]
        if clause.prefix:
            found.append(Query.const_score_query(self._beginning(name, word), 0.5))
        if typos and not clause.exact and len(word) >= ONE_WRONG:
            distance = 2 if len(word) >= _TWO_WRONG else 1
            near = Query.fuzzy_term_query(self._schema, name, word, distance=distance, prefix=clause.prefix)
            found.append(Query.boost_query(near, 0.5))
        return found[0] if len(found) == 1 else _any(found)

    def _is_name(self, text: str) -> bool:
        return self._has(self._term("names", text))

    def _beginning(self, name: str, word: str) -> Query:
        if len(word) <= SHORT and name in {"title", "body"}:
            return self._term("begins", word)
        return Query.fuzzy_term_query(self._schema, name, word, distance=0, prefix=True)

    def _term(self, name: str, text: str, *, option: str = "basic") -> Query:
        return Query.term_query(self._schema, name, text, index_option=option)


def _any(queries: list[Query]) -> Query:
    return Query.boolean_query([(_MAY, query) for query in queries])


def _seconds(day: date) -> int:
    """Return when the day begins, or the moment that it is."""
    if isinstance(day, datetime):
        return int(day.timestamp())
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
