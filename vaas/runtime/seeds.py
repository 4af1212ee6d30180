"""New seeds for a fork: two visits never draw the same numbers."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["renew"]


def renew(namespace: dict[str, Any] | None = None) -> None:
    """Seed the random generators of the libraries that are loaded, and those among the notebook's variables, anew."""
    random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
    for value in _values(namespace or {}):
        with contextlib.suppress(Exception):
            _renew(value, numpy)


def _values(namespace: dict[str, Any]) -> Iterator[Any]:
    """The notebook's variables, and what its own objects and containers hold."""
    for value in list(namespace.values()):
        yield value
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, (list, tuple)) and len(value) < 100:
            yield from value
        elif type(value).__module__ == "__main__":
            yield from vars(value).values() if hasattr(value, "__dict__") else ()


def _renew(value: Any, numpy: Any) -> None:
    if isinstance(value, random.Random) or numpy is not None and isinstance(value, numpy.RandomState):
        value.seed()
    elif numpy is not None and isinstance(value, numpy.Generator):
        value.bit_generator.state = type(value.bit_generator)().state
