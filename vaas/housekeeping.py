"""What the portal writes beside what people keep: known by what it says of itself, not by what it is called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

__all__ = [
    *("ABOUT", "LOG", "MOST_ABOUT", "OVERVIEW", "OVERVIEWS", "PAGE", "SIGN"),
    *("is_named", "is_overview", "of_run"),
]

#: Beside a run's results: what tells all about it, what it wrote, and how its notebook looked.
ABOUT, LOG, PAGE = "run.json", "log.txt", "result.html"
#: In a launch's folder: where its data are.
OVERVIEW = "Data.md"
#: What it is called, where others are beside it.
OVERVIEWS = re.compile(r"Data(?:-[0-9]{1,3})?\.md")
_NAMES = frozenset({ABOUT, LOG, PAGE})
#: The overview's first line, which no reader of Markdown shows.
SIGN = "<!-- The portal has written this, and writes it again. -->"
#: What tells all about a run is no larger.
MOST_ABOUT = 5_000_000
_TOLD = frozenset({"run", "notebook", "environment", "facility", "created", "files"})


def is_named(name: str) -> bool:
    """Tell whether the portal may have written a file of this name."""
    return name in _NAMES or OVERVIEWS.fullmatch(name) is not None


def of_run(about: bytes) -> Mapping[str, int | None]:
    """Return by name what the portal wrote beside a run's results, and how large; nothing if it did not write this.

    A file of another size is somebody else's. ``None``: of any size, what tells about the others.
    """
    try:
        said = json.loads(about)
    except (ValueError, RecursionError):
        return {}
    files = said.get("files") if isinstance(said, dict) and said.keys() >= _TOLD else None
    if not isinstance(files, list):
        return {}
    found: dict[str, int | None] = {ABOUT: None}
    for file in files:
        if isinstance(file, dict) and file.get("path") in (LOG, PAGE) and isinstance(file.get("size"), int):
            found[file["path"]] = file["size"]
    return found


def is_overview(start: bytes) -> bool:
    """Tell whether a launch wrote the file that begins so."""
    return start.startswith(SIGN.encode())
