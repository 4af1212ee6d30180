"""What an app may reach: how it is written, what it lets through, and what a site leaves of it."""

from __future__ import annotations

import time

import pytest

from vaas.errors import Invalid
from vaas.network import ALL, MOST, NOTHING, connects, parse, permits, text_of, within, words


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("", NOTHING),
        ("  \n ", NOTHING),
        ("none", NOTHING),
        ("NONE", NOTHING),
        ("all", ALL),
        (" All\n", ALL),
        ("*", ALL),
        ("example.org", ("example.org",)),
        ("Example.ORG.", ("example.org",)),
        ("b.org, a.org\r\n c.org,,b.org", ("b.org", "a.org", "c.org")),
        ("*.Example.org", ("*.example.org",)),
        ("db.example.org:5432", ("db.example.org:5432",)),
        ("*.example.org:443", ("*.example.org:443",)),
        ("zürich.example", ("xn--zrich-kva.example",)),
        ("*.東京.jp:80", ("*.xn--1lqs71d.jp:80",)),
        ("localhost my_host a-b", ("localhost", "my_host", "a-b")),
        ("192.0.2.1 192.0.2.1:80", ("192.0.2.1", "192.0.2.1:80")),
        ("2001:DB8:0::1 [2001:db8::1]:443 [::1]", ("[2001:db8::1]", "[2001:db8::1]:443", "[::1]")),
    ],
)
def test_a_person_writes_it_in_many_ways_and_it_is_kept_in_one(text: str, network: tuple[str, ...]) -> None:
    assert parse(text) == network
    assert parse(text_of(network)) == network


@pytest.mark.parametrize(
    "entry",
    [
        "https://example.org/data",
        "example.org/",
        "user@example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:http",
        "example.org:-1",
        "example.org:٤٤٣",
        "example.org:1:2",
        "[::1",
        "[::1]443",
        "[::1]:",
        "[example.org]x",
        "**.example.org",
        "*.*.org",
        "*example.org",
        "a.*.org",
        "*.",
        "*.192.0.2.1",
        "*.[::1]",
        ".example.org",
        "example..org",
        "example.org..",
        "-a.org",
        "a-.org",
        "a" * 64 + ".org",
        "a." * 130 + "org",
        "exa mple".replace(" ", "\0"),
        "exa\u202emple.org",
        "example.org;x",
        "1",
        "2130706433",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "256.1.1.1",
        "10.0.0.0/8",
        "fe80::1%eth0",
        "…",
    ],
)
def test_what_is_no_host_is_named_with_what_to_write(entry: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(f"fine.example {entry}")
    assert refused.value.field == "network"
    assert refused.value.message.startswith(f"“{entry[:80]}”".replace("\0", "").replace("\u202e", ""))
    assert "Write" in refused.value.message


def test_of_a_web_address_its_host_is_offered() -> None:
    with pytest.raises(Invalid, match=r"“https://API.example.org:8443/v1” is no host. Write only api.example.org."):
        parse("https://API.example.org:8443/v1")
    with pytest.raises(Invalid, match="Write names such as"):
        parse("https://[::bad/")


@pytest.mark.parametrize("text", ["all example.org", "example.org none", "* *.example.org", "none all"])
def test_all_and_none_stand_alone(text: str) -> None:
    with pytest.raises(Invalid, match="stands alone"):
        parse(text)


def test_there_are_so_many_hosts_at_most() -> None:
    many = [f"h{number}.org" for number in range(MOST + 1)]
    assert len(parse(" ".join(many[:MOST] * 2))) == MOST
    with pytest.raises(Invalid, match=f"{MOST} hosts at most"):
        parse(" ".join(many))


@pytest.mark.parametrize(
    "text", ["a" * 500_000, "*." * 200_000, "é" * 300_000, "[" * 300_000, "https://" + "a" * 10**6]
)
def test_hostile_text_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert time.perf_counter() - began < 0.5
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    ("network", "host", "port", "allowed"),
    [
        ("none", "example.org", 443, False),
        ("all", "example.org", 1, True),
        ("all", "192.0.2.7", 22, True),
        ("example.org", "example.org", 443, True),
        ("example.org", "EXAMPLE.org.", 80, True),
        ("example.org", "www.example.org", 443, False),
        ("example.org", "example.org.evil.net", 443, False),
        ("example.org", "notexample.org", 443, False),
        ("example.org:443", "example.org", 443, True),
        ("example.org:443", "example.org", 80, False),
        ("*.example.org", "a.example.org", 1, True),
        ("*.example.org", "a.b.example.org.", 1, True),
        ("*.example.org", "example.org", 1, False),
        ("*.example.org", "notexample.org", 1, False),
        ("*.example.org", ".example.org", 1, False),
        ("*.example.org", "*.example.org", 1, False),
        ("*.example.org:443", "a.example.org", 80, False),
        ("zürich.example", "xn--zrich-kva.example", 1, True),
        ("xn--zrich-kva.example", "ZÜRICH.example", 1, True),
        ("192.0.2.1", "192.0.2.1", 80, True),
        ("192.0.2.1", "::ffff:192.0.2.1", 80, False),
        ("192.0.2.1", "192.0.2.10", 80, False),
        ("192.0.2.1", "3221225985", 80, False),
        ("[2001:db8::1]:443", "2001:DB8:0:0::1", 443, True),
        ("[2001:db8::1]:443", "[2001:db8::1]", 80, False),
        ("[::1]", "::1%lo", 80, False),
        ("example.org", "", 443, False),
        ("example.org", "example.org\0.evil.net", 443, False),
        ("example.org", "example.org/", 443, False),
        ("*.example.org", "evil.net#.example.org", 443, False),
        ("*.example.org", "a b.example.org", 443, False),
        ("*.example.org", "a" * 100_000 + ".example.org", 443, False),
    ],
)
def test_a_connection_is_let_through_only_if_an_entry_means_it(
    network: str, host: str, port: int, allowed: bool
) -> None:
    assert permits(parse(network), host, port) is allowed


def test_a_host_is_reached_when_one_of_its_ports_is() -> None:
    network = parse("example.org:5432 *.cern.ch")
    assert connects(network, "example.org") and connects(network, "home.cern.ch") and connects(ALL, "x")
    assert not connects(network, "cern.ch") and not connects(NOTHING, "example.org") and not connects(network, "")


@pytest.mark.parametrize(
    ("asked", "site", "left"),
    [
        ("all", "all", "all"),
        ("none", "all", "none"),
        ("a.org b.org:1", "all", "a.org b.org:1"),
        ("all", "none", "none"),
        ("a.org", "none", "none"),
        ("none", "a.org", "none"),
        ("all", "a.org *.b.org", "a.org *.b.org"),
        ("a.org c.org", "a.org *.b.org", "a.org"),
        ("x.b.org *.x.b.org b.org", "*.b.org", "x.b.org *.x.b.org"),
        ("*.b.org", "*.b.org", "*.b.org"),
        ("*.b.org", "x.b.org y.c.org", "x.b.org"),
        ("a.org:1", "a.org", "a.org:1"),
        ("a.org", "a.org:1 a.org:2", "a.org:1 a.org:2"),
        ("a.org:1", "a.org:2", "none"),
        ("*.b.org:443", "x.b.org *.y.b.org:443", "x.b.org:443 *.y.b.org:443"),
        ("192.0.2.1 [::1]:2", "192.0.2.1:80 [::1]", "192.0.2.1:80 [::1]:2"),
    ],
)
def test_a_site_leaves_what_both_allow(asked: str, site: str, left: str) -> None:
    assert within(parse(asked), parse(site)) == parse(left)


def test_it_is_said_in_the_words_of_the_interface() -> None:
    assert words(NOTHING) == "Nothing outside"
    assert words(ALL) == "Anything on the internet"
    assert words(("a.org", "*.b.org:1")) == "a.org, *.b.org:1"
