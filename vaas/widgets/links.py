"""Addresses that belong to a record: only what is safe to follow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["download", "launch", "picture", "safe_url"]

_MOST = 2_000
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
_MOST_PICTURE = 3_000_000


def safe_url(url: object) -> str:
    """Return the address if it is one of the web, or a place within the portal; "" for all others."""
    if not isinstance(url, str) or not 0 < len(url) <= _MOST or not url.isprintable() or "\\" in url or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme:
        return url if parts.scheme in {"http", "https"} and parts.netloc else ""
    # “//host” is another host, and “a:b” would be a scheme that Python does not know.
    return "" if parts.netloc or url.startswith("//") or ":" in url.split("/")[0] else url


def picture(said: object) -> str:
    """Return a picture that is given whole, as a page may show it; "" for anything else."""
    fits = isinstance(said, str) and len(said) <= _MOST_PICTURE and _PICTURE.fullmatch(said)
    return str(said) if fits else ""


def download(record: Mapping[str, Any]) -> str:
    """Return where the file itself can be had, "" where that is not known, and for what is a folder of many files."""
    details = record.get("details") or {}
    if found := safe_url(details.get("download")):
        return found
    store, path = details.get("store"), details.get("path")
    # Of what lies in a store only folders are without a size: a Zarr folder is data, but no file.
    if record.get("type") == "data" and record.get("size") is None:
        return ""
    if isinstance(store, str) and isinstance(path, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,60}", store):
        return f"api/stores/{store}/files/{quote(path)}?content=1"
    return ""


def launch(record: Mapping[str, Any]) -> str:
    """Return the portal's page on which an app, a notebook of a store, or data are launched; "" for what cannot be."""
    details = record.get("details") or {}
    slug, store, path = (details.get(name) for name in ("slug", "store", "path"))
    if isinstance(slug, str) and slug:
        return safe_url(f"apps/{slug}/launch")
    if isinstance(store, str) and isinstance(path, str) and record.get("type") == "notebook":
        return safe_url(f"launch?{_query(store=store, path=path)}")
    if record.get("type") == "data":
        catalog, id = (str(record.get(name) or "") for name in ("catalog", "id"))
        return safe_url(f"launch?{_query(catalog=catalog, record=id)}") if catalog and id else ""
    return ""


def _query(**said: str) -> str:
    """Return the query of an address; a name on a disk may hold halves of characters."""
    return urlencode(said, errors="replace")
