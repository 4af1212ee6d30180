"""Other Pythons than our own: the folders that a sandbox must show for them to run, and how they find our package."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

from vaas.locks import seen_by

__all__ = ["folders_of", "teaching"]

#: How a Python finds our package, and nothing else of where that lies.
_TEACHING = """import sys
from importlib.machinery import PathFinder


class _Portal:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{folder!r}]) if name == "vaas" else None


sys.meta_path.insert(0, _Portal)
"""


def folders_of(program: Path) -> list[Path]:
    """Return the folders from which a Python, or another program, of an environment runs.

    None of the system, which is seen anyway; and nobody's whole home or disk because a program lies at its top.
    """
    if not program.is_absolute():
        return []
    # What is in an environment that a notebook brought is foreign: our own note tells what it needs.
    made = seen_by(program)
    found = _said_by(program) if made is None else made
    homes = {Path(account.pw_dir) for account in pwd.getpwall()}
    seen = (path / "bin" if path in homes or path.parent == Path("/home") else path for path in found)
    return [path for path in dict.fromkeys(seen) if not path.is_relative_to("/usr") and len(path.parts) > 2]


def _said_by(program: Path) -> Iterator[Path]:
    """Yield the environment that the program belongs to, and the Python that it was made with."""
    top = program.parent.parent
    yield top
    yield program.resolve().parent.parent
    try:
        lines = [line.partition("=") for line in (top / "pyvenv.cfg").read_text().splitlines()]
    except OSError:
        return
    yield from (Path(value.strip()).parent for name, _, value in lines if name.strip() == "home")


def teaching(folder: Path) -> str:
    """Return what a Python runs to find our package, which lies in the folder."""
    return _TEACHING.format(folder=str(folder))
