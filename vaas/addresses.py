"""Which addresses the portal may connect to: pure rules; ``vaas.http`` applies them to every connection."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from vaas.errors import Invalid, Unavailable

__all__ = ["AddressRules", "check_url", "follow", "is_localhost", "is_public", "origin_of", "port_of"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
#: IPv6 addresses that stand for the IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Public by its number, but a cloud's own door to its machines.
_METADATA = frozenset({ipaddress.IPv4Address("168.63.129.16")})
#: What may stand in a path or query as it is; "%" because the rest may be quoted already.
_SAFE = "/%:@!$&'()*+,;=~-._?"


def check_url(url: str) -> SplitResult:
    """Return the parts of a web address in its one form: host in lower case and ASCII, no fragment.

    Raises
    ------
    Invalid
        It is not http or https, has no host, or holds a user name, a password or a character that cannot be.
    """
    text = url.strip()
    if "\\" in text or any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in text):
        raise Invalid("This web address holds characters that cannot be used.")
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode()
        port = parts.port
    except ValueError as exc:
        raise Invalid("This is not a web address.") from exc
    if parts.scheme not in _PORTS or not host or port == 0 or any(c in ' %"<>' for c in host):
        raise Invalid("This is not a web address: it has to begin with https:// and a host.")
    if "@" in parts.netloc:
        raise Invalid("Leave the user name and the password out of the address: there are fields for them.")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        netloc += f":{port}"
    path, query = quote(parts.path, safe=_SAFE) or "/", quote(parts.query, safe=_SAFE)
    return SplitResult(parts.scheme, netloc.lower(), path, query, "")


def port_of(parts: SplitResult) -> int:
    """Return the port that the address means."""
    return parts.port or _PORTS[parts.scheme]


def origin_of(url: str) -> str:
    """Return scheme and host of an address as browsers write them in ``Origin``: small, without the usual port."""
    parts = urlsplit(url.lower())
    usual = f":{_PORTS.get(parts.scheme)}"
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"


def follow(current: SplitResult, location: str) -> SplitResult:
    """Return where a redirect leads; Unavailable when that is another scheme, host or port."""
    try:
        target = check_url(urljoin(current.geturl(), location))
    except Invalid as exc:
        raise Unavailable(f"“{current.netloc}” sends the request on to an address that cannot be used.") from exc
    if (target.scheme, target.netloc) != (current.scheme, current.netloc):
        raise Unavailable(
            f"“{current.netloc}” sends the request on to {target.scheme}://{target.netloc}. "
            "If that is the right place, use its address instead."
        )
    return target


def is_localhost(host: str) -> bool:
    """Tell whether ``host`` is "localhost" or a name under it, which always means this machine (RFC 6761)."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def is_public(address: str) -> bool:
    """Tell whether an IP address is somewhere on the open internet."""
    ip = _plain(address)
    if ip.is_multicast or ip.is_reserved or ip.is_link_local or ip in _METADATA:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:
        return False
    return ip.is_global


def _plain(address: str) -> _Address:
    """Return the address, or the IPv4 address that it carries: else ::ffff:127.0.0.1 would slip through."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


class AddressRules:
    """What configuration allows beyond public addresses.

    Entries are networks ("10.0.0.0/8"), addresses or host names; the latter two may have a port
    ("127.0.0.1:8090", "[::1]:8090", "nas.example.org:443") and then allow only that one.
    A value that is none of these is a ValueError.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[tuple[_Network, int]] = []
        self._names: set[tuple[str, int]] = set()
        for entry in entries:
            try:
                self._networks.append((ipaddress.ip_network(entry, strict=False), 0))
            except ValueError:
                self._add_host(entry)

    def _add_host(self, entry: str) -> None:
        parts = urlsplit(f"//{entry}")
        if not parts.hostname or parts.netloc != entry or "@" in entry:
            raise ValueError(f"{entry!r} is neither a host nor a network.")
        try:
            self._networks.append((ipaddress.ip_network(parts.hostname), parts.port or 0))
        except ValueError:
            self._names.add((parts.hostname.rstrip("."), parts.port or 0))

    def names(self, host: str, port: int) -> bool:
        """Tell whether this name is listed: then it may lead anywhere."""
        name = host.rstrip(".").lower()
        return bool(self._names & {(name, port), (name, 0)})

    def allows(self, address: str, port: int) -> bool:
        """Tell whether an IP address may be connected to."""
        ip = _plain(address)
        return is_public(address) or any(ip in net and wanted in {0, port} for net, wanted in self._networks)

    def trusts(self, parts: SplitResult) -> bool:
        """Tell whether configuration itself lists the address's host: by its name, or as a literal address."""
        host, port, address = parts.hostname or "", port_of(parts), _literal(parts.hostname or "")
        if not address:
            return self.names(host, port)
        return self.names(host, port) or (self.allows(address, port) and not is_public(address))

    def refuses(self, parts: SplitResult, look_up: Callable[[str], Iterable[str]] = lambda host: ()) -> bool:
        """Tell whether it is certain that the address's host may not be connected to.

        ``look_up`` returns the addresses that a name leads to; of a name of which it knows none, nothing is certain.
        """
        host, port = parts.hostname or "", port_of(parts)
        if self.names(host, port):
            return False
        literal = _literal(host)
        found = [literal] if literal else [*look_up(host)]
        return bool(found) and not any(self.allows(each, port) for each in found)


def _literal(host: str) -> str:
    """Return the address that the host is by itself; "" for a name that somebody has to be asked for."""
    try:
        return "127.0.0.1" if is_localhost(host) else str(ipaddress.ip_address(host))
    except ValueError:
        return ""
