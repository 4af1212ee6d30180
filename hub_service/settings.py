"""What an operator can set: frozen values, read once from environment variables that begin with ``VAAS_``."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vaas import network
from vaas.addresses import origin_of
from vaas.cookies import takes_secure
from vaas.errors import Invalid

__all__ = ["NOWHERE", "ROOT", "Settings", "find_node"]

#: The checkout (or the folder above the installed packages): where data and environments lie by default.
ROOT = Path(__file__).resolve().parent.parent
#: Stands among the kinds of facilities for none: of a spawner that runs app servers alone.
NOWHERE = "nowhere"
_NODE_AT_LEAST = 20
#: Isolate kernels where it works; refuse to start without; never isolate them.
#: Told to app servers, too.
_ENVIRONMENTS = "VAAS_ENVIRONMENTS_FOLDER"
_SANDBOX = ("auto", "required", "off")


@dataclass(frozen=True)
class Settings:
    """Everything that the Hub's configuration and the supervisor need to know.

    Ports other than ``port`` are for loopback only. ``hosted_proxy`` says that the supervisor runs the
    proxy, so that it outlives a Hub that dies; else the Hub starts it. ``local_apps`` says that app servers run
    on this machine, and ``launch_kinds`` at facilities of which kinds launches can be (none: of any); the Hub's
    configuration tells the portal both. ``network`` is the most that any app may reach.
    ``portal_bind``, ``portal_inside`` and ``proxy_inside`` are for portals whose proxy and app servers are on other
    machines: where it listens, and how they and it find each other ("": on this machine). ``environments`` is where
    environments of notebooks' own lie, None for within ``data``.
    """

    data: Path
    app_python: Path
    proxy: Path
    lab_python: Path = ROOT / ".venvs" / "lab" / "bin" / "python"
    host: str = "vaas.localhost"
    bind: str = "127.0.0.1"
    port: int = 8000
    hub_port: int = 8001
    portal_port: int = 8002
    proxy_port: int = 8003
    public_url: str = ""
    demo: bool = False
    demo_password: str = "demo"
    hosted_proxy: bool = False
    site_config: Path | None = None
    catalogs: Path | None = None
    facilities: Path | None = None
    environments: Path | None = None
    sandbox: str = "auto"
    network: tuple[str, ...] = network.ALL
    local_apps: bool = True
    launch_kinds: tuple[str, ...] = ("local",)
    portal_bind: str = "127.0.0.1"
    portal_inside: str = ""
    proxy_inside: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, root: Path = ROOT) -> Settings:
        """Read the settings; Invalid names the variable and the value that cannot be used."""
        port = _port(environ, "VAAS_PORT", 8000)
        host = environ.get("VAAS_HOST", "vaas.localhost").lower()
        return cls(
            data=_path(environ, "VAAS_DATA", root / "data"),
            app_python=_path(environ, "VAAS_APP_PYTHON", root / ".venvs" / "app" / "bin" / "python"),
            proxy=_path(environ, "VAAS_PROXY", _default_proxy(root)),
            lab_python=_path(environ, "VAAS_LAB_PYTHON", root / ".venvs" / "lab" / "bin" / "python"),
            host=host,
            bind=environ.get("VAAS_BIND", "127.0.0.1"),
            port=port,
            hub_port=_port(environ, "VAAS_HUB_PORT", port + 1),
            portal_port=_port(environ, "VAAS_PORTAL_PORT", port + 2),
            proxy_port=_port(environ, "VAAS_PROXY_PORT", port + 3),
            public_url=_url(environ, "VAAS_PUBLIC_URL", f"http://{host}:{port}"),
            demo=environ.get("VAAS_DEMO", "0") == "1",
            demo_password=environ.get("VAAS_DEMO_PASSWORD") or "demo",
            hosted_proxy=environ.get("VAAS_HOSTED_PROXY", "0") == "1",
            site_config=_path(environ, "VAAS_SITE_CONFIG", Path()) if environ.get("VAAS_SITE_CONFIG") else None,
            catalogs=_path(environ, "VAAS_CATALOGS", Path()) if environ.get("VAAS_CATALOGS") else None,
            facilities=_path(environ, "VAAS_FACILITIES", Path()) if environ.get("VAAS_FACILITIES") else None,
            environments=_path(environ, _ENVIRONMENTS, Path()) if environ.get(_ENVIRONMENTS) else None,
            sandbox=environ.get("VAAS_SANDBOX") or "auto",
            network=_network(environ.get("VAAS_NETWORK", "all")),
            local_apps=environ.get("VAAS_LOCAL_APPS", "1") == "1",
            launch_kinds=tuple(environ.get("VAAS_LAUNCH_KINDS", "local").split()),
            portal_bind=environ.get("VAAS_PORTAL_BIND") or "127.0.0.1",
            portal_inside=_url(environ, "VAAS_PORTAL_INSIDE", "") if environ.get("VAAS_PORTAL_INSIDE") else "",
            proxy_inside=_url(environ, "VAAS_PROXY_INSIDE", "") if environ.get("VAAS_PROXY_INSIDE") else "",
        ).checked()

    def checked(self) -> Settings:
        """Return the settings themselves; Invalid when one cannot be, or two do not go together."""
        if self.sandbox not in _SANDBOX:
            raise Invalid(f"VAAS_SANDBOX={self.sandbox} is none of {', '.join(_SANDBOX)}.")
        if self.demo and not _is_loopback(self.bind):
            raise Invalid(
                f"VAAS_DEMO=1 and VAAS_BIND={self.bind}: the demo's password is known to everybody, so it listens "
                "on loopback only. Set VAAS_BIND=127.0.0.1, or VAAS_DEMO=0 and an authenticator in VAAS_SITE_CONFIG."
            )
        ports = {
            "VAAS_PORT": self.port,
            "VAAS_HUB_PORT": self.hub_port,
            "VAAS_PORTAL_PORT": self.portal_port,
            "VAAS_PROXY_PORT": self.proxy_port,
        }
        for name, port in ports.items():
            twin = next((other for other, value in ports.items() if other != name and value == port), None)
            if twin:
                raise Invalid(f"{name} and {twin} are both {port}. Set one of them to another port.")
        return self

    def to_environ(self) -> dict[str, str]:
        """Return the variables from which :meth:`from_environ` reads these settings again."""
        values = {
            "VAAS_DATA": str(self.data),
            "VAAS_APP_PYTHON": str(self.app_python),
            "VAAS_LAB_PYTHON": str(self.lab_python),
            "VAAS_PROXY": str(self.proxy),
            "VAAS_HOST": self.host,
            "VAAS_BIND": self.bind,
            "VAAS_PORT": str(self.port),
            "VAAS_HUB_PORT": str(self.hub_port),
            "VAAS_PORTAL_PORT": str(self.portal_port),
            "VAAS_PROXY_PORT": str(self.proxy_port),
            "VAAS_PUBLIC_URL": self.public_url,
            "VAAS_DEMO": "1" if self.demo else "0",
            "VAAS_DEMO_PASSWORD": self.demo_password,
            "VAAS_HOSTED_PROXY": "1" if self.hosted_proxy else "0",
            "VAAS_SANDBOX": self.sandbox,
            "VAAS_NETWORK": network.text_of(self.network),
            "VAAS_LOCAL_APPS": "1" if self.local_apps else "0",
            "VAAS_LAUNCH_KINDS": " ".join(self.launch_kinds),
            "VAAS_PORTAL_BIND": self.portal_bind,
            "VAAS_PORTAL_INSIDE": self.portal_inside,
            "VAAS_PROXY_INSIDE": self.proxy_inside,
        }
        files = {
            "VAAS_SITE_CONFIG": self.site_config,
            "VAAS_CATALOGS": self.catalogs,
            "VAAS_FACILITIES": self.facilities,
            _ENVIRONMENTS: self.environments,
        }
        return values | {name: str(path) for name, path in files.items() if path}

    @property
    def domain(self) -> str:
        """The portal's own host name; apps live one label below it."""
        return urlsplit(self.public_url).hostname or self.host

    @property
    def origin(self) -> str:
        """Scheme and host of Hub and portal as browsers write them."""
        return origin_of(self.public_url)

    @property
    def secure(self) -> bool:
        """Whether browsers take Secure cookies from here, so those that no app's page can plant."""
        return takes_secure(self.public_url)

    @property
    def portal_url(self) -> str:
        """The portal's public address, with a slash at its end."""
        return f"{self.public_url}/services/vaas/"

    @property
    def portal_internal_url(self) -> str:
        """Where app servers reach the portal without the proxy, with a slash at its end."""
        return f"{self.portal_address}/services/vaas/"

    @property
    def portal_address(self) -> str:
        """Where the proxy and app servers find the portal's port."""
        return self.portal_inside or f"http://127.0.0.1:{self.portal_port}"

    @property
    def proxy_address(self) -> str:
        """Where the portal finds the proxy."""
        return self.proxy_inside or f"http://127.0.0.1:{self.port}"

    @property
    def secrets(self) -> Path:
        """The folder of secrets, for the operator's eyes only."""
        return self.data / "secrets"

    @property
    def logs(self) -> Path:
        """The folder of logs."""
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """The folder of what matters only while something runs; it can be left out of a backup."""
        return self.data / "run"

    @property
    def proxy_script(self) -> Path:
        """The proxy's program, which node runs."""
        return self.proxy / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"


def find_node(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return a node that can run the proxy: the named one, the one installed beside the proxy, the system's.

    Raises
    ------
    Invalid
        There is none, or the named one is too old.
    """
    named = environ.get("VAAS_NODE", "")
    found = shutil.which("node", path=environ.get("PATH"))
    candidates = [named] if named else [str(settings.proxy / "node"), *([found] if found else [])]
    for candidate in candidates:
        if _node_version(candidate) >= _NODE_AT_LEAST:
            return Path(candidate)
    raise Invalid(
        f"Node.js {_NODE_AT_LEAST} or later is needed for the proxy and was not found"
        f"{f' at VAAS_NODE={named}' if named else ''}. Install it, or run “make up”, which brings its own."
    )


def _node_version(command: str) -> int:
    try:
        answer = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=10, check=True)
        return int(answer.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def _default_proxy(root: Path) -> Path:
    beside = root / ".venvs" / "proxy"
    return beside if beside.is_dir() else Path(sys.prefix) / "share" / "vaas" / "proxy"


def _path(environ: Mapping[str, str], name: str, default: Path) -> Path:
    # Not resolved: the python of an environment is a link, and works only as one.
    return Path(environ.get(name) or default).expanduser().absolute()


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Invalid(f"{name}={text} is no port: give a number from 1 to 65535.")
    return int(text)


def _network(text: str) -> tuple[str, ...]:
    try:
        return network.parse(text)
    except Invalid as error:
        raise Invalid(f"VAAS_NETWORK={text[:100]}: {error.message}") from error


def _url(environ: Mapping[str, str], name: str, default: str) -> str:
    text = (environ.get(name) or default).rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise Invalid(f"{name}={text} is no address of a site: write it like https://vaas.example.org")
    return origin_of(text)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
