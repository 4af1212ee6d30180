"""What may be said of how an app opens: which visits have it at once, and what runs again for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vaas.facts import QUERY, VISITOR

__all__ = ["Rest", "promised"]

#: What visits have that a copy of the whole notebook does not fit.
_WHO = {QUERY: "with parameters in the address", VISITOR: "for people whom the app knows by name"}
#: From so many seconds on there is something to say about getting better.
_LONG = 1.0


@dataclass(frozen=True)
class Rest:
    """What is left of the notebook for visits that cannot have all of it.

    Parameters
    ----------
    cells:
        The numbers of the code cells that they run, the first of which asked or has the tag.
    above:
        Whether a code cell has run before them.
    seconds:
        How long they took when they ran last; 0 if they did not.
    """

    cells: Sequence[int]
    above: bool
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """Which cells they are, as the subject of a sentence with its verb."""
        first, last = self.cells[0], self.cells[-1]
        return f"cells {first}–{last} run" if last > first else f"cell {first} runs"


def promised(rest: Rest, *, asked: Sequence[str], failure: str, whole: bool) -> tuple[str, list[str]]:
    """Return how the app opens for most, and what is different for whom.

    Parameters
    ----------
    asked:
        What the notebook asked for.
    failure:
        In words, how it failed without a visit; "": it did not.
    whole:
        Whether there is a copy of all of it.
    """
    if not rest.cells:
        return "instant", []
    if whole and set(asked) <= set(_WHO):
        if not (who := " and ".join(words for aspect, words in _WHO.items() if aspect in asked)):
            return "instant", []
        line = f"{who[0].upper()}{who[1:]} {rest.words} for each visit ({rest.seconds:.1f} s when they ran last)."
        better = " Ask in a later cell, or move what takes long above the question." if rest.seconds >= _LONG else ""
        return "instant", [line + better]
    mode = "partly" if rest.above else "cold"
    each = f"So {rest.words} for each visit"
    if failure:
        better = "Give what you ask for a value for who brings none: visitor.query.get(…)."
        return mode, [f"{failure} It did so when nobody was there and the address had no parameters. {each}. {better}"]
    return mode, [f"Cell {rest.cells[0]} asks what is another for each visit, or has the tag “visit”. {each}."]
