"""What the index keeps of a record: which fields, in which form, and the record again from it."""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from datetime import datetime

import tantivy
from tantivy import Filter, SchemaBuilder, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from vaas.catalogs.base import FACETS, Entry, Record, record_of
from vaas.insides.names import PROGRAMS

__all__ = [
    "FORM",
    "GRAM",
    "MOST_YEARS",
    "SAMPLES",
    "SHORT",
    "WHOLE",
    "document",
    "plain",
    "record_in",
    "schema",
    "tokenizers",
]

#: Raised when the fields below change: an index of another form is made anew.
FORM = "7"
#: Fields that are looked for whole, in small letters: name in a query → what a record has there.
WHOLE = {"type": "type", "owner": "owner", "tag": "tags", "category": "category", "package": "packages"}
WHOLE |= {"kernel": "kernel", "format": "format", "catalog": "catalog", "takes": "takes"}
#: So few letters begin very many words: they are looked for in titles alone, which are kept by them.
SHORT = 3
#: A part of a name is looked for by so many letters at a time.
GRAM = 3
#: One record of so many is in a sample.
SAMPLES = (4, 16, 64)
_TITLE = 3
_WORD = re.compile(r"[^\W_]+")
#: A record is about no more years than these, or about none.
MOST_YEARS = 1_000
#: What belongs to a program comes behind what is older by up to so many seconds: nobody looks for a style sheet.
_BEHIND = 10**11
#: Made once: one for each record would be a third of the time that it takes to index it.
_JSON = json.JSONEncoder(ensure_ascii=False, default=datetime.isoformat)


def schema() -> tantivy.Schema:
    """Return the fields."""
    builder = SchemaBuilder()
    for name in ("id", "readers", "names", "sample"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("title", "body", "column", "author"):
        builder.add_text_field(name, tokenizer_name="words", index_option="position")
    builder.add_text_field("grams", tokenizer_name="grams", index_option="basic")
    builder.add_text_field("begins", tokenizer_name="begins", index_option="basic")
    for name in (*WHOLE, "year", "month"):
        builder.add_text_field(name, fast=name in FACETS, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("changed", indexed=True, fast=True)
    builder.add_integer_field("order", fast=True)
    builder.add_integer_field("until", indexed=True)
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


def tokenizers() -> dict[str, TextAnalyzer]:
    """Return what cuts text into what is compared, by name."""
    words = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(80))
    grams = TextAnalyzerBuilder(Tokenizer.ngram(GRAM, GRAM)).filter(Filter.lowercase())
    begins = TextAnalyzerBuilder(Tokenizer.ngram(1, SHORT, prefix_only=True))
    folded = {"words": words, "begins": begins}
    plain_ones = {name: each.filter(Filter.lowercase()).filter(Filter.ascii_fold()) for name, each in folded.items()}
    return {name: each.build() for name, each in (plain_ones | {"grams": grams}).items()}


def plain(text: str) -> str:
    """Return the text as it is compared: small letters without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def document(entry: Entry) -> tantivy.Document:
    """Return what is kept of it."""
    record = entry.record
    document = tantivy.Document()
    document.add_text("id", record.id)
    _add_sample(document, record.id)
    for reader in entry.readers:
        document.add_text("readers", reader)
    document.add_text("title", record.title)
    for word in _WORD.findall(record.title):
        document.add_text("begins", word)
    # Everything that a word may be found in; one in the title counts several times.
    body = (*[record.title] * _TITLE, record.summary, record.text, *record.tags, record.category, *record.names)
    document.add_text("body", "\n".join(filter(None, (*body, *record.columns, *record.authors, record.owner))))
    for column in record.columns:
        document.add_text("column", column)
    for author in (*record.authors, record.owner):
        document.add_text("author", author)
    for name in record.names:
        document.add_text("names", plain(name))
        document.add_text("grams", plain(name))
    for name, attribute in WHOLE.items():
        value = getattr(record, attribute)
        for text in (value,) if isinstance(value, str) else value:
            if text:
                document.add_text(name, plain(text))
    for year in _years(record):
        document.add_text("year", f"{year:04}")
    if record.changed:
        document.add_text("month", f"{record.changed.year:04}-{record.changed.month:02}")
    changed = int(record.changed.timestamp()) if record.changed else 0
    document.add_integer("changed", changed)
    document.add_integer("order", changed - _BEHIND * (record.format in PROGRAMS))
    if entry.until is not None:
        document.add_integer("until", int(entry.until.timestamp()))
    document.add_bytes("shown", _shown(record))
    return document


def record_in(document: tantivy.Document) -> Record:
    """Return the record that a document was made of, without its text."""
    return record_of(json.loads(bytes(document["shown"][0])))


def _add_sample(document: tantivy.Document, record_id: str) -> None:
    """Take some records as a sample of all: by their ids, so that the sample is the same everywhere."""
    number = zlib.crc32(record_id.encode())
    for size in SAMPLES:
        if number % size == 0:
            document.add_text("sample", str(size))


def _years(record: Record) -> range:
    """Return the years that it is about."""
    begins, ends = record.begins or record.ends, record.ends or record.begins
    if begins is None or ends is None or not begins.year <= ends.year < begins.year + MOST_YEARS:
        return range(0)
    return range(begins.year, ends.year + 1)


def _shown(record: Record) -> bytes:
    """Return what :func:`vaas.catalogs.base.record_of` takes, as JSON; twice as fast as its opposite there."""
    said = {name: value for name, value in vars(record).items() if (value or value == 0) and name != "text"}
    return _JSON.encode(said).encode()
