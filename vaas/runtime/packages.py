"""Which modules are there, and which package to install for those that are not."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from vaas.packages import package_of

__all__ = ["is_missing", "package_of"]


def is_missing(module: str) -> bool:
    """Tell whether a top-level module cannot be imported in this environment."""
    importlib.invalidate_caches()
    if module in sys.builtin_module_names or module in sys.stdlib_module_names:
        return False
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):
        # It is loaded already, in a way that tells no origin.
        return module not in sys.modules
