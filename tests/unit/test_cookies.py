"""Cookies that nobody else can plant: names, what is read, what is written."""

from __future__ import annotations

import pytest

from vaas.cookies import only, own_name, takes_secure, written


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://vaas.example.org", True),
        ("http://vaas.localhost:8000", True),
        ("http://localhost", True),
        ("http://vaas.example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_browsers_take_secure_cookies_from_https_and_from_localhost(url: str, secure: bool) -> None:
    assert takes_secure(url) is secure


def test_the_prefix_is_used_where_browsers_take_it() -> None:
    assert own_name("a", secure=True) == "__Host-a"
    assert own_name("a", secure=False) == "a"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", ""),
        ("a=1", "1"),
        ("b=2; a=1; c", "1"),
        ('a="1"', "1"),
        ("a=1=2", "1=2"),
        ("a=1; a=1", ""),
        ("a=1; b=2; a=3", ""),
        ("A=1", ""),
        ("xa=1", ""),
        (" a = 1", ""),
    ],
)
def test_a_cookie_counts_when_it_comes_once(header: str, value: str) -> None:
    assert only(header, "a") == value


def test_a_session_is_for_its_host_and_in_a_frame_for_the_site_around_it() -> None:
    assert written("a", "1", path="/x/", secure=False) == "a=1; Path=/x/; HttpOnly; SameSite=Lax"
    assert written("a", "1", path="/x/", secure=True) == "a=1; Path=/; HttpOnly; Secure; SameSite=Lax"
    embedded = written("a", "1", path="/x/", secure=True, embedded=True)
    assert embedded == "a=1; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"
    assert "None" not in written("a", "1", path="/x/", secure=False, embedded=True)
