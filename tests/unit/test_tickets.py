"""Tickets: what the portal signed is accepted once spelled exactly so, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from vaas.errors import Invalid
from vaas.model import Access, ServerName
from vaas.tickets import Ticket, derive_key, derive_proof_key, sign, verify

MASTER = b"m" * 32
SERVER = ServerName("app-abcdefghijkl", "v3")
KEY = derive_key(MASTER, SERVER)
TICKET = Ticket("visit", SERVER.path, "bob", ("l1", "l2"), Access.READ, "n0nce", 1000.0)


def checked(text: str, *, now: float = 999.9, key: bytes = KEY, purpose: str = "visit") -> Ticket:
    return verify(text, key=key, purpose=purpose, server=SERVER, now=now)


def signed(body: bytes) -> str:
    """Sign any body with the right key, as only the portal could."""
    text = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    mac = hmac.new(KEY, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_a_ticket_comes_back_as_it_was_signed() -> None:
    assert checked(sign(TICKET, key=KEY)) == TICKET
    anonymous = replace(TICKET, user="", links=(), access=1)
    assert checked(sign(anonymous, key=KEY)) == anonymous


def test_a_proof_travels_in_the_ticket_and_is_in_no_other() -> None:
    proven = replace(TICKET, proof="a.b")
    assert checked(sign(proven, key=KEY)) == proven
    body = sign(TICKET, key=KEY).partition(".")[0]
    assert b"proof" not in base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), "older servers know no such field"


def test_servers_do_not_have_the_key_of_proofs() -> None:
    other = ServerName(SERVER.account, "v4")
    keys = {derive_key(MASTER, SERVER), derive_proof_key(MASTER, SERVER), derive_proof_key(MASTER, other)}
    assert len(keys) == 3


def test_a_ticket_fits_in_a_form_and_in_an_address_unquoted() -> None:
    assert set(sign(replace(TICKET, user="Zoë 🌍 <&>"), key=KEY)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


@pytest.mark.parametrize("now", [1000.0, 1000.1, 1e12])
def test_an_expired_ticket_is_refused(now: float) -> None:
    with pytest.raises(Invalid):
        checked(sign(TICKET, key=KEY), now=now)


@pytest.mark.parametrize(
    "other",
    [replace(TICKET, purpose="poke"), replace(TICKET, server="/user/app-abcdefghijkl/v2/"), replace(TICKET, server="")],
)
def test_a_ticket_for_another_purpose_or_server_is_refused(other: Ticket) -> None:
    with pytest.raises(Invalid):
        checked(sign(other, key=KEY))


def test_no_change_of_one_character_gets_through() -> None:
    text = sign(TICKET, key=KEY)
    for i, old in enumerate(text):
        for new in "Aa0-_.=! é":
            if new != old:
                with pytest.raises(Invalid):
                    checked(text[:i] + new + text[i + 1 :])


def test_the_last_character_cannot_be_spelled_in_another_way() -> None:
    # 32 bytes leave two bits of the last base64 character unused: all four spellings decode to the same.
    text = sign(TICKET, key=KEY)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [c for c in letters if _accepted(text[:-1] + c)] == [text[-1]]


@pytest.mark.parametrize("text", ["", ".", "..", "a", "a.b", "a.b.c", "é.é", "\ud800.\ud800", "\0.\0", "=.=", "." * 9])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        checked(text)


def test_a_damaged_ticket_is_refused() -> None:
    text = sign(TICKET, key=KEY)
    for damaged in (text[:-1], text[1:], text + "A", text + "=", f" {text}", f"{text}\n", text.replace(".", "")):
        with pytest.raises(Invalid):
            checked(damaged)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"links": 3}',
        json.dumps({"purpose": "visit", "links": []}).encode(),
        json.dumps({**vars(TICKET), "more": 1}).encode(),
        json.dumps({**vars(TICKET), "expires": "later"}).encode(),
        json.dumps({**vars(TICKET), "expires": None}).encode(),
        b"\xff\xfe",
    ],
)
def test_a_body_of_another_shape_is_refused_even_when_signed(body: bytes) -> None:
    with pytest.raises(Invalid):
        checked(signed(body))


def test_a_forged_ticket_is_refused() -> None:
    for key in (b"", b"m" * 32, MASTER, derive_key(b"other", SERVER)):
        with pytest.raises(Invalid):
            checked(sign(TICKET, key=key))


def test_each_server_has_a_key_of_its_own() -> None:
    servers = [SERVER, ServerName(SERVER.account, "v2"), ServerName("app-bbcdefghijkl", "v3"), ServerName("app-a", "b")]
    keys = {derive_key(MASTER, server) for server in servers} | {derive_key(b"other", SERVER)}
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)
    assert derive_key(MASTER, SERVER) == KEY


def test_every_refusal_reads_the_same() -> None:
    good = sign(TICKET, key=KEY)
    said = set()
    for text, now in ((good, 2000.0), (good[:-2], 1.0), ("x", 1.0), (sign(replace(TICKET, purpose="x"), key=KEY), 1.0)):
        with pytest.raises(Invalid) as refused:
            checked(text, now=now)
        said.add(refused.value.message)
    assert len(said) == 1


def test_reading_is_for_read_and_above() -> None:
    assert [replace(TICKET, access=level).may_read for level in range(5)] == [False, False, True, True, True]


def _accepted(text: str) -> bool:
    try:
        checked(text)
    except Invalid:
        return False
    return True
