"""One way to run something: where, with what and how large, and what speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass

from vaas.launching import Environment, Facility, Size

__all__ = ["Choice"]

_BARE = "It has no GPU, and the notebook imports what works with one alone."
_TIGHT = "It has less memory than the check took."


@dataclass(frozen=True)
class Choice:
    """One way to run it.

    Parameters
    ----------
    missing:
        The packages that the environment lacks; None: nobody knows what is in it.
    unread:
        What nothing in it is known to read, of what it is to work on: formats, as people call them.
    copied, unsized:
        How many bytes of the data have to be copied there, and whether more of which the size is not known.
    tight:
        Whether it took more memory than this when it was checked.
    bare:
        Whether it imports what works with a GPU alone, and there is none.
    why_not:
        Why it cannot be chosen, in a sentence; "" where it can.
    """

    facility: Facility
    environment: Environment
    size: Size
    missing: tuple[str, ...] | None = ()
    copied: int = 0
    unsized: bool = False
    tight: bool = False
    why_not: str = ""
    unread: tuple[str, ...] = ()
    bare: bool = False

    @property
    def possible(self) -> bool:
        """Whether it can be chosen."""
        return not self.why_not

    @property
    def lacked(self) -> bool:
        """Whether the place has no such environment or size at all."""
        at = self.facility
        return self.environment.id in at.lacks_environments or self.size.id in at.lacks_sizes

    @property
    def short(self) -> str:
        """What the size is short of, in sentences; "" where it has what is needed, as far as that is known."""
        said = (_BARE, self.bare), (_TIGHT, self.tight)
        return " ".join(words for words, is_so in said if is_so)
