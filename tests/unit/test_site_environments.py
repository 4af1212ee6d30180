"""What a site says of environments: whether there are any, of which index, and how large they may be."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from traitlets.config import Config

from hub_service.environments import for_app_servers, make_maker, package_index, way_to_index
from hub_service.hub_config import configure
from hub_service.settings import Settings
from tests.portal_fixture import stand_in_app
from vaas.environments.uv import UvMaker
from vaas.errors import Invalid
from vaas.portal import Limits


def settings(folder: Path) -> Settings:
    return Settings(data=folder / "data", app_python=stand_in_app(folder), proxy=folder / "proxy", demo=True)


def test_environments_are_made_unless_the_site_says_no(tmp_path: Path) -> None:
    assert isinstance(make_maker(settings(tmp_path), os.environ, Limits()), UvMaker)
    assert make_maker(settings(tmp_path), {**os.environ, "VAAS_ENVIRONMENTS": "off"}, Limits()) is None
    folder = str(tmp_path / "data" / "environments")
    for wish, makes in (("on", "on"), ("off", "off"), ("", "on")):
        said = for_app_servers(settings(tmp_path), {**os.environ, "VAAS_ENVIRONMENTS": wish})
        assert said == {"VAAS_ENVIRONMENTS": makes, "VAAS_ENVIRONMENTS_FOLDER": folder}


@pytest.mark.parametrize(
    "environ",
    [
        {"VAAS_ENVIRONMENTS": "maybe"},
        {"VAAS_PACKAGE_INDEX": "pypi.example.org"},
        {"VAAS_PACKAGE_INDEX": "file:///srv/wheels"},
        {"VAAS_PACKAGE_INDEX": "https://"},
    ],
)
def test_what_cannot_be_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=next(iter(environ))):
        package_index(environ)


def test_the_password_of_an_index_is_on_no_screen() -> None:
    with pytest.raises(Invalid) as raised:
        package_index({"VAAS_PACKAGE_INDEX": "ftp://me:hunter2@pypi.example.org"})
    assert "hunter2" not in raised.value.message + raised.value.log_message
    assert package_index({"VAAS_PACKAGE_INDEX": "https://me:x@pypi.example.org/simple"}).startswith("https://me:x@")


def test_the_portal_hears_the_way_to_the_index_and_app_servers_where_environments_are(tmp_path: Path) -> None:
    environ = {**os.environ, "HTTPS_PROXY": "http://proxy:3128", "SSL_CERT_FILE": "/etc/ca.pem", "OTHER": "x"}
    assert way_to_index(environ).items() >= {("HTTPS_PROXY", "http://proxy:3128"), ("SSL_CERT_FILE", "/etc/ca.pem")}
    c = Config()
    c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
    configure(c, replace(settings(tmp_path), hosted_proxy=True), environ)
    (portal,) = (each for each in c.JupyterHub.services if each["name"] == "vaas")
    assert portal["environment"]["HTTPS_PROXY"] == "http://proxy:3128" and "OTHER" not in portal["environment"]
    assert c.AppServers.app_environment["VAAS_ENVIRONMENTS_FOLDER"] == str(tmp_path / "data" / "environments")
    assert "HTTPS_PROXY" not in c.AppServers.app_environment
