"""How two texts differ, line by line, in time and in words that have an end: what is compared is foreign."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt

from vaas.prose import clean_text

__all__ = ["MAX_FILE", "PATIENCE", "FileChange", "Lines", "Patience", "cost", "difference", "file_changes"]

#: Longer texts are not compared line by line: it would take minutes.
_MAX_COMPARED = 2_000
#: What it may cost to find out what became of the parts of one document, and to show what changed in them.
PATIENCE = 5_000_000
#: Of files: larger ones are not read, longer differences and lines not shown whole, and so many files are shown.
MAX_FILE = 200_000
_MAX_SHOWN, _MAX_LINE, _MAX_FILES = 400, 500, 30

#: (sign, line), where the sign is "+", "-", " " for context, or "…" for lines left out.
Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FileChange:
    """A text file that differs."""

    path: str
    lines: Lines


class Patience:
    """What may still be spent on comparing: difflib can take the third power of the length."""

    def __init__(self, left: int) -> None:
        self._left = left

    def takes(self, cost: int) -> bool:
        """Tell whether there is enough left for this, and take it off."""
        self._left -= cost
        return self._left >= 0


def cost(old: Sequence[str], new: Sequence[str]) -> int:
    """Return what it costs to match the two: their pairs of equals, each looked at again and again."""
    counts, others = Counter(old), Counter(new)
    pairs = sum(count * others[key] for key, count in counts.items() if key in others)
    return len(old) + len(new) + pairs * isqrt(min(len(old), len(new)))


def difference(before: str, after: str, patience: Patience) -> Iterator[tuple[str, str]]:
    """Yield the lines that differ, with three of context."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MAX_COMPARED or (old and new and not patience.takes(cost(old, new))):
        yield "…", f"{len(old)} lines before, {len(new)} lines after: too long to show line by line."
        return
    for line in list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]:
        if not line.startswith("@@"):
            yield line[0], line[1:]
        elif not line.startswith(("@@ -1 ", "@@ -1,", "@@ -0,")):
            yield "…", ""


def file_changes(files: Iterable[tuple[str, bytes, bytes]]) -> tuple[FileChange, ...]:
    """Return what differs in those files (path, before, after) that are text; so many at most."""
    patience = Patience(PATIENCE)
    found: list[FileChange] = []
    for path, before, after in files:
        old, new = _text(before), _text(after)
        if old is not None and new is not None:
            found.append(FileChange(path, _shown(old, new, patience)))
        if len(found) == _MAX_FILES:
            break
    return tuple(found)


def _text(data: bytes) -> str | None:
    """Return what a file says; None if it is no text, or too long."""
    if len(data) > MAX_FILE or b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _shown(before: str, after: str, patience: Patience) -> Lines:
    lines = list(difference(before, after, patience))
    more = len(lines) - _MAX_SHOWN
    shown = [(sign, _line(line)) for sign, line in lines[:_MAX_SHOWN]]
    if more > 0:
        shown.append(("…", f"{more} more lines are not shown."))
    return tuple(shown) or (("…", "Only what cannot be seen differs, as the ends of lines."),)


def _line(line: str) -> str:
    """Return a line without what would change how others look, and with the space that it begins with."""
    line = line[: len(line) - len(line.lstrip(" \t"))] + clean_text(line)
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"
