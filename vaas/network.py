"""What an app may reach of the network: nothing, named hosts, or all; kept as a tuple of entries.

``()`` is nothing, ``("*",)`` all; else each entry is ``example.org``, ``*.example.org`` (any name below it) or an
address, and may name its one port.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from vaas.errors import Invalid

__all__ = ["ALL", "MOST", "NOTHING", "connects", "entry_of", "parse", "permits", "text_of", "within", "words"]

NOTHING: tuple[str, ...] = ()
ALL = ("*",)
#: How many hosts one app may name.
MOST = 50
_LONGEST = 260
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
#: What old resolvers read as an IPv4 address in one of its many spellings.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


def parse(text: str) -> tuple[str, ...]:
    """Return the entries that a person wrote: "none" or nothing, "all", or hosts with blanks or commas between.

    Raises
    ------
    Invalid
        An entry is no host, stands beside "all" or "none", or there are too many; ``field`` is "network".
    """
    said = text.replace(",", " ").split()
    whole = {"none": NOTHING, "all": ALL, "*": ALL}
    if not said:
        return NOTHING
    if len(said) == 1 and said[0].lower() in whole:
        return whole[said[0].lower()]
    for entry in said:
        if entry.lower() in whole:
            raise Invalid(f"“{entry}” stands alone: leave it out, or leave the hosts out.", field="network")
    entries = tuple(dict.fromkeys(_entry(entry) for entry in said))
    if len(entries) > MOST:
        raise Invalid(f"An app can name {MOST} hosts at most. Use *.example.org for many at once.", field="network")
    return entries


def entry_of(host: str) -> tuple[str, ...]:
    """Return the entry for a host of a report, which comes from where foreign code runs; none if it is no host."""
    try:
        entries = parse(host)
    except Invalid:
        return NOTHING
    return NOTHING if entries == ALL or len(entries) != 1 else entries


def text_of(network: Iterable[str]) -> str:
    """Return what :func:`parse` reads as these entries again."""
    entries = tuple(network)
    return "all" if entries == ALL else " ".join(entries) or "none"


def permits(network: Iterable[str], host: str, port: int) -> bool:
    """Tell whether a connection to ``host`` and ``port`` may be made; an address is let through only by itself."""
    name = _host(host)
    return bool(name) and any(entry == "*" or _covers(_split(entry), (name, port)) for entry in network)


def connects(network: Iterable[str], host: str) -> bool:
    """Tell whether ``host`` may be reached at one port at least."""
    name = _host(host)
    return any(entry == "*" or _covers((_split(entry)[0], 0), (name, 0)) for entry in network)


def within(asked: Iterable[str], site: Iterable[str]) -> tuple[str, ...]:
    """Return what the owner asked for and the site lets through as well: no more than either says."""
    wanted, allowed = tuple(asked), tuple(site)
    if allowed == ALL:
        return wanted
    if wanted == ALL:
        return allowed
    both = (_meet(_split(one), _split(other)) for one in wanted for other in allowed)
    return tuple(dict.fromkeys(entry for entry in both if entry))


def words(network: Iterable[str]) -> str:
    """Say it in the words of the interface."""
    entries = tuple(network)
    if entries == ALL:
        return "Anything on the internet"
    return ", ".join(entries) or "Nothing outside"


def _entry(said: str) -> str:
    """Return one entry in its one form. Raises Invalid."""
    if len(said) <= _LONGEST and "/" not in said and "@" not in said:
        host, port = _split(said)
        below = host.startswith("*.")
        name = _host(host.removeprefix("*."))
        if name and port >= 0 and not (below and _is_address(name)):
            shown = f"[{name}]" if ":" in name else f"*.{name}" if below else name
            return f"{shown}:{port}" if port else shown
    shown = "".join(c for c in said[:80] if c.isprintable())
    raise Invalid(f"“{shown}” is no host. {_instead(said)}", field="network")


def _instead(said: str) -> str:
    """Say what to write: of a web address its host, of something else an example."""
    try:
        name = _host(urlsplit(said).hostname or "") if len(said) < 2000 and "://" in said else ""
    except ValueError:
        name = ""
    return f"Write only {name}." if name else "Write names such as example.org, *.example.org or example.org:8443."


def _split(entry: str) -> tuple[str, int]:
    """Return host and port of an entry; port 0 for any, -1 for one that cannot be."""
    if entry.startswith("["):
        host, closed, rest = entry[1:].partition("]")
        said = rest.removeprefix(":")
        if not closed or (rest and (not rest.startswith(":") or not said)):
            return host, -1
    elif entry.count(":") == 1:
        host, _, said = entry.partition(":")
        said = said or "0"
    else:
        return entry, 0
    if not said:
        return host, 0
    port = int(said) if said.isascii() and said.isdecimal() and len(said) <= 5 else -1
    return host, port if 0 < port < 65536 else -1


def _host(said: str) -> str:
    """Return a host's one form: an address shortened, a name in ASCII and lower case; "" for what is neither."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(said.removeprefix("[").removesuffix("]"))
        return "" if getattr(address, "scope_id", None) else address.compressed
    if len(said) > _LONGEST:
        return ""
    try:
        name = said.removesuffix(".").encode("idna").decode().lower()
    except UnicodeError:
        return ""
    return name if _NAME.fullmatch(name) and not _NUMBER.fullmatch(name) else ""


def _is_address(name: str) -> bool:
    return ":" in name or name.rpartition(".")[2].isdecimal()


def _covers(entry: tuple[str, int], place: tuple[str, int]) -> bool:
    """Tell whether all of ``place`` is within ``entry``; a port of 0 is any."""
    (host, port), (name, at) = entry, place
    below = host.startswith("*.") and name.endswith(host[1:])
    return bool(name) and (name == host or below) and port in {0, at}


def _meet(one: tuple[str, int], other: tuple[str, int]) -> str:
    """Return the entry for what is in both, "" when that is nothing."""
    hosts = [a for a, b in ((one[0], other[0]), (other[0], one[0])) if _covers((b, 0), (a, 0))]
    ports = {one[1], other[1]} - {0}
    if not hosts or len(ports) > 1:
        return ""
    host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    return f"{host}:{ports.pop()}" if ports else host
