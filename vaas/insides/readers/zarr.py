"""Zarr folders, formats 2 and 3: what the metadata says of groups and arrays; no chunk is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.readers.cf import Variable, attributes_told, tree_shown, variables_told

__all__ = ["look", "preview"]

_MOST_METADATA, _MOST_ARRAYS = 20_000_000, 2_000
#: The letters by which format 2 names types.
_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the arrays and what the attributes say."""
    variables, attributes, version = _read(handed)
    told, said = variables_told(variables), attributes_told(attributes)
    told["details"]["zarr_format"] = version
    text = "\n".join(filter(None, (said.pop("text", ""), told.pop("text", ""))))
    return {**said, **told, "text": text, "type": "data", "format": "zarr"}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the arrays."""
    return tree_shown(_read(handed)[0])


def _read(handed: Handed) -> tuple[list[Variable], Mapping[str, Any], int]:
    documents = {part.name: _document(part) for part in handed.parts if part.name.rpartition("/")[2] in _NAMES}
    if "zarr.json" in documents:
        return (*_of_three(documents), 3)
    return (*_of_two(documents), 2)


_NAMES = {"zarr.json", ".zmetadata", ".zgroup", ".zarray", ".zattrs"}


def _document(part: Part) -> Mapping[str, Any]:
    try:
        found = json.loads(part.whole(most=_MOST_METADATA))
    except ValueError as error:
        raise Unreadable(f"Its {part.name} is broken.") from error
    return _mapping(found)


def _of_three(documents: Mapping[str, Mapping[str, Any]]) -> tuple[list[Variable], Mapping[str, Any]]:
    root = documents["zarr.json"]
    inner = _mapping(_mapping(root.get("consolidated_metadata")).get("metadata"))
    nodes = {str(path): _mapping(node) for path, node in inner.items()}
    nodes |= {path.removesuffix("/zarr.json"): node for path, node in documents.items() if path.endswith("/zarr.json")}
    if root.get("node_type") == "array":
        nodes = {"": root}
    arrays = [(path, node) for path, node in nodes.items() if node.get("node_type") == "array"][:_MOST_ARRAYS]
    return [_of_three_array(path or "array", node) for path, node in arrays], _mapping(root.get("attributes"))


def _of_three_array(path: str, node: Mapping[str, Any]) -> Variable:
    kind, names = node.get("data_type"), node.get("dimension_names")
    kind = kind if isinstance(kind, str) else str(_mapping(kind).get("name", ""))
    return Variable(path, _shape(node), kind[:60], _strings(names), _mapping(node.get("attributes")))


def _of_two(documents: Mapping[str, Mapping[str, Any]]) -> tuple[list[Variable], Mapping[str, Any]]:
    inner = _mapping(documents.get(".zmetadata", {}).get("metadata"))
    nodes = {**documents, **{str(path): _mapping(node) for path, node in inner.items()}}
    arrays = [path for path in nodes if path == ".zarray" or path.endswith("/.zarray")][:_MOST_ARRAYS]
    found = []
    for path in arrays:
        folder = path.removesuffix(".zarray")
        attributes = nodes.get(f"{folder}.zattrs", {})
        kind = nodes[path].get("dtype")
        dimensions = _strings(attributes.get("_ARRAY_DIMENSIONS"))
        found.append(Variable(folder.rstrip("/") or "array", _shape(nodes[path]), _kind(kind), dimensions, attributes))
    return found, nodes.get(".zattrs", {})


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
