"""The lines of Python that load what somebody found, to be copied into a notebook.

All that comes from a record goes in as a literal: whatever a title or an address holds, it is no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

__all__ = ["TABLES", "address", "content_address", "lines"]

#: How a table's name ends → pandas' function, and what else it has to be told.
TABLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".csv.gz": ("read_csv", {"compression": "gzip"}),
    ".tsv": ("read_csv", {"sep": "\t"}),
    ".parquet": ("read_parquet", {}),
    ".xlsx": ("read_excel", {}),
    ".json": ("read_json", {}),
}
#: DOIs of repositories whose files pooch finds by themselves.
_FOUND_BY_POOCH = ("10.5281/zenodo.", "10.6084/m9.figshare.")
_TOKEN = "f\"token {os.environ['VAAS_TOKEN']}\""


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
        return _of_a_store(str(via.get("store", "")), str(via["path"]), base=base)
    if doi.startswith(_FOUND_BY_POOCH):
        return (
            "import pooch\n\n"
            f'files = pooch.create(pooch.os_cache("vaas"), base_url={_quoted(f"doi:{doi}/")})\n'
            "files.load_registry_from_doi()\n"
            "paths = [files.fetch(name) for name in files.registry]"
        )
    if doi:
        return f"url = {_quoted(f'https://doi.org/{_part(doi)}')}"
    if kind == "app" and whole:
        return f"import webbrowser\n\nwebbrowser.open({_quoted(whole)})"
    return f"url = {_quoted(whole)}" if whole else ""


def _of_a_store(store: str, path: str, *, base: str) -> str:
    url = _quoted(content_address(store, path, base=base))
    ending = next((end for end in TABLES if path.lower().endswith(end)), "")
    headers = f'{{"Authorization": {_TOKEN}}}'
    if ending:
        function, said = TABLES[ending]
        # Texts are written alike in JSON and in Python.
        options = "".join(f", {name}={json.dumps(value)}" for name, value in said.items())
        return (
            "import os\nimport pandas as pd\n\n"
            f"url = {url}\ndata = pd.{function}(url{options}, storage_options={headers})"
        )
    return (
        "import os\nimport urllib.request\n\n"
        f"url = {url}\nrequest = urllib.request.Request(url, headers={headers})\n"
        "data = urllib.request.urlopen(request).read()"
    )


def _part(text: str, *, safe: str = "/") -> str:
    """Return the text as a part of an address; a name on a disk may hold halves of characters."""
    return quote(text, safe=safe, errors="replace")


def _quoted(text: str) -> str:
    """Return a literal of Python; in plain letters, for no mark in it may change how the line looks."""
    return ascii(text)
