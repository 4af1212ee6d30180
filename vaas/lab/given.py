"""What came along from a running app, laid beside the working copy's notebook, and the cell that takes it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaas.given import as_given
from vaas.lab import resume

__all__ = ["CELL", "lay_beside"]

_MODULE, _DATA = "_vaas_resume.py", "_vaas_given.json"
#: The cell's source: the same for everybody, since what came along is data.
CELL = f"""\
# Goes on where you were in the app: when a cell has made its widgets, they get the values
# that you had set there. Delete this cell to begin with the notebook's own.
import {_MODULE.removesuffix(".py")}

{_MODULE.removesuffix(".py")}.resume("{_DATA}")"""


def lay_beside(folder: Path, given: Mapping[str, Any], *, language: str = "python") -> str:
    """Write into the notebook's folder what its first cell takes up, and return that cell's source.

    "" where there is nothing to take up, or nothing that a notebook of this language could.
    """
    data = as_given(dict(given))
    if not data or language != "python":
        return ""
    (folder / _MODULE).write_bytes(Path(resume.__file__).read_bytes())
    (folder / _DATA).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return CELL
