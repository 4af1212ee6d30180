"""The settings come from the environment, and say which value cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hub_service.settings import Settings, find_node
from vaas.errors import Invalid


def test_without_any_variable_everything_lies_beside_the_checkout(tmp_path: Path) -> None:
    settings = Settings.from_environ({}, root=tmp_path)
    assert settings.data == tmp_path / "data"
    assert settings.app_python == tmp_path / ".venvs" / "app" / "bin" / "python"
    assert settings.portal_url == "http://vaas.localhost:8000/services/vaas/"
    assert settings.bind == "127.0.0.1"
    assert not settings.demo


def test_inner_ports_follow_the_public_one() -> None:
    settings = Settings.from_environ({"VAAS_PORT": "9000"})
    assert (settings.hub_port, settings.portal_port, settings.proxy_port) == (9001, 9002, 9003)
    assert settings.portal_internal_url == "http://127.0.0.1:9002/services/vaas/"


def test_settings_survive_the_way_through_an_environment(tmp_path: Path) -> None:
    said = {
        "VAAS_DATA": str(tmp_path),
        "VAAS_PORT": "9000",
        "VAAS_DEMO": "1",
        "VAAS_SITE_CONFIG": str(tmp_path / "c.py"),
        "VAAS_SANDBOX": "required",
        "VAAS_NETWORK": "example.org *.b.org:443",
        "VAAS_LOCAL_APPS": "0",
    }
    settings = Settings.from_environ(said)
    assert Settings.from_environ(settings.to_environ()) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAAS_PORT", "http"),
        ("VAAS_PORT", "0"),
        ("VAAS_PORT", "70000"),
        ("VAAS_PUBLIC_URL", "vaas.example.org"),
        ("VAAS_PUBLIC_URL", "https://example.org/vaas"),
        ("VAAS_SANDBOX", "yes"),
        ("VAAS_SANDBOX", "Auto"),
        ("VAAS_NETWORK", "https://example.org"),
        ("VAAS_NETWORK", "10.0.0.0/8"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        Settings.from_environ({name: value})
    assert name in refused.value.message
    assert value in refused.value.message


@pytest.mark.parametrize(
    ("said", "network"), [({}, ("*",)), ({"VAAS_NETWORK": ""}, ()), ({"VAAS_NETWORK": "none"}, ())]
)
def test_apps_may_reach_what_their_owners_say_unless_the_site_says_less(
    said: dict[str, str], network: tuple[str, ...]
) -> None:
    settings = Settings.from_environ(said)
    assert settings.network == network == Settings.from_environ(settings.to_environ()).network


def test_two_equal_ports_are_both_named() -> None:
    with pytest.raises(Invalid, match="VAAS_PORT and VAAS_HUB_PORT are both 9000"):
        Settings.from_environ({"VAAS_PORT": "9000", "VAAS_HUB_PORT": "9000"})


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_demo_listens_on_loopback_only(address: str) -> None:
    with pytest.raises(Invalid, match=f"VAAS_BIND={address}"):
        Settings.from_environ({"VAAS_DEMO": "1", "VAAS_BIND": address})
    assert Settings.from_environ({"VAAS_BIND": address}).bind == address


def test_a_site_behind_tls_has_its_public_address() -> None:
    settings = Settings.from_environ({"VAAS_PUBLIC_URL": "https://vaas.example.org/"})
    assert settings.domain == "vaas.example.org"
    assert settings.portal_url == "https://vaas.example.org/services/vaas/"


def _node(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho v{version}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_systems_node_is_taken_when_it_is_new_enough(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_PROXY": str(tmp_path / "proxy")})
    node = _node(tmp_path / "bin" / "node", "20.1.0")
    assert find_node(settings, {"PATH": str(node.parent)}) == node


def test_the_node_beside_the_proxy_comes_first(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_PROXY": str(tmp_path / "proxy")})
    beside = _node(tmp_path / "proxy" / "node", "24.0.0")
    system = _node(tmp_path / "bin" / "node", "20.1.0")
    assert find_node(settings, {"PATH": str(system.parent)}) == beside


@pytest.mark.parametrize("version", ["18.20.0", "", "not a version"])
def test_an_old_or_broken_node_is_as_good_as_none(tmp_path: Path, version: str) -> None:
    settings = Settings.from_environ({"VAAS_PROXY": str(tmp_path / "proxy")})
    node = _node(tmp_path / "bin" / "node", version)
    with pytest.raises(Invalid, match=r"Node.js 20 or later .* Install it, or run “make up”"):
        find_node(settings, {"PATH": str(node.parent)})


def test_a_named_node_that_is_missing_is_not_replaced_by_another(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_PROXY": str(tmp_path / "proxy")})
    node = _node(tmp_path / "bin" / "node", "20.1.0")
    with pytest.raises(Invalid, match="VAAS_NODE=/nowhere/node"):
        find_node(settings, {"PATH": str(node.parent), "VAAS_NODE": "/nowhere/node"})
