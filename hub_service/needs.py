"""What a portal needs before it can start, each looked at by itself: what the site says, programs, ports, answers."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from hub_service.catalog_file import read_catalogs
from hub_service.environments import package_index
from hub_service.facilities_file import declared
from hub_service.isolation import require
from hub_service.post import post
from hub_service.running import Note
from hub_service.settings import Settings, find_node
from hub_service.site import allowed_private, bounds, frame_ancestors, limits, look_up, picture_sources, runs_network
from hub_service.timetable import site_zone
from vaas.errors import Invalid

__all__ = [
    *("SAID", "all_answer", "answers", "check_installed", "check_said", "check_sign_in", "find_proxy", "free_port"),
    *("is_free", "listens", "reach"),
]

#: What the portal would refuse of what its site says: what it is called → who reads it, and raises Invalid.
SAID: Mapping[str, Callable[[Settings, Mapping[str, str]], object]] = {
    "Limits": lambda settings, environ: limits(environ),
    "Harvest": lambda settings, environ: bounds(environ),
    "Catalogs": lambda settings, environ: read_catalogs(
        settings.catalogs, allowed=allowed_private(environ), look_up=look_up
    ),
    "Facilities": lambda settings, environ: declared(settings, allowed=allowed_private(environ), look_up=look_up),
    "Pictures": lambda settings, environ: picture_sources(environ),
    "Package index": lambda settings, environ: package_index(environ),
    "Frames": lambda settings, environ: frame_ancestors(environ, public_url=settings.public_url),
    "E-mail": lambda settings, environ: post(environ),
    "Runs": runs_network,
    "Time zone": lambda settings, environ: site_zone(environ),
}


def check_said(settings: Settings, environ: Mapping[str, str]) -> None:
    """Find what the portal would refuse, before anything starts. Raises Invalid."""
    for read in SAID.values():
        read(settings, environ)


def check_sign_in(settings: Settings) -> None:
    """Find that nobody could sign in. Raises Invalid, with what to do."""
    if not settings.demo and settings.site_config is None:
        raise Invalid(
            "Without the demo somebody must say who can sign in: name a file of the Hub's configuration "
            "in VAAS_SITE_CONFIG that sets c.JupyterHub.authenticator_class."
        )
    if settings.site_config is not None and not settings.site_config.is_file():
        raise Invalid(f"VAAS_SITE_CONFIG={settings.site_config} is no file.")


def check_installed(settings: Settings, environ: Mapping[str, str]) -> None:
    """Find what is not installed. Raises Invalid, with what to do."""
    if not settings.app_python.exists():
        raise Invalid(
            f"The app environment is missing: there is no {settings.app_python}. "
            "Run “make up”, which installs it, or set VAAS_APP_PYTHON."
        )
    find_proxy(settings, environ)
    if settings.site_config is None:  # else its spawner may run apps on other machines
        require(settings, environ)


def find_proxy(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return the node that runs the proxy. Raises Invalid where one of both is not installed."""
    if not settings.proxy_script.exists():
        raise Invalid(f"The proxy is not installed in {settings.proxy}. Run “make up”, which installs it.")
    return find_node(settings, environ)


def is_free(address: str, port: int) -> bool:
    """Tell whether nobody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port(first: int, taken: set[int] | frozenset[int] = frozenset()) -> int:
    """Return the first port from ``first`` on that is free on this machine."""
    return next(port for port in range(first, 65536) if port not in taken and is_free("127.0.0.1", port))


def reach(bind: str) -> str:
    """Return an address of this machine by which what listens on ``bind`` can be reached."""
    return "127.0.0.1" if bind in {"", "0.0.0.0", "localhost"} else "::1" if bind == "::" else bind


def listens(address: str, port: int) -> bool:
    """Tell whether something listens there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def all_answer(settings: Settings, note: Note) -> bool:
    """Tell whether Hub and portal answer where the supervisor noted that they are."""
    here, port = reach(settings.bind), note.ports["public"]
    return all(answers(here, port, url) for url in (urljoin(note.url, "/hub/api/"), note.url))


def answers(address: str, port: int, url: str) -> bool:
    """Tell whether the page itself comes, of the portal or the Hub (and not one of the Hub in the portal's stead)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", parts.path, headers={"Host": parts.netloc})
        answer = connection.getresponse()
        target = urlsplit(answer.getheader("Location") or "").path
        return answer.status == 200 or (answer.status in {302, 303} and not target.startswith("/hub/services/"))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
