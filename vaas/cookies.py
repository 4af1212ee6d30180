"""Cookies that nobody else can plant: how they are named, written and read.

An app's page may set cookies for the whole domain above it, so for the portal and for other apps ("cookie tossing").
Browsers refuse that for names that begin with ``__Host-``, which need ``Secure`` and the path ``/``.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from vaas.addresses import is_localhost

__all__ = ["only", "own_name", "takes_secure", "written"]


def takes_secure(url: str) -> bool:
    """Tell whether browsers take ``Secure`` cookies from this address: https, and localhost by any of its names."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_localhost(parts.hostname or "")


def own_name(name: str, *, secure: bool) -> str:
    """Return the cookie's name: where browsers take it, one that no other host can set for us."""
    return f"__Host-{name}" if secure else name


def only(header: str, name: str) -> str:
    """Return the value of the cookie that a ``Cookie`` header holds once; "" for none, and for several.

    A browser sends two of one name when somebody else has set one of them, and does not say which.
    """
    pairs = (part.strip().partition("=") for part in header.split(";"))
    found = [value for key, _, value in pairs if key == name]
    return found[0].strip('"') if len(found) == 1 else ""


def written(name: str, value: str, *, path: str, secure: bool, embedded: bool = False) -> str:
    """Return a ``Set-Cookie`` header for a session of its own; by hand: Python knows ``Partitioned`` since 3.14.

    ``embedded`` lets it work in a frame of another site, and there only for that site; it needs ``secure``.
    """
    parts = [f"{name}={value}", f"Path={'/' if secure else path}", "HttpOnly"]
    if secure:
        parts.append("Secure")
    parts += ["SameSite=None", "Partitioned"] if secure and embedded else ["SameSite=Lax"]
    return "; ".join(parts)
