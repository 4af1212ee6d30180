"""What is well and what is not: one line for each thing, for the page of health and for ``vaas doctor``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hub_service.data_folder import check_writable
from vaas.db.base import Lease
from vaas.errors import VaasError
from vaas.launching import Environment

__all__ = ["BAD", "OK", "WARN", "Check", "disk", "environments", "indexes", "looked", "made_environments"]

#: Well; not well, but people hardly notice; broken.
OK, WARN, BAD = "ok", "warn", "bad"
_LEAST, _LITTLE = 1_000_000_000, 5_000_000_000
_MOST_NAMED = 5


@dataclass(frozen=True)
class Check:
    """One thing, how it is ("ok", "warn" or "bad"), and in a sentence what was found or what to do."""

    name: str
    state: str
    text: str


def looked(name: str, look: Callable[[], Check | str]) -> Check:
    """Return what a look says: the whole, or the text of what is well. What it raises is broken."""
    try:
        said = look()
    except VaasError as error:
        return Check(name, BAD, error.log_message)
    except OSError as error:
        return Check(name, BAD, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
    return said if isinstance(said, Check) else Check(name, OK, said)


def disk(path: Path, name: str = "Disk") -> Check:
    """Tell how much is free where the folder lies. Raises OSError."""
    free = shutil.disk_usage(path).free
    if free < _LEAST:
        return Check(name, BAD, "Less than 1 GB is free. Make room, or publishing will stop.")
    state, more = (WARN, " Make room before long.") if free < _LITTLE else (OK, "")
    return Check(name, state, f"{free / 1e9:,.0f} GB free.{more}")


def environments(found: Sequence[Environment], name: str = "Environments") -> Check:
    """Tell which of the environments that the site offers cannot be used."""
    broken = [f"“{each.title}”: {each.why or 'It cannot be used.'}" for each in found if each.state == "broken"]
    if broken:
        more = [f"And {len(broken) - _MOST_NAMED} more."] if len(broken) > _MOST_NAMED else []
        return Check(name, WARN, " ".join(["Not to be used at the moment:", *broken[:_MOST_NAMED], *more]))
    unknown = sum(each.state not in {"ready", "broken"} for each in found)
    waiting = f"; {unknown} not looked at yet" if unknown else ""
    return Check(name, OK, f"{len(found) - unknown} of {len(found)} can be used{waiting}.")


def made_environments(folder: Path) -> str:
    """Tell how many environments were made from locks. Raises OSError where none can be."""
    if not folder.exists():
        return "None has been made yet."
    check_writable(folder)
    made = sum(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    return f"{made:,} made for apps, launches and runs, in {folder}."


def indexes(followed: Sequence[Lease], now: datetime, name: str = "Search index") -> Check:
    """Tell whether processes follow the database with an index of theirs, and how many entries these have."""
    following = [each for each in followed if each.until > now]
    if not following:
        text = "No index follows the database: search finds nothing new. Look into the log, and restart the portal."
        return Check(name, BAD, text)
    if busy := [each for each in following if each.said.get("of")]:
        told = min((int(each.said.get("done", 0)), int(each.said["of"])) for each in busy)
        return Check(name, WARN, f"It is made anew: {told[0]:,} of {told[1]:,}. Until then not everything is found.")
    entries = max(int(each.said.get("entries", 0)) for each in following)
    several = f" in each of {len(following)} processes" if len(following) > 1 else ""
    return Check(name, OK, f"It follows the database: {entries:,} entries{several}.")
