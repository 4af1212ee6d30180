"""The words of a launch: the generated first cell of a notebook and the file beside it, both made from the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from vaas.housekeeping import SIGN
from vaas.lab.manifest import Manifest, Thing
from vaas.loading import opening, table_options
from vaas.notebook import language_in

__all__ = ["TAG", "first_cell", "language_of", "overview", "with_cells"]

#: What marks a cell that a launch has made.
TAG = "vaas-launch"
#: How a table is read in R, by how its name ends.
_IN_R = {".csv": "read.csv", ".tsv": "read.delim"}
_COMING = "**It is on its way.** This file is written anew when everything is there: open it again to see."
_HEAD = "# Made by the launch: it says where everything is. Run it, change it, or delete it."
_MORE = "# {overview} says more, also of what could not be fetched."


def first_cell(manifest: Manifest, places: Mapping[str, str], *, overview: str) -> str:
    """Return the code of the first cell; "" when there is nothing to say.

    Parameters
    ----------
    places:
        Where each thing is, from the notebook's folder on, by its id.
    overview:
        What the file is called that says more.
    """
    lines = _data_lines(manifest, places)
    return "\n".join([_HEAD, _MORE.format(overview=overview), *lines]) if lines else ""


def overview(
    manifest: Manifest,
    places: Mapping[str, str],
    *,
    failed: Mapping[str, str] = MappingProxyType({}),
    coming: Collection[str] = (),
    sums: Mapping[str, str] = MappingProxyType({}),
    notebook: str,
) -> str:
    """Return the file that says where everything is and how to load it.

    Parameters
    ----------
    failed:
        Why a thing could not be fetched, by its id.
    coming:
        The ids of things that are not there yet.
    sums:
        The SHA-256 of what was fetched, by its id.
    notebook:
        Where the notebook is, from the home on.
    """
    title = _plain(manifest.title) or "This launch"
    parts = [SIGN, f"# {title}", f"Environment: {_plain(manifest.environment.get('title', ''))}."]
    for each in (each for each in manifest.things if each.id in places):
        parts += [f"## {_plain(each.title)}", *([_COMING] if each.id in coming else [])]
        parts += _here(each, places[each.id], failed.get(each.id, ""), manifest)
        parts += [f"SHA-256 of what was fetched: `{sums[each.id]}`"] if sums.get(each.id) else []
    for each in manifest.things:
        parts += _elsewhere(each, manifest.language) if each.id not in places else []
    if manifest.publish:
        parts.append(f"[Publish this notebook as an app]({manifest.publish}{quote(notebook)})")
    elif manifest.portal:
        parts.append(
            "To publish this notebook as an app, download it with the files that it needs, and upload them under "
            f"[My files]({manifest.portal}files/): the portal does not see the files of this launch."
        )
    if manifest.portal:
        parts.append(f"[Back to the portal]({manifest.portal})")
    return "\n\n".join(parts) + "\n"


def with_cells(notebook: bytes, codes: Sequence[str], *, kernel: str, title: str, language: str) -> bytes:
    """Return the notebook with these cells before its own, and with this kernel; as it was if it cannot be read.

    Where ``kernel`` is "", the notebook keeps its own, where it has one. The cells are in Python, and left out of
    notebooks in another language.
    """
    try:
        read = json.loads(notebook)
        cells = [cell for cell in read["cells"] if TAG not in (cell.get("metadata", {}).get("tags") or ())]
        metadata = dict(read.get("metadata") or {})
        own = str(metadata.get("kernelspec", {}).get("name") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return notebook
    if language.casefold() == "python":
        with_ids = (read.get("nbformat", 4), read.get("nbformat_minor", 0)) >= (4, 5)
        made = [_cell(code, id=f"{TAG}-{number}" if with_ids else "") for number, code in enumerate(codes) if code]
        cells = made + cells
    if name := kernel or own:
        metadata["kernelspec"] = {"name": name, "display_name": title, "language": language}
    else:  # JupyterLab finds one by this
        metadata["language_info"] = {"name": language}
    return json.dumps({**read, "cells": cells, "metadata": metadata}, ensure_ascii=False, indent=1).encode()


def language_of(notebook: bytes) -> str:
    """Return the language of a notebook; "" if it cannot be read."""
    try:
        return language_in(json.loads(notebook)["metadata"]) or "python"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _cell(code: str, *, id: str) -> dict[str, Any]:
    own: dict[str, Any] = {"id": id} if id else {}
    empty: dict[str, Any] = {"cell_type": "code", "execution_count": None, "outputs": []}
    return {**empty, "metadata": {"tags": [TAG]}, "source": code, **own}


def _data_lines(manifest: Manifest, places: Mapping[str, str]) -> list[str]:
    here = [each for each in manifest.things if each.id in places]
    missing = [each for each in manifest.things if each.why]
    away = [f"# Not here: {ascii(each.title)}. Its address is {ascii(each.uri)}" for each in missing]
    if not here:
        return away
    opened = [
        opening(each.name, f"data[{ascii(each.title)}]", each.written, there=manifest.modules)
        for each in here
        if each.name
    ]
    imports = dict.fromkeys(line for begin, _ in opened for line in begin.splitlines())
    # What is already a comment says what would read it.
    calls = [call if call.startswith("#") else f"# {call}" for _, call in opened if call]
    named = [f"    {ascii(each.title)}: {ascii(places[each.id])}," for each in here]
    return ["data = {", *named, "}", *(f"# {line}" for line in imports), *calls, *away]


def _here(thing: Thing, place: str, failed: str, manifest: Manifest) -> list[str]:
    if failed:
        return [f"**It could not be fetched.** {_plain(failed)}", f"It is to be {_code(place)}."]
    if manifest.language == "python":
        return [_code(place), _fenced(_loading(thing, place, manifest.modules))]
    reads = _IN_R.get(PurePath(thing.name).suffix) if manifest.language.casefold() == "r" else None
    told = table_options(thing.name, thing.written)
    # How a table is written otherwise, R is told in other words than pandas.
    if reads is None or told is None or told[1].keys() - {"sep"}:
        return [_code(place)]
    return [_code(place), _fenced(f"table <- {reads}({json.dumps(place, ensure_ascii=False)})", "r")]


def _elsewhere(thing: Thing, language: str) -> list[str]:
    parts = [f"## {_plain(thing.title)}", f"It lies elsewhere: <{thing.uri}>" if thing.uri else "It lies elsewhere."]
    parts += [f"**It was not fetched.** {_plain(thing.why)}"] if thing.why else []
    return [*parts, *([_fenced(thing.code)] if thing.code and language == "python" else [])]


def _loading(thing: Thing, place: str, modules: Collection[str] | None) -> str:
    begin, call = opening(thing.name, ascii(place), thing.written, there=modules)
    if not begin:
        return "\n".join(filter(None, (f"path = {ascii(place)}", call)))
    return f"{begin}\n\n{'table' if begin == 'import pandas as pd' else 'data'} = {call}"


def _fenced(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```"


def _code(text: str) -> str:
    """Return foreign words as code within a line: between more backticks than are in them."""
    marks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{marks}{text}{marks}" if marks == "`" else f"{marks} {text} {marks}"


def _plain(text: str) -> str:
    """Return foreign words as one line in which nothing is Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!" else c for c in " ".join(text.split()))
