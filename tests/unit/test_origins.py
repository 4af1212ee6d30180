"""Which requests come from our own pages, by what browsers say."""

from __future__ import annotations

import pytest

from hub_service.origins import is_forged

OWN = "https://vaas.example.org"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post"])
@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({}, False),
        ({"Authorization": "token x"}, False),
        ({"Origin": OWN}, False),
        ({"Origin": OWN.upper()}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "https://app-1.vaas.example.org"}, True),
        ({"Origin": "http://vaas.example.org"}, True),
        ({"Origin": OWN + ":8443"}, True),
        ({"Origin": OWN + ".evil.example"}, True),
    ],
)
def test_what_changes_something_comes_from_our_own_pages(method: str, headers: dict[str, str], forged: bool) -> None:
    assert is_forged(method, headers, origin=OWN) is forged


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_may_come_from_anywhere(method: str) -> None:
    assert not is_forged(method, {"Origin": "https://evil.example"}, origin=OWN)
