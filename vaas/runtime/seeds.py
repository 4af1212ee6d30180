"""New seeds for a fork: two visits never draw the same numbers."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from typing import Any

__all__ = ["generators", "renew"]


def generators() -> list[Any]:
    """Return the random generators that there are, wherever the notebook and its modules keep them.

    Asked before the memory is frozen: the garbage collector, which knows them, does not name what is frozen.
    """
    kinds = _kinds()
    # Not isinstance, which asks an object for its class: some are lazy, and would do their work now.
    return [found for found in gc.get_objects() if issubclass(type(found), kinds)]


def renew(found: list[Any]) -> None:
    """Seed the random generators of the libraries that are loaded anew, and those that were ``found``."""
    random.seed()
    for library in ("numpy.random", "torch"):
        if library in sys.modules:
            sys.modules[library].seed()
    for generator in found:
        with contextlib.suppress(Exception):
            _renew(generator)


def _kinds() -> tuple[type, ...]:
    numpy = sys.modules.get("numpy.random")
    names = ("RandomState", "Generator", "BitGenerator", "SeedSequence") if numpy is not None else ()
    return (random.Random, *(getattr(numpy, name) for name in names))


def _renew(generator: Any) -> None:
    if hasattr(generator, "seed"):
        generator.seed()
    else:
        # Anew in its place, with what it makes others of: their seeds would be the same, too.
        getattr(generator, "bit_generator", generator).__init__()
