"""Zarr folders, formats 2 and 3: what the metadata says of groups and arrays, and coordinates in one piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numcodecs
import numpy as np

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.readers.cf import MOST_VALUES, Variable, attributes_told, tree_shown, variables_told

__all__ = ["look", "preview"]

_MOST_METADATA, _MOST_ARRAYS = 20_000_000, 2_000
#: The letters by which format 2 names types.
_SHORT = {f"{kind}{8 * n}": f"{kind[0]}{n}" for kind in ("int", "uint", "float") for n in (1, 2, 4, 8)}
_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the arrays and what the attributes say."""
    variables, attributes, version = _read(handed, values=True)
    told, said = variables_told(variables), attributes_told(attributes)
    told["details"]["zarr_format"] = version
    text = "\n".join(filter(None, (said.pop("text", ""), told.pop("text", ""))))
    return {**said, **told, "text": text, "type": "data", "format": "zarr"}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the arrays."""
    return tree_shown(_read(handed, values=False)[0])


def _read(handed: Handed, *, values: bool) -> tuple[list[Variable], Mapping[str, Any], int]:
    documents = {part.name: _document(part) for part in handed.parts if part.name.rpartition("/")[2] in _NAMES}
    if "zarr.json" in documents:
        return (*_of_three(documents, handed if values else None), 3)
    return (*_of_two(documents, handed if values else None), 2)


_NAMES = {"zarr.json", ".zmetadata", ".zgroup", ".zarray", ".zattrs"}


def _document(part: Part) -> Mapping[str, Any]:
    try:
        found = json.loads(part.whole(most=_MOST_METADATA))
    except ValueError as error:
        raise Unreadable(f"Its {part.name} is broken.") from error
    return _mapping(found)


def _of_three(
    documents: Mapping[str, Mapping[str, Any]], handed: Handed | None
) -> tuple[list[Variable], Mapping[str, Any]]:
    root = documents["zarr.json"]
    inner = _mapping(_mapping(root.get("consolidated_metadata")).get("metadata"))
    nodes = {str(path): _mapping(node) for path, node in inner.items()}
    nodes |= {path.removesuffix("/zarr.json"): node for path, node in documents.items() if path.endswith("/zarr.json")}
    if root.get("node_type") == "array":
        nodes = {"": root}
    arrays = [(path, node) for path, node in nodes.items() if node.get("node_type") == "array"][:_MOST_ARRAYS]
    return [_of_three_array(path, node, handed) for path, node in arrays], _mapping(root.get("attributes"))


def _of_three_array(path: str, node: Mapping[str, Any], handed: Handed | None) -> Variable:
    kind, names = node.get("data_type"), node.get("dimension_names")
    kind = kind if isinstance(kind, str) else str(_mapping(kind).get("name", ""))
    attributes, shape = _mapping(node.get("attributes")), _shape(node)
    part = handed.named(f"{path}/c/0") if handed is not None and _is_one_piece(node, shape) else None
    read = (
        partial(_unpacked, part, _order(node) + _SHORT.get(kind, ""), shape, _packing(node))
        if part is not None
        else None
    )
    return Variable(path or "array", shape, kind[:60], _strings(names), attributes, read)


def _of_two(
    documents: Mapping[str, Mapping[str, Any]], handed: Handed | None
) -> tuple[list[Variable], Mapping[str, Any]]:
    inner = _mapping(documents.get(".zmetadata", {}).get("metadata"))
    nodes = {**documents, **{str(path): _mapping(node) for path, node in inner.items()}}
    arrays = [path for path in nodes if path == ".zarray" or path.endswith("/.zarray")][:_MOST_ARRAYS]
    found = []
    for path in arrays:
        folder = path.removesuffix(".zarray")
        attributes = nodes.get(f"{folder}.zattrs", {})
        kind, shape = str(nodes[path].get("dtype")), _shape(nodes[path])
        dimensions = _strings(attributes.get("_ARRAY_DIMENSIONS"))
        part = handed.named(f"{folder}0") if handed is not None and _is_one_piece(nodes[path], shape) else None
        packed = [nodes[path].get("compressor")] if nodes[path].get("compressor") else []
        read = partial(_unpacked, part, kind, shape, packed) if part is not None else None
        found.append(Variable(folder.rstrip("/") or "array", shape, _kind(kind), dimensions, attributes, read))
    return found, nodes.get(".zattrs", {})


def _is_one_piece(node: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether all values are in one chunk, without filters."""
    grid = _mapping(_mapping(node.get("chunk_grid")).get("configuration"))
    chunks = node.get("chunks", grid.get("chunk_shape"))
    return chunks == [*shape] and len(shape) == 1 and shape[0] <= MOST_VALUES and not node.get("filters")


def _packing(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the codecs of format 3 that pack bytes, as format 2 writes them; the last comes first."""
    codecs = node.get("codecs")
    found = [_mapping(each) for each in codecs] if isinstance(codecs, list) else []
    packing = [each for each in found if each.get("name") != "bytes"]
    return [{"id": each.get("name"), **_mapping(each.get("configuration"))} for each in reversed(packing)]


def _order(node: Mapping[str, Any]) -> str:
    """Return which end of a number comes first in format 3, as format 2 writes it."""
    return ">" if '"big"' in json.dumps(node.get("codecs")) else "<"


def _unpacked(part: Part, kind: str, shape: tuple[int, ...], packed: list[Any]) -> Any:
    """Return the values; nothing where they are packed in a way that is not known here."""
    data = part.whole(most=8 * MOST_VALUES)
    for each in packed:
        name = str(_mapping(each).get("id"))
        if name not in _CODECS:
            return np.empty(0)
        data = bytes(_CODECS[name](data))
    values = np.frombuffer(data, dtype=np.dtype(kind))
    return values if values.shape == shape and values.dtype.kind in "iuf" else np.empty(0)


#: What packs bytes → what unpacks them. The library knows more, and one of them runs what is written in the file.
_CODECS: Mapping[str, Callable[[bytes], Any]] = {
    "blosc": numcodecs.Blosc().decode,
    "zstd": numcodecs.Zstd().decode,
    "zlib": numcodecs.Zlib().decode,
    "gzip": numcodecs.GZip().decode,
    "lz4": numcodecs.LZ4().decode,
    "crc32c": lambda data: data[:-4],
}


def _kind(said: object) -> str:
    """Return ``<f4`` as ``float32``."""
    if not isinstance(said, str) or len(said) < 3 or said[1] not in _KINDS or not said[2:].isdigit():
        return str(said)[:60] if isinstance(said, str) else "record"
    return "bool" if said[1] == "b" else f"{_KINDS[said[1]]}{8 * int(said[2:4])}"


def _shape(node: Mapping[str, Any]) -> tuple[int, ...]:
    shape = node.get("shape")
    return tuple(each for each in shape[:32] if isinstance(each, int)) if isinstance(shape, list) else ()


def _strings(said: object) -> tuple[str, ...]:
    return tuple(str(each) for each in said[:32]) if isinstance(said, list) else ()


def _mapping(said: object) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}
