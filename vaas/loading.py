"""The lines of Python that load what somebody found, to be copied into a notebook.

All that comes from a record goes in as a literal: whatever a title or an address holds, it is no code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from vaas.packages import package_of
from vaas.readers import format_of, name_of, way_to, ways

__all__ = ["address", "content_address", "lines", "opening", "table_line", "table_options", "written"]

#: How a table's name ends → pandas' function, and what else it has to be told.
_TABLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".csv.gz": ("read_csv", {"compression": "gzip"}),
    ".tsv": ("read_csv", {"sep": "\t"}),
    ".parquet": ("read_parquet", {}),
    ".feather": ("read_feather", {}),
    ".arrow": ("read_feather", {}),
    ".xlsx": ("read_excel", {}),
    ".json": ("read_json", {}),
    ".jsonl": ("read_json", {"lines": True}),
}
#: What the index found of how a text is written → pandas' option; what pandas takes by itself is None.
_WRITTEN: Mapping[str, Mapping[Any, tuple[str, Any] | None]] = {
    "packed": {"gzip": ("compression", "gzip")},
    "delimiter": {
        "comma": None,
        "semicolon": ("sep", ";"),
        "tab": ("sep", "\t"),
        "bar": ("sep", "|"),
        "space": ("sep", r"\s+"),
    },
    "encoding": {
        "utf-8": None,
        # These two were known by the mark that the text begins with, which pandas takes off under this name alone.
        "utf-16-le": ("encoding", "utf-16"),
        "utf-16-be": ("encoding", "utf-16"),
        "windows-1252": ("encoding", "cp1252"),
        "iso-8859-1": ("encoding", "latin-1"),
    },
    "decimal": {"comma": ("decimal", ",")},
    "header": {True: None, False: ("header", None)},
}
#: Lines above the table that are left out; the index looks at no more.
_ABOVE, _MOST_ABOVE = "above", 500
_UNKNOWN: Mapping[str, Any] = MappingProxyType({})
_HEADERS = '{"Authorization": f"token {token}"}'


def address(uri: str, *, base: str) -> str:
    """Return where ``uri`` leads, seen from the portal's address; "" when it is nowhere to send a person."""
    try:
        whole = urljoin(base, uri) if uri else ""
        scheme, host = urlsplit(whole)[:2]
    except ValueError:
        return ""
    usable = scheme in {"http", "https"} and host or (not base and not scheme and not host)
    return whole if usable else ""


def content_address(store: str, path: str, *, base: str) -> str:
    """Return the address of a file's bytes, for who sees the store and sends a token."""
    return f"{base}api/stores/{_part(store, safe='')}/files/{_part(path)}?content=1"


def lines(kind: str, uri: str, access: Mapping[str, Any], *, base: str) -> str:
    """Return the code for a thing of that kind at that address; "" when nothing is known that would load it."""
    via = access.get("via", {})
    whole, doi = address(uri, base=base), str(via.get("doi", ""))
    if access.get("how") == "store" and via.get("path"):
        return _of_a_store(str(via.get("store", "")), str(via["path"]), access.get("written", {}), base=base)
    if doi:
        return f"url = {_quoted(f'https://doi.org/{_part(doi)}')}"
    if kind == "app" and whole:
        return f"import webbrowser\n\nwebbrowser.open({_quoted(whole)})"
    return f"url = {_quoted(whole)}" if whole else ""


def written(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record's details say of how its table is written; {} for what is no table that is a text."""
    if not isinstance(details.get("delimiter"), str):
        return {}
    said = {name: details.get(name) for name in _WRITTEN}
    known = {name: one for name, one in said.items() if isinstance(one, str | bool) and one in _WRITTEN[name]}
    return known | ({_ABOVE: above} if (above := _above(details)) else {})


def table_options(name: str, written: Mapping[str, Any] = _UNKNOWN) -> tuple[str, dict[str, Any]] | None:
    """Return pandas' function for a table, and what it has to be told; None: it is no table.

    This is the one place that says how a table is read.

    Parameters
    ----------
    name:
        That of its file.
    written:
        What :func:`written` told of it: that counts more than the name. What is not known here is left out.
    """
    if written.get("delimiter"):
        return "read_csv", _options(written)
    ending = max((end for end in _TABLES if name.lower().endswith(end)), key=len, default="")
    function, said = _TABLES.get(ending, ("", {}))
    return (function, dict(said)) if function else None


def table_line(name: str, place: str, written: Mapping[str, Any] = _UNKNOWN, *, more: str = "") -> str:
    """Return the code that reads a table, with pandas as ``pd``; "" for what is none.

    Parameters
    ----------
    name, written:
        As for :func:`table_options`.
    place, more:
        Code: where it is, and what else pandas' function is given.
    """
    found = table_options(name, written)
    if found is None:
        return ""
    function, said = found
    given = [place, *(f"{option}={_literal(value)}" for option, value in said.items()), *([more] if more else [])]
    return f"pd.{function}({', '.join(given)})"


def opening(
    name: str, place: str, written: Mapping[str, Any] = _UNKNOWN, *, there: Collection[str] | None = None
) -> tuple[str, str]:
    """Return the code that opens a file: what is imported, and what opens it.

    Where nothing that is there reads it, that is a comment which names what does, and nothing is imported. Both are ""
    for a file of which nobody knows what reads it.

    Parameters
    ----------
    name, place, written:
        As for :func:`table_line`.
    there:
        Of :data:`vaas.readers.MODULES`, what can be imported; None: nobody knows, and the usual way is taken.
    """
    format = "" if written.get("delimiter") else format_of(name)
    table = table_line(name, place, written)
    found = way_to(format, there)
    pandas = found is not None and "pandas" in found.modules if format else there is None or "pandas" in there
    if table and pandas:
        return "import pandas as pd", table
    if found is not None:
        return found.begin, found.call.format(place)
    if format:
        wanted = list(dict.fromkeys(package_of(way.modules[0]) for way in ways(format)))
        return "", f"# {name_of(format)}: {' or '.join(wanted)} reads it, which this environment does not have."
    return "", "# A table: pandas reads it, which this environment does not have." if table else ""


def _options(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return pandas' options for a table that is a text."""
    found = [_WRITTEN[name].get(written[name]) for name in _WRITTEN if isinstance(written.get(name), str | bool)]
    return dict(filter(None, found)) | ({"skiprows": above} if (above := _above(written)) else {})


def _above(said: Mapping[str, Any]) -> int:
    above = said.get(_ABOVE)
    return above if type(above) is int and 0 < above <= _MOST_ABOVE else 0


def _of_a_store(store: str, path: str, written: Mapping[str, Any], *, base: str) -> str:
    url = _quoted(content_address(store, path, base=base))
    # Who has put no token there is asked for one: it is not to be written into a notebook.
    asked = _quoted(f"Token, from {base.partition('/services/')[0]}/hub/token: ")
    begin = f'url = {url}\ntoken = os.environ.get("VAAS_TOKEN") or getpass({asked})\n'
    if line := table_line(path, "url", written, more=f"storage_options={_HEADERS}"):
        return f"import os\nfrom getpass import getpass\nimport pandas as pd\n\n{begin}data = {line}"
    imports, opens = opening(path, "io.BytesIO(data)")
    # In which environment it runs nobody knows here: the usual way is told, and not taken.
    told = f"\n# {imports}; import io; {opens}" if opens else ""
    return (
        f"import os\nimport urllib.request\nfrom getpass import getpass\n\n{begin}"
        f"request = urllib.request.Request(url, headers={_HEADERS})\n"
        f"data = urllib.request.urlopen(request).read(){told}"
    )


def _part(text: str, *, safe: str = "/") -> str:
    """Return the text as a part of an address; a name on a disk may hold halves of characters."""
    return quote(text, safe=safe, errors="replace")


def _literal(value: Any) -> str:
    """Return one of our own options as code; texts with the quotation marks of the lines around them."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """Return a literal of Python; in plain letters, for no mark in it may change how the line looks."""
    return ascii(text)
