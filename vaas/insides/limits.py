"""How much looking into one file may take, and how much may be told of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "MOST_COLUMNS",
    "MOST_DETAILS",
    "MOST_NAME",
    "MOST_PARTS",
    "MOST_PICTURE",
    "MOST_ROWS",
    "MOST_SUMMARY",
    "MOST_TEXT",
    "MOST_TITLE",
    "MOST_TREE",
    "Limits",
]

#: Of texts so many characters; of lists so many entries.
MOST_TITLE, MOST_SUMMARY, MOST_TEXT, MOST_NAME = 300, 1_000, 100_000, 120
MOST_COLUMNS, MOST_DETAILS, MOST_TREE, MOST_ROWS = 500, 40, 500, 20
#: So many characters a picture may have, written as an address.
MOST_PICTURE = 600_000
#: So many files of one folder are handed over; the system passes 253 at once.
MOST_PARTS = 240


@dataclass(frozen=True)
class Limits:
    """What one file may take: seconds by the clock and of computing, bytes of memory and of the answer."""

    seconds: float = 20.0
    cpu: int = 15
    memory: int = 1_000_000_000
    answer: int = 4_000_000
