"""Which addresses may be connected to: the rules alone, without a connection."""

from __future__ import annotations

import pytest

from vaas.addresses import AddressRules, check_url, is_public
from vaas.http import Http


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "0.0.0.0"]
    + ["224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fd00:ec2::254"]
    + ["ff02::1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "fec0::1"],
)
def test_addresses_that_are_not_on_the_open_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::", "64:ff9b::5db8:d822", "::ffff:8.8.8.8"])
def test_addresses_on_the_open_internet(address: str) -> None:
    assert is_public(address)


def test_what_configuration_lists_is_trusted_and_the_open_internet_is_not() -> None:
    http = Http(allowed_private=("127.0.0.1:8090", "nas.example", "10.0.0.0/8"))
    assert http.trusts("http://127.0.0.1:8090/") and http.trusts("http://dav.localhost:8090/")
    assert http.trusts("https://nas.example/dav") and http.trusts("http://10.1.2.3/")
    assert not http.trusts("http://127.0.0.1:8091/") and not http.trusts("http://8.8.8.8/")
    assert not http.trusts("https://cloud.example/")


@pytest.mark.parametrize("entry", ["10.0.0.0/8/9", "http://nas.example", "", "user@nas.example", "nas.example:port"])
def test_configuration_that_means_nothing_stops_the_start(entry: str) -> None:
    with pytest.raises(ValueError):
        AddressRules((entry,))


def test_an_address_has_one_form() -> None:
    assert check_url(" HTTPS://Cloud.Example:443/Ä b#part ").geturl() == "https://cloud.example/%C3%84%20b"
    assert check_url("https://münchen.example/a%20b").geturl() == "https://xn--mnchen-3ya.example/a%20b"
