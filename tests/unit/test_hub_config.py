"""The Hub's configuration is values on a Config: nothing is started to test it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import utils as hub_utils
from jupyterhub.auth import Authenticator, NullAuthenticator, PAMAuthenticator
from jupyterhub.services import service as hub_services
from jupyterhub.spawner import LocalProcessSpawner
from traitlets.config import Config

from hub_service.accounts import AppAccounts, with_app_accounts
from hub_service.demo_authenticator import DemoAuthenticator
from hub_service.hub_config import PORTAL_SCOPES, configure, host_of
from hub_service.settings import Settings
from hub_service.spawner import AppProcess, AppServers, token_scopes, with_app_servers
from vaas.errors import Invalid


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The Hub has no setting for two waits, so that configure() changes them for the whole process."""
    waits = hub_utils.exponential_backoff.__defaults__
    yield
    hub_utils.exponential_backoff.__defaults__ = waits
    if "poll_interval" in vars(hub_services._ServiceSpawner):
        del hub_services._ServiceSpawner.poll_interval


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environ({"VAAS_DATA": str(tmp_path), "VAAS_DEMO": "1", "VAAS_HOSTED_PROXY": "1"})


@pytest.fixture
def c(settings: Settings) -> Config:
    config = Config()
    configure(config, settings, {})
    return config


def test_the_portal_shares_the_hubs_host_and_everybody_else_has_their_own() -> None:
    assert host_of("vaas", "vaas.localhost", "service") == "vaas.localhost"
    assert host_of("app-abcdefgh1234", "vaas.localhost", "user") == "app-abcdefgh1234.vaas.localhost"
    assert host_of("ada", "vaas.localhost", "user") == "ada.vaas.localhost"
    assert host_of("culler", "vaas.localhost", "service") == "culler--service.vaas.localhost"
    assert host_of("vaas", "vaas.localhost", "user") == "vaas.vaas.localhost"


@pytest.mark.parametrize("name", ["Ada Lovelace", "ada.lovelace", "ada@example.org", "-", "ä"])
def test_no_name_makes_a_host_that_is_none_or_more_than_one_label(name: str) -> None:
    label = host_of(name, "vaas.localhost", "user").removesuffix(".vaas.localhost")
    assert label.replace("-", "").isalnum()
    assert label.isascii()


def test_everything_but_the_public_port_listens_on_loopback(c: Config) -> None:
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8001"
    assert c.JupyterHub.services[0]["url"] == "http://127.0.0.1:8002"
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8003"


def test_the_hubs_pages_are_on_its_own_host_alone(c: Config) -> None:
    assert c.JupyterHub.hub_routespec == "vaas.localhost/"


def test_people_come_to_the_portal_first_and_get_no_server_by_signing_in(c: Config) -> None:
    first = c.JupyterHub.default_url
    assert first(SimpleNamespace(current_user=None)) == "/services/vaas/"
    # Signed in there as well, on the way.
    assert first(SimpleNamespace(current_user="ada")) == "/services/vaas/login"
    assert c.JupyterHub.redirect_to_server is False


def test_secrets_are_made_once_and_for_the_operator_alone(settings: Settings) -> None:
    first, second = Config(), Config()
    configure(first, settings, {})
    configure(second, settings, {})
    assert first.ConfigurableHTTPProxy.auth_token == second.ConfigurableHTTPProxy.auth_token
    assert all(path.stat().st_mode & 0o077 == 0 for path in [settings.secrets, *settings.secrets.iterdir()])


def test_the_portals_role_is_exactly_its_scopes(c: Config) -> None:
    assert c.JupyterHub.load_roles == [
        {"name": "vaas", "description": "The portal", "scopes": list(PORTAL_SCOPES), "services": ["vaas"]}
    ]
    assert "admin" not in c.JupyterHub.services[0]


def test_everybody_may_come_to_the_portal_and_nobody_may_make_accounts(c: Config) -> None:
    scopes = set(c.JupyterHub.extra_user_scopes)
    assert scopes == {"access:services!service=vaas", "custom:vaas:read", "custom:vaas:write"}


def test_people_lend_the_portal_their_own_servers_and_no_more(c: Config) -> None:
    lent = set(c.JupyterHub.services[0]["oauth_client_allowed_scopes"])
    assert {scope for scope in lent if "servers" in scope} == {
        "delete:servers!user",
        "read:servers!user",
        "start:servers!user",
    }
    assert all(scope.startswith("custom:vaas:") or scope.endswith("!user") for scope in lent)


def test_the_portals_scopes_on_servers_end_at_the_apps() -> None:
    assert {scope for scope in PORTAL_SCOPES if "servers" in scope} == {
        "read:servers!group=vaas-apps",
        "start:servers!group=vaas-apps",
        "delete:servers!group=vaas-apps",
    }
    assert not {
        scope for scope in PORTAL_SCOPES if scope.startswith(("admin:", "access:", "tokens", "users", "groups"))
    }


def test_the_service_gets_all_settings(c: Config, settings: Settings) -> None:
    assert Settings.from_environ(c.JupyterHub.services[0]["environment"]) == settings


def test_the_service_finds_the_sites_batch_system(settings: Settings) -> None:
    c = Config()
    configure(c, settings, {"SLURM_CONF": "/site/slurm.conf", "OTHER": "x"})
    given = c.JupyterHub.services[0]["environment"]
    assert given["SLURM_CONF"] == "/site/slurm.conf" and "OTHER" not in given


def test_what_a_site_set_stays(settings: Settings) -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "culler"}]
    c.JupyterHub.load_roles = [{"name": "culler", "scopes": []}]
    c.JupyterHub.tornado_settings = {"headers": {"X-Site": "yes"}}
    c.Spawner.start_timeout = 300
    configure(c, settings, {})
    assert [service["name"] for service in c.JupyterHub.services] == ["culler", "vaas"]
    assert [role["name"] for role in c.JupyterHub.load_roles] == ["culler", "vaas"]
    assert c.JupyterHub.tornado_settings["headers"]["X-Site"] == "yes"
    assert c.JupyterHub.tornado_settings["slow_spawn_timeout"] == 0
    assert (c.Spawner.start_timeout, c.Spawner.http_timeout) == (300, 30)


@pytest.mark.parametrize("named", ["pam", "jupyterhub.auth.PAMAuthenticator", PAMAuthenticator])
def test_a_sites_authenticator_is_wrapped_however_it_is_named(settings: Settings, named: Any) -> None:
    c = Config()
    c.JupyterHub.authenticator_class = named
    configure(c, settings, {})
    chosen = c.JupyterHub.authenticator_class
    assert issubclass(chosen, PAMAuthenticator)
    assert issubclass(chosen, AppAccounts)
    assert chosen.__name__ == "PAMAuthenticator"


def test_a_sites_spawner_is_wrapped_too(settings: Settings) -> None:
    c = Config()
    c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
    configure(c, settings, {})
    assert issubclass(c.JupyterHub.spawner_class, LocalProcessSpawner)
    assert issubclass(c.JupyterHub.spawner_class, AppServers)


def test_wrapping_twice_is_wrapping_once() -> None:
    once = with_app_accounts(NullAuthenticator)
    assert with_app_accounts(once) is once
    assert with_app_servers(AppProcess) is AppProcess


def test_without_demo_and_authenticator_nobody_could_sign_in(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_DATA": str(tmp_path), "VAAS_HOSTED_PROXY": "1"})
    with pytest.raises(Invalid, match="Nobody could sign in"):
        configure(Config(), settings, {})


def test_the_hub_starts_the_proxy_when_no_supervisor_does(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_DATA": str(tmp_path), "VAAS_DEMO": "1"})
    c = Config()
    with pytest.raises(Invalid, match="Node.js"):
        configure(c, settings, {"VAAS_NODE": "/nowhere/node"})
    assert c.ConfigurableHTTPProxy.should_start is True


def test_what_has_no_route_goes_to_the_portal_whoever_starts_the_proxy(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    script = tmp_path / "proxy" / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    environ = {"VAAS_DATA": str(tmp_path / "data"), "VAAS_DEMO": "1", "VAAS_NODE": str(node)}
    settings = Settings.from_environ(environ | {"VAAS_PROXY": str(tmp_path / "proxy")})
    assert settings.proxy_script == script
    c = Config()
    configure(c, settings, environ)
    assert c.ConfigurableHTTPProxy.command == [
        *(str(node), str(script)),
        *("--default-target", c.JupyterHub.services[0]["url"]),
    ]


def test_the_waits_that_are_shortened_are_still_the_hubs(settings: Settings) -> None:
    names = [*inspect.signature(hub_utils.exponential_backoff).parameters]
    assert names[2:7] == ["start_wait", "scale_factor", "max_wait", "timeout", "timeout_tolerance"]
    before = hub_utils.exponential_backoff.__defaults__
    configure(Config(), settings, {})
    after = hub_utils.exponential_backoff.__defaults__
    assert after[:3] == (0.1, 1.5, 0.5)
    assert after[3:] == before[3:]
    assert hub_services._ServiceSpawner.poll_interval == 2


class _Named:
    """The little of a user or a spawner that is asked for."""

    def __init__(self, name: str, user: Any = None) -> None:
        self.name, self.user = name, user


def test_an_apps_token_may_say_which_server_it_is_and_no_more() -> None:
    app = _Named("v3", _Named("app-abcdefgh1234"))
    assert token_scopes(app) == ["access:servers!server=app-abcdefgh1234/v3"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "ada", "password": "demo"}, "ada"),
        ({"username": "ada", "password": "demo "}, None),
        ({"username": "ada", "password": ""}, None),
        ({"username": "ada"}, None),
        ({"username": "app-abcdefgh1234", "password": "demo"}, None),
        ({"username": "app-", "password": "demo"}, None),
        ({"username": "APP-abcdefgh1234", "password": "demo"}, None),
        ({"username": "mallory", "password": "demo"}, None),
    ],
)
async def test_only_the_demos_people_sign_in(given: dict[str, str], expected: str | None) -> None:
    authenticator = with_app_accounts(DemoAuthenticator)(
        password="demo", allowed_users={"ada", "app-abcdefgh1234", "app-"}, allow_all=False
    )
    person = await authenticator.get_authenticated_user(None, given)
    assert (person["name"] if person else None) == expected


class Generous(Authenticator):
    """Takes anybody under any name, into the apps' group too."""

    allow_all = True

    async def authenticate(self, handler: Any, data: Any) -> Any:
        """Take anybody."""
        return {"name": data["username"], "groups": ["physics", "vaas-apps"]}


async def test_no_authenticator_can_put_a_person_among_the_apps() -> None:
    authenticator = with_app_accounts(Generous)(manage_groups=True)
    assert (await authenticator.get_authenticated_user(None, {"username": "eve"}))["groups"] == ["physics"]
    assert await authenticator.get_authenticated_user(None, {"username": "app-abcdefgh1234"}) is None


class Strict(Authenticator):
    """Knows nobody: what a site's own directory says of an app's account."""

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> Any:
        """Nobody is known."""
        return False

    def add_user(self, user: Any) -> None:
        """Nobody can be added."""
        raise ValueError(user.name)


async def test_no_directory_is_asked_about_an_apps_account() -> None:
    authenticator = with_app_accounts(Strict)()
    assert await authenticator.refresh_user(_Named("app-abcdefgh1234")) is True
    assert await authenticator.refresh_user(_Named("ada")) is False
    assert authenticator.add_user(_Named("app-abcdefgh1234")) is None
    with pytest.raises(ValueError, match="ada"):
        authenticator.add_user(_Named("ada"))
