"""Runs in an environment's own Python, from 3.8 on, and prints what is in it: packages, and what can be imported."""

from __future__ import annotations

import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import Any

__all__ = ["MARK", "main"]

#: A line that begins so is ours: setting an environment up may print what it likes.
MARK = "vaas-probe:"
_MOST = 20_000


def main() -> int:
    """Print one line."""
    # The folder of this file is not the environment's.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) != own]
    packages: dict[str, str] = {}
    modules = dict.fromkeys(_importable(), "")
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and len(packages) < _MOST:
            # The first that is found is the one that is imported.
            packages.setdefault(name, distribution.version or "")
            for module in _modules(distribution):
                if not modules.get(module):
                    modules[module] = name
    said = {
        "version": ".".join(map(str, sys.version_info[:3])),
        "packages": packages,
        "modules": modules,
        "kernel": find_spec("ipykernel") is not None,
    }
    print("\n" + MARK + json.dumps(said), flush=True)
    return 0


def _importable() -> Iterator[str]:
    for count, module in enumerate(pkgutil.iter_modules()):
        if count >= _MOST:
            return
        if not module.name.startswith("_"):
            yield module.name


def _modules(distribution: Any) -> list[str]:
    """Return the top-level names that the distribution brings."""
    declared = (distribution.read_text("top_level.txt") or "").split()
    if declared:
        return declared
    found = set()
    for file in distribution.files or ():
        first, last = file.parts[0], file.parts[-1]
        if last.endswith((".py", ".so", ".pyd")) and first not in {"..", "__pycache__"}:
            found.add(first if len(file.parts) > 1 else last.partition(".")[0])
    return sorted(each for each in found if each.isidentifier())


if __name__ == "__main__":
    sys.exit(main())
