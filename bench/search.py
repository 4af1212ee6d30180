"""How long a search takes among many records, for people in few and in many groups, against SQLite's own full text.

``--records`` records of 28 words (as rare as words are: Zipf), a file name, three tags, five types and 40 formats; of
each ten, three are everybody's and the others one or two of 2,000 groups'. People are in 1, 20 and 200 groups. Each
query is ranked, filtered by what its asker may see, and returns 20 records. ``--queries`` of each kind:

- ``word`` (from rare to frequent), ``words`` (two), ``prefix`` (three letters while typing), ``common`` (a word that is
  in a third of all records), and each of them with facets: how many hits there are of each type, owner, tag and format;
- ``plural``, a word with an “s” that no record has behind it, with and without facets;
- ``suggest``, how two to four letters of a word could go on, and ``suggest value``, an owner or a tag: also of what the
  asker may see alone.

Keys: ``p99_ms``, the worst of all kinds and people, but for suggestions, which have ``suggest_p99_ms``; ``build_s``,
seconds to index a million records (what makes the records up is not counted); ``ratio_fts5_p50``, SQLite FTS5's median
over ours, in the middle of all kinds but plurals, which it does not know. FTS5 gets the same records and questions,
words as they are typed, and the readers as a table beside it.

    make bench BENCH=bench/search.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vaas.catalogs.base import Entry, Record
from vaas.catalogs.own import Index
from vaas.query import parse

_VOCABULARY, _WORDS, _GROUPS, _LIMIT = 50_000, 28, 2_000, 20
_PEOPLE = (1, 20, 200)
_TYPES = ("app", "notebook", "data", "folder", "share")
_LETTERS = str.maketrans("0123456789abcdef", "aeioubcdfglmnprs")
_NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def word(rank: int) -> str:
    """Return the word of this rank of frequency."""
    return "w" + format(rank * 7919 % _VOCABULARY, "05x").translate(_LETTERS)


def entries(count: int, *, seed: int = 1) -> Iterator[Entry]:
    """Make the records up."""
    chance = random.Random(seed)
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(_VOCABULARY)))
    words = [word(rank) for rank in range(_VOCABULARY)]
    for number in range(count):
        drawn = chance.choices(words, cum_weights=weights, k=_WORDS)
        groups = [f"group:g{chance.randrange(_GROUPS)}" for _ in range(chance.randint(1, 2))]
        readers = ["everyone"] if chance.random() < 0.3 else groups
        record = Record(
            id=f"r{number}",
            type=_TYPES[number % len(_TYPES)],
            title=" ".join(drawn[:5]),
            summary=" ".join(drawn[5:]),
            owner=f"user{chance.randrange(500)}",
            tags=tuple({f"t{int(chance.expovariate(0.05)) % 300}" for _ in range(3)}),
            names=(f"{drawn[0]}_{number:07d}.csv",),
            format=f"f{chance.randrange(40)}",
            changed=datetime.fromtimestamp(_NOW - number, UTC),
        )
        yield Entry(record, frozenset(readers))


class Questions:
    """What is asked, the same of both."""

    def __init__(self, *, seed: int = 2) -> None:
        self._chance = random.Random(seed)

    def make(self, kind: str) -> str:
        """Return a question of this kind."""
        if kind == "words":
            return f"{self._word(0.5, 3)} {self._word(0.5, 3)}"
        if kind == "common":
            return word(self._chance.randrange(3))
        if kind == "plural":
            return f"{self._word(0, 4)}s"
        if kind == "suggest":
            return self._word(0, 3)[: self._chance.randint(2, 4)]
        if kind == "suggest value":
            return self._chance.choice(
                (f"owner:user{self._chance.randrange(50)}", f"tag:t{self._chance.randrange(30)}")
            )
        return self._word(1, 4) if kind == "word" else self._word(0.5, 3)[:3]

    def _word(self, low: float, high: float) -> str:
        return word(int(10 ** self._chance.uniform(low, high)))

    def person(self, groups: int) -> list[str]:
        """Return the subjects of somebody in so many groups."""
        chosen = self._chance.sample(range(_GROUPS), groups)
        return ["everyone", "signed-in", "user:somebody", *(f"group:g{number}" for number in chosen)]


KINDS = ("word", "words", "prefix", "common")
SUGGESTED = ("suggest", "suggest value")


class Fts:
    """SQLite FTS5 with the same records."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path)
        self._base.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE record (id INTEGER PRIMARY KEY, title, body, type, owner, format);"
            "CREATE TABLE tag (record INTEGER, tag); CREATE TABLE reader (record INTEGER, subject);"
            "CREATE VIRTUAL TABLE words USING fts5 (title, body, content=record, content_rowid=id, prefix='3');"
        )

    def build(self, made: Iterator[Entry]) -> None:
        """Index the records."""
        for number, entry in enumerate(made):
            record = entry.record
            row = (number, record.title, record.summary, record.type, record.owner, record.format)
            self._base.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", row)
            self._base.executemany("INSERT INTO tag VALUES (?, ?)", [(number, tag) for tag in record.tags])
            readers = [(number, reader) for reader in entry.readers]
            self._base.executemany("INSERT INTO reader VALUES (?, ?)", readers)
        self._base.executescript(
            "INSERT INTO words (words) VALUES ('rebuild'); INSERT INTO words (words) VALUES ('optimize');"
            "CREATE INDEX tag_record ON tag (record); CREATE INDEX reader_record ON reader (record, subject); ANALYZE;"
        )

    def ask(self, text: str, *, prefix: bool, subjects: list[str], facets: bool) -> int:
        """Return how many records were returned."""
        match = f"{text}*" if prefix else text
        marks = ",".join("?" * len(subjects))
        seen = f"EXISTS (SELECT 1 FROM reader WHERE reader.record = words.rowid AND subject IN ({marks}))"
        ranked = f"SELECT rowid FROM words WHERE words MATCH ? AND {seen} ORDER BY bm25(words, 2.5, 1) LIMIT {_LIMIT}"
        found = self._base.execute(ranked, (match, *subjects)).fetchall()
        if facets:
            fitting = f"SELECT rowid FROM words WHERE words MATCH ? AND {seen}"
            for column in ("type", "owner", "format"):
                counted = f"SELECT {column}, count(*) FROM record WHERE id IN ({fitting}) GROUP BY 1"
                self._base.execute(counted, (match, *subjects)).fetchall()
            tags = f"SELECT tag, count(*) FROM tag WHERE record IN ({fitting}) GROUP BY 1"
            self._base.execute(tags, (match, *subjects)).fetchall()
        return len(found)

    def close(self) -> None:
        """Let go of it."""
        self._base.close()


def timed(ask: Callable[[], object]) -> float:
    """Return how many milliseconds it takes."""
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


def measure(index: Index, fts: Fts | None, *, queries: int, peer_queries: int) -> dict[str, dict[str, float]]:
    """Return p50 and p99 in milliseconds of each kind, and FTS5's p50."""
    found: dict[str, dict[str, float]] = {}
    questions = Questions()
    for facets, groups, kind in itertools.product((False, True), _PEOPLE, KINDS):
        asked = [(questions.make(kind), questions.person(groups)) for _ in range(queries)]
        prefix = kind == "prefix"
        options = {"limit": _LIMIT, "facets": facets}
        ours = [
            timed(partial(index.search, parse(text, typing=prefix), subjects=who, **options)) for text, who in asked
        ]
        name = f"{kind}{' + facets' if facets else ''}, {groups} groups"
        found[name] = _of(ours)
        if fts is not None:
            options = {"prefix": prefix, "facets": facets}
            theirs = [timed(partial(fts.ask, text, subjects=who, **options)) for text, who in asked[:peer_queries]]
            found[name]["fts5_p50"] = statistics.median(theirs)
        _say(name, found[name])
    return found


def measure_plurals(index: Index, *, queries: int) -> dict[str, dict[str, float]]:
    """Return p50 and p99 in milliseconds of words in the plural, which are looked for in the singular, too."""
    found: dict[str, dict[str, float]] = {}
    questions = Questions(seed=3)
    for facets, groups in itertools.product((False, True), _PEOPLE):
        asked = [(questions.make("plural"), questions.person(groups)) for _ in range(queries)]
        options = {"limit": _LIMIT, "facets": facets}
        name = f"plural{' + facets' if facets else ''}, {groups} groups"
        found[name] = _of([timed(partial(index.search, parse(text), subjects=who, **options)) for text, who in asked])
        _say(name, found[name])
    return found


def measure_suggestions(index: Index, *, queries: int) -> dict[str, dict[str, float]]:
    """Return p50 and p99 in milliseconds of each kind."""
    found: dict[str, dict[str, float]] = {}
    questions = Questions(seed=4)
    for groups, kind in itertools.product(_PEOPLE, SUGGESTED):
        asked = [(questions.make(kind), questions.person(groups)) for _ in range(queries)]
        name = f"{kind}, {groups} groups"
        found[name] = _of([timed(partial(index.suggest, text, subjects=who)) for text, who in asked])
        _say(name, found[name])
    return found


def _of(times: list[float]) -> dict[str, float]:
    return {"p50": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}


def _say(name: str, found: dict[str, float]) -> None:
    print(f"{name:32}" + "".join(f"{key} {ms:9.2f}  " for key, ms in found.items()), file=sys.stderr)


def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="vaas-bench-") as folder:
        began = time.perf_counter()
        for _ in entries(args.records):
            pass
        making = time.perf_counter() - began
        with closing(Index(Path(folder) / "index", memory=512_000_000)) as index:
            began = time.perf_counter()
            index.put(entries(args.records), fresh=True)
            building = time.perf_counter() - began - making
            fts = Fts(Path(folder) / "fts.sqlite")
            fts.build(entries(args.records))
            found = measure(index, fts, queries=args.queries, peer_queries=args.peer_queries)
            plurals = measure_plurals(index, queries=args.queries)
            suggested = measure_suggestions(index, queries=args.queries)
            fts.close()
        size = sum(path.stat().st_size for path in (Path(folder) / "index").rglob("*") if path.is_file())
        peer = (Path(folder) / "fts.sqlite").stat().st_size
    ratios = [kind["fts5_p50"] / kind["p50"] for kind in found.values()]
    answer = {
        "bench": "search",
        "records": args.records,
        "p99_ms": _worst({**found, **plurals}),
        "suggest_p99_ms": _worst(suggested),
        "build_s": round(building * 1_000_000 / args.records, 1),
        "ratio_fts5_p50": round(statistics.median(ratios), 1),
        "index_mb": round(size / 1e6),
        "fts5_mb": round(peer / 1e6),
    }
    every = {**found, **plurals, **suggested}
    print(
        json.dumps({**answer, "ms": {name: {k: round(v, 2) for k, v in kind.items()} for name, kind in every.items()}})
    )


def _worst(found: dict[str, dict[str, float]]) -> float:
    return round(max(kind["p99"] for kind in found.values()), 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--peer-queries", type=int, default=7, help="of each kind, of SQLite")
    parser.add_argument("--short", action="store_true", help="prove that it works, in some seconds")
    args = parser.parse_args()
    if args.short:
        args.records, args.queries, args.peer_queries = 5_000, 5, 2
    return args


if __name__ == "__main__":
    main()
