"""What comes with a verb, from somebody who may send anything, and what a function that answers a verb looks like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from vaas.errors import Invalid
from vaas.model import Visitor
from vaas.portal import Portal

__all__ = ["Arguments", "Verb"]

#: How many characters a text may have, where nothing else is said.
_LONGEST = 2000


class Arguments(Mapping[str, Any]):
    """What came with a verb; ``base`` is the portal's public address."""

    def __init__(self, said: Mapping[str, Any], *, base: str = "") -> None:
        self._said, self.base = said, base

    def __getitem__(self, name: str) -> Any:
        return self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def text(self, name: str, default: str | None = None, *, most: int = _LONGEST) -> str:
        """Return a text of at most ``most`` characters. Raises Invalid, also when there is neither it nor a default."""
        value = self._said.get(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise Invalid(f"“{name}” is a text of at most {most} characters.", field=name)
        # Half of a pair is no character: nothing could keep it.
        return value.encode("utf-8", "replace").decode()

    def number(self, name: str, default: int, *, most: int) -> int:
        """Return a number from 1 to ``most``. Raises Invalid."""
        value = self._said.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise Invalid(f"“{name}” is a number from 1 to {most}.", field=name)
        return value

    def flag(self, name: str) -> bool:
        """Return whether it is said; False by default. Raises Invalid."""
        value = self._said.get(name, False)
        if not isinstance(value, bool):
            raise Invalid(f"“{name}” is true or false.", field=name)
        return value

    def texts(self, name: str, *, most: int = 100) -> list[str]:
        """Return a list of at most ``most`` texts. Raises Invalid."""
        values = self._said.get(name, [])
        if not isinstance(values, list) or len(values) > most:
            raise Invalid(f"“{name}” is a list of at most {most} texts.", field=name)
        return [Arguments({name: value}).text(name) for value in values]


Verb = Callable[[Portal, Visitor, Arguments], Awaitable[Any]]
