"""HDF5, and NetCDF 4 that is written in it: variables, axes, attributes; links that lead elsewhere are not followed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import h5py

from vaas.insides.handed import Handed
from vaas.insides.readers.cf import Variable, attributes_told, text_of, tree_shown, variables_told
from vaas.insides.readers.pictures import picture_of

__all__ = ["look", "preview"]

#: So many objects are looked at, so deep, and so many attributes of each.
_OBJECTS, _DEPTH, _ATTRIBUTES = 2_000, 8, 60
_MOST_BYTES = 64_000_000
#: Written by the library for itself.
_INNER = frozenset(
    {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"}
)
#: A dimension without values of its own is written as a data set of this name.
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the variables and what the attributes say."""
    with _opened(handed) as file:
        variables = list(_variables(file))
        netcdf = _is_netcdf(file)
        told, said = variables_told(variables), attributes_told(_attributes(file))
        text = "\n".join(filter(None, (said.pop("text", ""), told.pop("text", ""))))
        groups = sorted({name.rpartition("/")[0] for name in (each.name for each in variables)} - {""})
        if groups:
            told["details"]["groups"] = groups[:100]
        return {**said, **told, "text": text, "format": "netcdf" if netcdf else "hdf5"}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the variables, and a picture of the first that lies over two axes."""
    with _opened(handed) as file:
        variables = list(_variables(file))
        return tree_shown(variables, picture=picture_of(variables))


def _opened(handed: Handed) -> Any:
    handed.part.file.seek(0)
    return h5py.File(handed.part.file, "r")


def _is_netcdf(file: Any) -> bool:
    return "_NCProperties" in file.attrs or any(
        "_Netcdf4Dimid" in each.attrs for _, each in _objects(file) if isinstance(each, h5py.Dataset)
    )


def _objects(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects with their paths, breadth first, each once; only what hangs there by a hard link."""
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    seen = 0
    known: set[Any] = set()
    for prefix, group, depth in waiting:
        for name in group:
            if seen >= _OBJECTS:
                return
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            each = group.get(name)
            address = h5py.h5o.get_info(each.id).addr if each is not None else None
            if each is None or address in known:
                continue
            known.add(address)
            seen += 1
            yield f"{prefix}{name}", each
            if isinstance(each, h5py.Group) and depth < _DEPTH:
                waiting.append((f"{prefix}{name}/", each, depth + 1))


def _attributes(each: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in list(each.attrs)[:_ATTRIBUTES]:
        if name not in _INNER:
            try:
                found[name] = each.attrs[name]
            except (OSError, TypeError, ValueError, KeyError):
                continue  # of a type that nothing here knows
    return found


def _variables(file: Any) -> Iterator[Variable]:
    objects = [(path, each) for path, each in _objects(file) if isinstance(each, h5py.Dataset)]
    names = {each.id: path for path, each in objects}
    for path, each in objects:
        if text_of(each.attrs.get("NAME", "")).startswith(_NO_VARIABLE):
            continue
        readable = not each.is_virtual and not each.external and each.dtype.kind in "iuf" and each.shape is not None
        small = readable and each.nbytes <= _MOST_BYTES
        yield Variable(
            name=path,
            shape=tuple(each.shape or ()),
            kind=_kind(each.dtype),
            dimensions=_dimensions(each, names),
            attributes=_attributes(each),
            read=partial(_whole, each) if small else None,
            slab=partial(_slab, each) if readable else None,
        )


def _kind(dtype: Any) -> str:
    if dtype.names:
        return "record"
    if dtype.kind in "OSU":
        return "text" if h5py.check_string_dtype(dtype) is not None else "list"
    return str(dtype.newbyteorder("="))[:60]


def _dimensions(each: Any, names: dict[Any, str]) -> tuple[str, ...]:
    try:
        return tuple(dimension[0].name.rpartition("/")[2] if len(dimension) else "" for dimension in each.dims)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return ()


def _whole(each: Any) -> Any:
    return each[()]


def _slab(each: Any, step: int) -> Any:
    return each[(*(0,) * (len(each.shape) - 2), slice(None, None, step), slice(None, None, step))]
