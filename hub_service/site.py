"""What a site says by environment variables about its apps, and in words what is wrong with it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from urllib.parse import urlsplit

from hub_service.settings import Settings
from vaas.addresses import AddressRules
from vaas.cookies import takes_secure
from vaas.errors import Invalid
from vaas.network import ALL
from vaas.portal import Limits
from vaas.portal.walks import Bounds

__all__ = ["allowed_private", "bounds", "frame_ancestors", "limits", "look_up", "picture_sources", "runs_network"]

#: The origin of a site, or of all below one, as a content security policy takes it.
_ANCESTOR = re.compile(r"https?://(\*\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::[0-9]{1,5})?")
#: Seconds for which a name server is waited for.
_AT_ONCE = 2.0
#: Limits of which 0 would let nobody in, or nothing run.
_AT_LEAST_ONE = frozenset(
    {"visits", "cell_seconds", "check_seconds", "output", "ticket_seconds", "lost_after", "heartbeat", "server_memory"}
    | {"probe_seconds", "kernel_memory", "kernel_disk", "kernel_file", "kernel_open_files", "kernel_cpu"}
)


def allowed_private(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the private hosts and networks that may be connected to. Raises Invalid for what is neither."""
    said = tuple(environ.get("VAAS_ALLOWED_PRIVATE", "").replace(",", " ").split())
    for each in said:
        try:
            AddressRules([each])
        except ValueError as error:
            what = "is neither a host nor a network. Write it like nas.example.org, 127.0.0.1:8090 or 10.0.0.0/8."
            raise Invalid(f"VAAS_ALLOWED_PRIVATE: {each} {what}") from error
    return said


def look_up(host: str) -> tuple[str, ...]:
    """Return the addresses that a name leads to; () when nobody says so at once."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))

    # A name server that is silent is waited for by nobody: such a question cannot be called off.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_AT_ONCE)
    return tuple(found)


def picture_sources(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return where apps may load pictures from. Raises Invalid for what would end or widen the policy."""
    text = environ.get("VAAS_PICTURE_SOURCES", "https:")
    if any(c in text for c in ";,\n\r'\""):
        raise Invalid(f"VAAS_PICTURE_SOURCES={text}: write hosts or schemes with blanks between, such as “https:”.")
    return tuple(text.split())


def frame_ancestors(environ: Mapping[str, str], *, public_url: str) -> tuple[str, ...]:
    """Return the origins of the sites that may show apps in a frame.

    Raises
    ------
    Invalid
        One is no origin or holds apps itself, or browsers would keep the visit's cookie out of the frame.
    """
    text = environ.get("VAAS_FRAME_ANCESTORS", "")
    own = urlsplit(public_url).hostname or ""
    for origin in text.split():
        fitting = _ANCESTOR.fullmatch(origin)
        if fitting is None:
            raise Invalid(f"VAAS_FRAME_ANCESTORS: {origin} is no origin. Write it like https://lms.example.org")
        any_below, host = fitting.groups()
        if host.endswith(f".{own}") or (any_below and f".{own}".endswith(f".{host}")):
            raise Invalid(f"VAAS_FRAME_ANCESTORS: {origin} holds the apps themselves, which must not frame each other.")
    if text.split() and not takes_secure(public_url):
        raise Invalid("VAAS_FRAME_ANCESTORS: browsers keep cookies in frames over https alone. Set VAAS_PUBLIC_URL.")
    return tuple(text.split())


def limits(environ: Mapping[str, str]) -> Limits:
    """Return the site's limits: each can be set as VAAS_LIMIT_<NAME>. Raises Invalid for one that is none."""
    names = {f"VAAS_LIMIT_{name.upper()}" for name in Limits.__dataclass_fields__}
    for name in environ:
        if name.startswith("VAAS_LIMIT_") and name not in names:
            near = " or ".join(get_close_matches(name, sorted(names), n=2))
            cure = f"Is it {near}?" if near else f"There are {', '.join(sorted(names))}."
            raise Invalid(f"There is no limit {name}. {cure}")
    said = {name: environ.get(f"VAAS_LIMIT_{name.upper()}", "") for name in Limits.__dataclass_fields__}
    for name, text in said.items():
        if text and not text.isdecimal():
            raise Invalid(f"VAAS_LIMIT_{name.upper()}={text} is not a whole number of 0 or more.")
        if text and not int(text) and name in _AT_LEAST_ONE:
            raise Invalid(f"VAAS_LIMIT_{name.upper()}=0 would let nothing happen. The least is 1.")
    return Limits(**{name: int(text) for name, text in said.items() if text})


#: What of the harvest a site may set: the variable's end → what it is called here.
_HARVEST = {
    "SECONDS": "every",
    "HERE": "every_here",
    "FILES": "files",
    "DEPTH": "depth",
    "PATIENCE": "patience",
    "COPIED": "copied",
}


def bounds(environ: Mapping[str, str]) -> Bounds:
    """Return how much of the stores is looked at: some of it can be set as VAAS_HARVEST_<NAME>. Raises Invalid."""
    found: dict[str, int] = {}
    for name, text in environ.items():
        ending = name.removeprefix("VAAS_HARVEST_")
        if ending == name:
            continue
        if ending not in _HARVEST:
            raise Invalid(f"There is no {name}. There are {', '.join(f'VAAS_HARVEST_{each}' for each in _HARVEST)}.")
        if text and not (text.isdecimal() and text.isascii() and int(text[:12]) > 0 and len(text) <= 12):
            raise Invalid(f"{name}={text} is not a whole number of 1 or more.")
        if text:
            found[_HARVEST[ending]] = int(text)
    return Bounds(**found)


def runs_network(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Tell whether runs on this machine have its network, or none: a job has no gate that could tell hosts apart.

    Raises
    ------
    Invalid
        It is neither, or nothing here could keep the network from them.
    """
    said = environ.get("VAAS_RUN_NETWORK", "")
    if said not in {"", "all", "none"}:
        raise Invalid(
            f"VAAS_RUN_NETWORK={said[:100]} cannot be: runs have all of the network or none. Write all or none."
        )
    if said == "none" and settings.sandbox == "off":
        raise Invalid("VAAS_RUN_NETWORK=none takes a sandbox, and VAAS_SANDBOX is off. Leave one of them out.")
    return said == "all" if said else settings.network == ALL
