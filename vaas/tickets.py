"""Tickets: short-lived signed statements of the portal, which an app server verifies without asking back.

A ticket is ``base64url(JSON) "." base64url(HMAC-SHA256)``. The key is derived for one server from the
portal's master key, so that a server that leaks its key speaks for itself alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vaas.errors import Invalid
from vaas.model import Access, ServerName

__all__ = ["Ticket", "derive_key", "derive_proof_key", "read_statement", "sign", "sign_statement", "verify"]


@dataclass(frozen=True)
class Ticket:
    """One statement: this visitor may do ``purpose`` on this server until ``expires``.

    ``user`` is "" for an anonymous visitor; ``links`` are the ids of the links they came by; ``nonce``
    makes it usable once; ``expires`` is in seconds since the epoch. ``known`` says that the app's code may be told
    ``user`` and ``groups``, which is () else. ``proof`` is a ticket in the ticket, for the purpose "ask": by it the
    portal knows again who came, since its key is the portal's alone. "": the app may not ask as its visitor. A proof
    with ``things`` is good for these things of ``basket`` and for nothing else, and as long as ``terms`` are the app's.
    ``launch`` is another, for the purpose "launch": by it alone is kept what a visit gives to its visitor's launch.
    """

    purpose: str
    server: str
    user: str
    links: tuple[str, ...]
    access: int
    nonce: str
    expires: float
    known: bool = False
    groups: tuple[str, ...] = ()
    proof: str = field(default="", repr=False)
    basket: str = ""
    things: tuple[str, ...] = ()
    terms: str = ""
    launch: str = field(default="", repr=False)

    @property
    def may_read(self) -> bool:
        """Whether the holder may see the source and launch a copy."""
        return self.access >= Access.READ


def derive_key(master: bytes, server: ServerName) -> bytes:
    """Return the 32-byte key of one server."""
    return hmac.new(master, f"vaas-ticket:{server.path}".encode(), hashlib.sha256).digest()


def derive_proof_key(master: bytes, server: ServerName) -> bytes:
    """Return the 32-byte key by which the portal proves to itself who came to a server, which never has it."""
    return hmac.new(master, f"vaas-proof:{server.path}".encode(), hashlib.sha256).digest()


def sign(ticket: Ticket, *, key: bytes) -> str:
    """Return the ticket as a string that :func:`verify` accepts."""
    fields = asdict(ticket)
    for name in ("proof", "basket", "things", "terms", "launch"):
        if not fields[name]:
            del fields[name]  # servers from before know no such thing
    return sign_statement(fields, key=key)


def sign_statement(fields: Mapping[str, Any], *, key: bytes) -> str:
    """Return fields of JSON as a string that :func:`read_statement` accepts."""
    body = _encode(json.dumps(fields, separators=(",", ":")).encode())
    return f"{body}.{_encode(_mac(body, key))}"


def read_statement(text: str, *, key: bytes) -> dict[str, Any]:
    """Return the fields. Raises ValueError for what is forged or damaged."""
    body, _, signature = text.partition(".")
    # As text: base64 has several spellings of the same bytes, and only ours may pass.
    if not hmac.compare_digest(signature.encode(), _encode(_mac(body, key)).encode()):
        raise ValueError("This is not signed with our key.")
    fields = json.loads(_decode(body))
    if not isinstance(fields, dict):
        raise ValueError("This is no statement.")
    return fields


def verify(text: str, *, key: bytes, purpose: str, server: ServerName, now: float) -> Ticket:
    """Return the ticket that ``text`` holds.

    Raises
    ------
    Invalid
        Forged, damaged, expired, for another purpose or for another server. Using it once is up to the caller.
    """
    refused = Invalid("This way in is no longer valid. Open the app again from the portal.")
    try:
        fields = read_statement(text, key=key)
        lists = {"links": tuple(fields["links"]), "groups": tuple(fields.get("groups", ()))}
        ticket = Ticket(**{**fields, **lists, "things": tuple(fields.get("things", ()))})
        fits = ticket.purpose == purpose and ticket.server == server.path and now < ticket.expires
    except (ValueError, TypeError, KeyError) as error:
        raise refused from error
    if not fits:
        raise refused
    return ticket


def _mac(body: str, key: bytes) -> bytes:
    return hmac.new(key, body.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
