"""A light ``voila`` and ``voila.utils`` for kernels: what notebooks ask them for, without Voilà's server behind it.

The real ones import a whole Jupyter server, for a quarter of a second and tens of megabytes in each kernel; every vois
app does. Whatever else is asked of them comes from the real ones, which are imported then and take their place.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from vaas.facts import QUERY, REQUEST
from vaas.runtime import asking

__all__ = ["get_query_string", "install", "wait_for_request"]

_PACKAGE = "voila"


def get_query_string(url: str | None = None) -> str:
    """Return the query of the visit's address, as Voilà's function of this name does; ``url`` is of no use here."""
    asking.note(QUERY)
    return asking.facts().query


def wait_for_request(url: str | None = None) -> None:
    """Wait for the visit, as Voilà's function of this name does: a template ends here, and a visit has begun."""
    asking.note(REQUEST)


def install() -> None:
    """Take the places of ``voila`` and ``voila.utils``; a no-op where one is imported already."""
    if _PACKAGE in sys.modules:
        return
    utils = _StandIn(f"{_PACKAGE}.utils", get_query_string=get_query_string, wait_for_request=wait_for_request)
    package = _StandIn(_PACKAGE, utils=utils)
    found = PathFinder.find_spec(_PACKAGE)
    # So that its other modules can be imported.
    package.__path__ = list((found and found.submodule_search_locations) or ())
    sys.modules |= {package.__name__: package, utils.__name__: utils}


class _StandIn(ModuleType):
    """A module that knows a few names, and gives way to the real one when it is asked for another."""

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name, "Stands in for the real one until more of it is needed.")
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        # Tools look at every module that is loaded for names like __file__.
        if name.startswith("__") and name != "__version__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_real(self), name)


def _real(module: _StandIn) -> ModuleType:
    """Import what the module stands in for, and leave that in its place."""
    name = module.__name__
    if sys.modules.get(name) is module:
        del sys.modules[name]
    real = importlib.import_module(name)
    for full, loaded in list(sys.modules.items()):
        parent, _, child = full.rpartition(".")
        if parent == name and not hasattr(real, child):
            setattr(real, child, loaded)  # it was imported as part of the stand-in
    return real
