"""What is done with one file: find out what it is, let its reader tell of it, and put failures into words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vaas.errors import Unreadable, VaasError
from vaas.insides.formats import TITLES, find_format, reader_of
from vaas.insides.handed import Handed
from vaas.insides.names import SUFFIXES

__all__ = ["look", "preview"]

#: Formats that share their names: who is promised one of a group and finds another has not been misled.
_KIN = (
    {"netcdf", "hdf5"},
    {"arrow", "feather"},
    {"tiff", "geotiff"},
    {"text", "markdown", "csv", "tsv", "json", "jsonl", "geojson"},
)


def look(handed: Handed) -> dict[str, Any]:
    """Return what the file tells of itself, as the fields of :class:`vaas.insides.base.Inside`."""
    found = find_format(handed)
    told = _read(found, "look", handed)
    told.setdefault("format", found)
    if called := _another(handed, told["format"]):
        told.setdefault("details", {})["called"] = called
        is_not = f"This is {TITLES[told['format']]}, though its name ends with “.{called}”."
        told["summary"] = f"{is_not} {told.get('summary', '')}".strip()
    return told


def preview(handed: Handed) -> dict[str, Any]:
    """Return what is shown of the file."""
    return _read(find_format(handed), "preview", handed)


def _read(found: str, verb: str, handed: Handed) -> dict[str, Any]:
    try:
        reader = reader_of(found)
    except ImportError as error:
        raise Unreadable(f"Nothing here reads {TITLES[found]}: the package {error.name} is missing.") from error
    function: Callable[[Handed], dict[str, Any]] = getattr(reader, verb)
    try:
        return function(handed)
    except (VaasError, MemoryError, RecursionError):
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"[:1_000]
        raise Unreadable(f"It begins like {TITLES[found]}, but is broken or cut off.", log_message=why) from error


def _another(handed: Handed, found: str) -> str:
    """Return the suffix when it promises something that this is not."""
    promised = SUFFIXES.get(handed.suffix, found)
    if handed.folder or promised == found or any({promised, found} <= kin for kin in _KIN):
        return ""
    return handed.suffix
