"""What a WebDAV server says about files (RFC 4918, section 14.16), read with distrust."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vaas.errors import Unavailable

__all__ = ["PROPFIND", "Found", "parse_multistatus", "path_parts"]

#: The body that asks for what an entry needs, and for no more.
PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:" xmlns:oc="http://owncloud.org/ns"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/><oc:id/></prop></propfind>"
)
#: Who has this property, ownCloud and its descendants (Nextcloud, CERNBox), gives a folder a new etag when anything
#: below it changes.
_OF_OWNCLOUD = "{http://owncloud.org/ns}id"

#: No file is larger than an exabyte.
_MAX_DIGITS = 18


@dataclass(frozen=True)
class Found:
    """One file or folder: the decoded parts of its path on the server, and its properties."""

    parts: tuple[str, ...]
    folder: bool
    size: int
    modified: datetime | None
    #: As in a header, or one that begins with "~" and is made of time and size, when the server has none; a folder's
    #: only where it changes with anything below it.
    etag: str


def parse_multistatus(body: bytes) -> tuple[Found, ...]:
    """Return what the answer lists; what cannot be addressed by a path is left out.

    Raises
    ------
    Unavailable
        It is not a multistatus document, or it declares a document type (and so perhaps entities).
    """
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise Unavailable("The server's answer is not WebDAV.") from exc
    if root.tag != "{DAV:}multistatus":
        raise Unavailable("The server's answer is not WebDAV.")
    return tuple(found for response in root.findall("{DAV:}response") if (found := _found(response)))


def path_parts(path: str) -> tuple[str, ...] | None:
    """Return the decoded parts of a quoted path; None when one of them could not be part of a path of ours.

    Decoded part by part, so that a quoted slash does not become a folder.
    """
    try:
        parts = tuple(unquote_to_bytes(part).decode() for part in path.split("/") if part)
    except UnicodeDecodeError:
        return None
    if any(part in {".", ".."} or any(c in "/\\" or ord(c) < 32 for c in part) for part in parts):
        return None
    return parts


def _found(response: Element) -> Found | None:
    # Only the path counts: behind a proxy, servers name themselves by addresses that are theirs alone.
    try:
        parts = path_parts(urlsplit((response.findtext("{DAV:}href") or "").strip()).path)
    except ValueError:
        return None
    properties = _properties(response)
    if parts is None or properties is None:
        return None
    size = (properties.findtext("{DAV:}getcontentlength") or "").strip()
    modified_text = (properties.findtext("{DAV:}getlastmodified") or "").strip()
    folder = properties.find("{DAV:}resourcetype/{DAV:}collection") is not None
    bytes_ = int(size) if size.isdecimal() and len(size) <= _MAX_DIGITS else 0
    etag = (properties.findtext("{DAV:}getetag") or "").strip()
    if folder:
        return Found(parts, folder, 0, _moment(modified_text), etag if properties.findtext(_OF_OWNCLOUD) else "")
    if not etag:
        etag = f"~{modified_text}~{bytes_}"
    elif '"' not in etag:
        etag = f'"{etag}"'  # there are servers that quote it in headers, but not in properties
    return Found(parts, folder, bytes_, _moment(modified_text), etag)


def _properties(response: Element) -> Element | None:
    """Return the properties that exist; None when the server has none for this entry."""
    for propstat in response.findall("{DAV:}propstat"):
        status = (propstat.findtext("{DAV:}status") or "").split()
        if len(status) > 1 and status[1] == "200":
            return propstat.find("{DAV:}prop")
    return None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
