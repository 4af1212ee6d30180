"""NetCDF 3, the classic format: variables, axes, attributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from scipy.io import netcdf_file

from vaas.errors import Unreadable
from vaas.insides.handed import Handed
from vaas.insides.readers.cf import Variable, attributes_told, tree_shown, variables_told
from vaas.insides.readers.pictures import picture_of

__all__ = ["look", "preview"]

_MOST_VARIABLES = 2_000


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the variables and what the attributes say."""
    with _opened(handed) as file:
        told, said = variables_told(list(_variables(file))), attributes_told(file._attributes)
        text = "\n".join(filter(None, (said.pop("text", ""), told.pop("text", ""))))
        return {**said, **told, "text": text, "format": "netcdf"}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the variables, and a picture of the first that lies over two axes."""
    with _opened(handed) as file:
        variables = list(_variables(file))
        return tree_shown(variables, picture=picture_of(variables))


@contextmanager
def _opened(handed: Handed) -> Iterator[Any]:
    if handed.part.head[3:4] == b"\x05":
        raise Unreadable("It is NetCDF of the kind CDF-5, which is not read here. NetCDF 4 is.")
    handed.part.file.seek(0)
    # Mapped: else all that is in it would be read at once.
    yield netcdf_file(handed.part.file, "r", mmap=True)


def _variables(file: Any) -> Iterator[Variable]:
    for name, each in list(file.variables.items())[:_MOST_VARIABLES]:
        shape = tuple(int(length) for length in each.shape)
        number = each.data.dtype.kind in "iuf"
        yield Variable(
            name=name,
            shape=shape,
            kind=each.data.dtype.newbyteorder("=").name,
            dimensions=tuple(each.dimensions),
            attributes=each._attributes,
            read=partial(_whole, each.data) if number else None,
            slab=partial(_slab, each.data) if number and len(shape) > 1 else None,
        )


def _whole(data: Any) -> Any:
    return data


def _slab(data: Any, step: int) -> Any:
    return data[(*(0,) * (data.ndim - 2), slice(None, None, step), slice(None, None, step))]
