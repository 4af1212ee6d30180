"""What Markdown says, read by its looks: headings, paragraphs and pictures.

It comes from strangers, so nothing here takes longer than in proportion to the text's length.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from itertools import dropwhile

__all__ = ["clean_text", "headings", "images", "outside_fences", "paragraphs", "shorten", "shown", "without_data"]

#: So much of a heading's line, and of a paragraph, is looked at.
_HEADING_LENGTH = 500
_PARAGRAPH_LENGTH = 2_000

_HEADING = re.compile(
    r"^ {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>.+)$|^[ \t]*<h(?P<level>[1-6])[^>]*>(?P<html>.+?)</h[1-6]>",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")
_NO_PROSE = re.compile(r"^\s*([#>|<$!]|[-*+]\s|\d+[.)]\s|```|~~~|---|===|\*\*\*|\[[^\]]*\]:|:::)")
_IMAGE = re.compile(
    r"!\[[^\]]{0,500}+\]\(\s{0,100}+<?([^)\s>]{1,1000}+)[^)]{0,500}+\)|\bsrc\s*+=\s*+[\"']?([^\"'\s>]+)", re.IGNORECASE
)
#: A file that is written out in an address, and addresses and attributes that fill a line.
_DATA = re.compile(r"(data:[\w.+-]{1,50}/[\w.+-]{1,50}[;,])[^\s()<>\"']{200,}+", re.IGNORECASE)
_LONG = re.compile(r"(?<=\]\()[^()]++(?=\))|(?<=<img )[^<>]++(?=>)", re.IGNORECASE)
#: What a page does not show of Markdown: comments, tags, where links lead to.
_NOT_SHOWN = re.compile(
    r"<!--.*?(?:-->|\Z)|<[^<>]{0,2000}>|(?<=\])\([^()]{0,2000}\)|^ {0,3}\[[^\]\n]{1,200}\]:.*$",
    re.DOTALL | re.MULTILINE,
)
#: Controls of Unicode (Cc) but for tab and new line, and marks of format (Cf). Written out: long logs are cleaned each
#: second, and asking of each character what it is takes six times as long.
_NOT_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)


def clean_text(text: str) -> str:
    """Return ``text`` without control characters and without marks that turn the direction of what follows."""
    return _NOT_TEXT.sub("", text).strip()


def headings(markdown: str) -> Iterator[tuple[int, str]]:
    """Yield level and text of each heading."""
    above = ""
    for i, whole in enumerate(outside_fences(markdown)):
        line = _start(whole, _HEADING_LENGTH)
        if match := _HEADING.match(line):
            level = int(match["level"] or len(match["marks"] or ""))
            yield level, shorten(_plain(match["html"] or _without_marks(match["text"])), 120)
        elif i and _UNDERLINE.match(line) and above.strip() and not _NO_PROSE.match(above):
            yield (1 if line.strip()[0] == "=" else 2), shorten(_plain(above), 120)
        above = line


def paragraphs(markdown: str) -> Iterator[str]:
    """Yield the paragraphs of prose, without headings, lists, tables, formulas and markup."""
    for block in re.split(r"\n\s*\n", "\n".join(outside_fences(markdown))):
        lines = list(dropwhile(_HEADING.match, block.strip("\n").split("\n")))
        if lines and lines[0].strip() and not any(map(_UNDERLINE.match, lines)) and not _NO_PROSE.match(lines[0]):
            yield _plain(_start(" ".join(lines), _PARAGRAPH_LENGTH))


def outside_fences(markdown: str) -> list[str]:
    """Return the lines that are not code."""
    kept, fence = [], ""
    for line in markdown.split("\n"):
        mark = line.strip()[:3]
        if mark in {"```", "~~~"} and (not fence or mark == fence):
            fence = "" if fence else mark
        elif not fence:
            kept.append(line)
    return kept


def images(markdown: str) -> tuple[str, ...]:
    """Return the addresses of the pictures, and of whatever else a tag loads."""
    return tuple(a or b for a, b in _IMAGE.findall(markdown))


def without_data(markdown: str) -> str:
    """Return the text without the pictures that are part of it."""
    return _DATA.sub(r"\1", markdown)


def shorten(text: str, length: int) -> str:
    """Return the first words of the text, with a mark when there were more."""
    if len(text) <= length:
        return text
    return text[:length].rsplit(" ", 1)[0].rstrip(".,;:") + " …"


def _start(text: str, length: int) -> str:
    return text if len(text) <= length else _LONG.sub("", text)[:length]


def _without_marks(heading: str) -> str:
    return heading.rstrip("#").rstrip(" \t") or heading[:1]


def _plain(markdown: str) -> str:
    """Return one line of text without Markdown's and HTML's marks."""
    text = re.sub(r"!\[[^\]]{0,500}\]\([^)]{0,500}\)", "", markdown)
    text = re.sub(r"\[([^\]]{0,500})\]\([^)]{0,500}\)", r"\1", text)
    text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    text = re.sub(r"(\*\*|__|~~|`)", "", text)
    text = re.sub(r"(?<!\w)[*_](?=\S)(.*?\S)[*_](?!\w)", r"\1", text)
    return " ".join(text.split())


def shown(markdowns: Iterable[str], *, most: int) -> str:
    """Return what a page shows of these texts, one after the other; ``most`` characters of them are looked at."""
    texts = []
    for markdown in markdowns:
        if most <= 0:
            break
        texts.append(_NOT_SHOWN.sub(" ", without_data(markdown[:most])))
        most -= len(markdown)
    return "\n".join(texts)
