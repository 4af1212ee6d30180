"""The Hub's configuration as functions on a traitlets Config: :func:`configure` does all of it and starts nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from jupyterhub import utils as hub_utils
from jupyterhub.services import service as hub_services
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import import_item
from traitlets.config import Config

from hub_service.accounts import APP_GROUP, CUSTOM_SCOPES, ORIGIN, with_app_accounts
from hub_service.cluster_servers import BatchServers
from hub_service.demo_authenticator import DemoAuthenticator
from hub_service.demo_people import ADMIN, GROUPS, PEOPLE
from hub_service.environments import environments_folder, for_app_servers, way_to_index
from hub_service.hub_cookies import keep_session_at_home, xsrf_cookie
from hub_service.isolation import require, sandbox_environ
from hub_service.launches import launch_kinds
from hub_service.settings import ROOT, Settings, find_node
from hub_service.spawner import AppProcess, token_scopes, with_app_servers
from hub_service.wrapped import mixin_for
from vaas.db.seal import ensure_secret
from vaas.errors import Invalid
from vaas.executors.programs import CONFIGURED_BY

__all__ = ["PORTAL_SCOPES", "SERVICE", "USER_SCOPES", "configure", "spawner_of"]

#: The portal's name among the Hub's services.
SERVICE = "vaas"

#: What everybody may do, on top of what the Hub gives: come to the portal, see, open, publish.
USER_SCOPES = (f"access:services!service={SERVICE}", "custom:vaas:read", "custom:vaas:write")

#: All that the portal may do in its own name: look people and groups up by name, make accounts for apps, run their
#: servers. ("list" holds the reading of names.)
PORTAL_SCOPES = (
    "custom:vaas:accounts",
    f"delete:servers!group={APP_GROUP}",
    "list:groups",
    "list:users",
    f"read:servers!group={APP_GROUP}",
    "read:users:groups",
    f"start:servers!group={APP_GROUP}",
)

#: What a person lends the portal when they sign in to it: who they are, the portal's own scopes, and to start, watch
#: and stop their own servers.
LENT_SCOPES = (
    "custom:vaas:read",
    "custom:vaas:write",
    "delete:servers!user",
    "read:servers!user",
    "read:users:groups!user",
    "read:users:name!user",
    "start:servers!user",
)

#: Seconds between looks at a process: the portal comes back this soon when it dies, and the proxy gets its routes back.
WATCH = 5

#: What every answer of the Hub carries besides its own: no page of another origin keeps a handle on a window of it.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "X-Content-Type-Options": "nosniff",
}


def configure(c: Config, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Configure the Hub for VaaS.

    An authenticator, a spawner or services that ``c`` names already are kept, and wrapped or added to.

    Raises
    ------
    Invalid
        Nobody could sign in, the proxy has no node to run on, or kernels would lack the isolation that they must have.
    """
    addresses(c, settings)
    storage(c, settings)
    proxy(c, settings, environ)
    sign_in(c, settings)
    app_servers(c, settings, environ)
    portal(c, settings, environ)


def addresses(c: Config, settings: Settings) -> None:
    """Set where everything listens, and the host name of each app."""
    c.JupyterHub.bind_url = f"http://{settings.bind}:{settings.port}"
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
    names(c, settings)


def names(c: Config, settings: Settings) -> None:
    """Set the host names of portal and apps, and what keeps them apart in browsers."""
    c.JupyterHub.subdomain_host = settings.public_url
    c.JupyterHub.subdomain_hook = host_of
    # No app's page can plant such cookies for Hub and portal; browsers take them over https, and from localhost.
    c.JupyterHub.cookie_host_prefix_enabled = settings.secure
    if settings.secure:
        keep_session_at_home()
    given = _given(c, "tornado_settings", dict)
    headers = {**_HEADERS, **given.get("headers", {})}
    c.JupyterHub.tornado_settings = {**xsrf_cookie(settings), **given, "headers": headers, ORIGIN: settings.origin}
    # Only there: on an app's own host, a page of the Hub would be within reach of the app's scripts.
    c.JupyterHub.hub_routespec = f"{settings.domain}/"
    c.JupyterHub.default_url = _first_page
    ours = [str(ROOT / "templates" / folder) for folder in ("hub", "frame")]
    c.JupyterHub.template_paths = [*_given(c, "template_paths"), *ours]


def _first_page(handler: Any) -> str:
    """Return where people come who ask the Hub for nothing in particular: to the portal, which they get to know.

    Who has signed in at the Hub is signed in at the portal on the way, or it would ask them to sign in once more.
    """
    return f"/services/{SERVICE}/{'login' if handler.current_user else ''}"


def host_of(name: str, domain: str, kind: str) -> str:
    """Return a host name: the portal shares the Hub's, everybody and everything else has one of its own."""
    if kind == "service" and name == SERVICE:
        return domain
    return str(hub_utils.subdomain_hook_idna(name, domain, kind))


def storage(c: Config, settings: Settings) -> None:
    """Set where the Hub keeps its state; an older Hub's database is brought up to date, with a copy beside it."""
    c.JupyterHub.db_url = f"sqlite:///{settings.data / 'hub.sqlite'}"
    c.JupyterHub.upgrade_db = True
    ensure_secret(settings.secrets / "hub_cookie")
    c.JupyterHub.cookie_secret_file = str(settings.secrets / "hub_cookie")


def proxy(c: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Set how the Hub and the proxy find each other, and who starts it."""
    c.ConfigurableHTTPProxy.auth_token = ensure_secret(settings.secrets / "proxy_token").hex()
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_port}"
    c.ConfigurableHTTPProxy.log_level = "warn"
    c.ConfigurableHTTPProxy.should_start = not settings.hosted_proxy
    c.ConfigurableHTTPProxy.pid_file = str(settings.run / "proxy.pid")
    if not settings.hosted_proxy:
        c.ConfigurableHTTPProxy.command = [
            *(str(find_node(settings, environ)), str(settings.proxy_script)),
            # Hosts and paths without a route get the portal's own page, as under the supervisor.
            *("--default-target", f"http://127.0.0.1:{settings.portal_port}"),
        ]
        c.ConfigurableHTTPProxy.check_running_interval = WATCH
    # With each look at the activity the Hub compares the proxy's routes with its own and mends them.
    c.JupyterHub.last_activity_interval = WATCH


def sign_in(c: Config, settings: Settings) -> None:
    """Wrap the site's authenticator, or the demo's, so that nobody can sign in as an app.

    Raises
    ------
    Invalid
        The site names none and this is no demo.
    """
    if "authenticator_class" in c.JupyterHub:
        chosen = _class(c.JupyterHub.authenticator_class, "jupyterhub.authenticators")
    elif settings.demo:
        chosen = DemoAuthenticator
        _demo_people(c, settings)
    else:
        raise Invalid(
            "Nobody could sign in: set c.JupyterHub.authenticator_class in a file that VAAS_SITE_CONFIG names, "
            "or try the demo with VAAS_DEMO=1."
        )
    c.JupyterHub.authenticator_class = with_app_accounts(chosen)


def _demo_people(c: Config, settings: Settings) -> None:
    c.DemoAuthenticator.password = settings.demo_password
    people = [{"name": name, "text": text} for name, text in PEOPLE.items()]
    c.JupyterHub.template_vars = {"demo_people": people, "demo_password": settings.demo_password}
    c.DemoAuthenticator.allowed_users = set(PEOPLE)
    c.DemoAuthenticator.admin_users = {ADMIN}
    c.JupyterHub.load_groups = {group: {"users": list(people)} for group, people in GROUPS.items()}


def portal(c: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Add the portal as a service of the Hub, with its scopes and no more; after the spawner, of which it is told."""
    c.JupyterHub.custom_scopes = dict(CUSTOM_SCOPES)
    c.JupyterHub.extra_user_scopes = [*_given(c, "extra_user_scopes"), *USER_SCOPES]
    c.JupyterHub.load_roles = [
        *_given(c, "load_roles"),
        {"name": SERVICE, "description": "The portal", "scopes": list(PORTAL_SCOPES), "services": [SERVICE]},
    ]
    spawner = spawner_of(c)
    kinds = launch_kinds(spawner)
    here = replace(settings, local_apps=issubclass(spawner, LocalProcessSpawner), launch_kinds=kinds)
    c.JupyterHub.services = [
        *_given(c, "services"),
        {
            "name": SERVICE,
            "url": settings.portal_address,
            "command": [sys.executable, "-P", "-m", "hub_service"],
            "environment": _for_portal(environ) | here.to_environ() | {"PYTHONUNBUFFERED": "1"},
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": list(LENT_SCOPES),
            "display": False,
        },
    ]
    _look_closely()


def _look_closely() -> None:
    """Look more often than the Hub does by default; it has no settings for these two.

    It looks at its services every 30 s, and at what it starts after waits that grow to 5 s.
    """
    hub_services._ServiceSpawner.poll_interval = WATCH // 2
    start_wait, scale_factor, max_wait, *rest = hub_utils.exponential_backoff.__defaults__
    quick = (min(start_wait, 0.1), min(scale_factor, 1.5), min(max_wait, 0.5))
    hub_utils.exponential_backoff.__defaults__ = (*quick, *rest)


def _for_portal(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the portal reads: its limits, its database, where the site's batch system is."""
    own = {name: value for name, value in environ.items() if name.startswith("VAAS_") or name in CONFIGURED_BY}
    return own | way_to_index(environ)


def app_servers(c: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Set how app servers run: what the site's spawner does, or processes on this machine.

    Raises
    ------
    Invalid
        They run here, their kernels must be isolated, and would not be.
    """
    chosen = spawner_of(c)
    if issubclass(chosen, LocalProcessSpawner):
        require(settings, environ)
    c.JupyterHub.spawner_class = with_app_servers(chosen, mixin_for(chosen))
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.redirect_to_server = False
    _what_outlives_the_hub(c, cluster=issubclass(mixin_for(chosen), BatchServers))
    c.JupyterHub.cleanup_proxy = True
    # Answer "it starts" at once: the portal shows the progress.
    c.JupyterHub.tornado_settings = {**_given(c, "tornado_settings", dict), "slow_spawn_timeout": 0}
    c.Spawner.server_token_scopes = token_scopes
    # An app that does not start is told within these; a site whose machines are slow to come sets its own.
    for name, seconds in (("start_timeout", 60), ("http_timeout", 30)):
        c.Spawner[name] = c.Spawner.get(name, seconds)
    c.Spawner.poll_interval = WATCH
    # A site whose servers run elsewhere says how they start there, and by which address they find the portal.
    c.AppServers.app_cmd = c.AppServers.get("app_cmd") or [str(settings.app_python), "-m", "vaas.runtime"]
    given = dict(c.AppServers.get("app_environment") or {})
    c.AppServers.app_environment = {
        "PATH": os.pathsep.join([str(settings.app_python.parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "VAAS_PORTAL_URL": settings.portal_internal_url,
        **sandbox_environ(settings, environ),
        **for_app_servers(settings, environ),
        **given,
    }
    launches(c, settings, environ)
    _local_processes(c, run=settings.run, logs=settings.logs)


def _what_outlives_the_hub(c: Config, *, cluster: bool) -> None:
    # "down" stops what runs here; a Hub that is killed leaves it, and the next one adopts it. Jobs of a cluster outlive
    # the Hub, which may also have very many of them that wait in a queue.
    c.JupyterHub.cleanup_servers = c.JupyterHub.get("cleanup_servers", False) if cluster else True
    if cluster:
        c.JupyterHub.concurrent_spawn_limit = c.JupyterHub.get("concurrent_spawn_limit", 0)


def launches(c: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Set how people's own servers run: what the portal's signed plans say, in the launch environment."""
    lab = c.Launches
    ensure_secret(settings.secrets / "tickets")
    lab.plan_key_file = str(settings.secrets / "tickets")
    lab.homes_root = str(settings.data / "homes")
    lab.shared_root = lab.get("shared_root") or str(settings.data / "shared")
    lab.made_root = lab.get("made_root") or str(environments_folder(settings))
    lab.lab_cmd = lab.get("lab_cmd") or [str(settings.lab_python), "-P", "-s", "-m", "vaas.lab"]
    lab.image_python = lab.get("image_python") or str(settings.app_python)
    given = dict(lab.get("lab_environment") or {})
    # Where cookies are named "__Host-…", browsers take those of the sign-in only as secure ones, from localhost too.
    cookies = {"JUPYTERHUB_COOKIE_OPTIONS": json.dumps({"secure": True})} if settings.secure else {}
    lab.lab_environment = {
        **cookies,
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONUNBUFFERED": "1",
        "VAAS_PORTAL_URL": settings.portal_internal_url,
        "VAAS_PORTAL_PUBLIC_URL": settings.portal_url,
        **sandbox_environ(settings, environ),
        **given,
    }


def spawner_of(c: Config) -> type[Any]:
    """Return the class of the site's spawner, or ours."""
    if "spawner_class" in c.JupyterHub:
        return _class(c.JupyterHub.spawner_class, "jupyterhub.spawners")
    return AppProcess


def _local_processes(c: Config, *, run: Path, logs: Path) -> None:
    c.AppProcess.home_root = str(run / "apps")
    c.AppProcess.log_root = str(logs / "apps")
    c.AppProcess.launch_home_root = str(run / "launches")
    c.AppProcess.launch_log_root = str(logs / "launches")
    c.LocalProcessSpawner.interrupt_timeout = 5
    c.LocalProcessSpawner.term_timeout = 5
    c.LocalProcessSpawner.kill_timeout = 5


def _given(c: Config, name: str, empty: type[Any] = list) -> Any:
    """Return what the site set already, or nothing of its type."""
    return c.JupyterHub[name] if name in c.JupyterHub else empty()


def _class(named: Any, group: str) -> type[Any]:
    """Return the class that the Hub would take for this name: registered, dotted, or itself."""
    if isinstance(named, type):
        return named
    registered = {entry.name.lower(): entry for entry in entry_points(group=group)}
    found = registered.get(str(named).lower())
    cls: type[Any] = found.load() if found else import_item(str(named))
    return cls
