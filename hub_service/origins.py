"""Which requests come from our own pages: what browsers say of it by themselves, whatever cookies and forms hold."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SAFE", "is_forged"]

#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_forged(method: str, headers: Mapping[str, str], *, origin: str) -> bool:
    """Tell whether a request that changes something was sent by a page that is not of ``origin``.

    Apps are on subdomains: to browsers they are the same site, so that ``SameSite`` keeps no cookie from them, and a
    forgery token can be planted. One without cookies may still be answered by some. Programs name no origin.
    """
    if method.upper() in SAFE:
        return False
    said = headers.get("Origin")
    elsewhere = headers.get("Sec-Fetch-Site", "") in {"same-site", "cross-site"}
    return elsewhere or (said is not None and said.lower() != origin)
