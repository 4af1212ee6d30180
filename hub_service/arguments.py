"""What comes with a verb, from somebody who may send anything, and what a function that answers a verb looks like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vaas.errors import Invalid
from vaas.model import Visitor
from vaas.portal import Portal

__all__ = ["Arguments", "Verb"]

#: How many characters a text may have, where nothing else is said, and how many texts a list.
_LONGEST, _MOST = 2000, 200


class Arguments:
    """What came with a verb, each argument of the kind that it must be; ``base`` is the portal's public address.

    All raise Invalid, also where there is neither what is asked for nor a default.
    """

    def __init__(self, said: Mapping[str, Any], *, base: str = "") -> None:
        self._said, self.base = said, base

    def only(self, *known: str) -> None:
        """Raise Invalid when there is anything else: nobody would do what it says."""
        if odd := sorted(str(name)[:40] for name in self._said if name not in known):
            raise Invalid(f"There is no argument “{odd[0]}”.")

    def text(self, name: str, default: str | None = None, *, most: int = _LONGEST) -> str:
        """Return a text of at most ``most`` characters."""
        value = self._said.get(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise Invalid(f"“{name}” is a text of at most {most} characters.", field=name)
        # Half of a pair is no character: nothing could keep it.
        return value.encode("utf-8", "replace").decode()

    def number(self, name: str, default: int, *, least: int = 1, most: int) -> int:
        """Return a number from ``least`` to ``most``."""
        value = self._said.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Invalid(f"“{name}” is a number from {least} to {most}.", field=name)
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self._said.get(name, default)
        if not isinstance(value, bool):
            raise Invalid(f"“{name}” is true or false.", field=name)
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        values = self._said.get(name)
        if not isinstance(values, list) or len(values) > _MOST:
            raise Invalid(f"“{name}” is a list of at most {_MOST} texts.", field=name)
        return [Arguments({name: value}).text(name) for value in values]


Verb = Callable[[Portal, Visitor, Arguments], Awaitable[Any]]
