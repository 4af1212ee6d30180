"""What an app may reach, as forms and REST say it, and as pages show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub_service.handlers.base import Page
from vaas.errors import Invalid
from vaas.model import Draft
from vaas.network import ALL, NOTHING, connects, entry_of, parse, text_of, within

__all__ = ["network_in_form", "network_in_json", "shown", "wanted"]


def network_in_form(page: Page) -> tuple[str, ...] | None:
    """Return what a form asks for: in ``network`` as a text, or by the choice ``reach``; None when it does not say.

    Raises Invalid.
    """
    text, hosts = page.get_body_argument("network", ""), page.get_body_argument("hosts", "")
    if text:
        return parse(text)
    fixed = {"none": NOTHING, "all": ALL, "": None}
    choice = page.get_body_argument("reach", "")
    if choice in fixed:
        return fixed[choice]
    if not hosts.strip():
        raise Invalid("Name at least one host, or choose “Nothing outside”.", field="network")
    return parse(hosts)


def network_in_json(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what ``network`` of a body asks for, a string or a list of strings; None without it. Raises Invalid."""
    said = body.get("network")
    if said is None:
        return None
    if isinstance(said, list) and all(isinstance(entry, str) for entry in said):
        return parse(" ".join(said))
    if not isinstance(said, str):
        raise Invalid("“network” must be a string or a list of strings.", field="network")
    return parse(said)


def shown(network: Iterable[str], *, site: Iterable[str]) -> dict[str, Any]:
    """Return what the fields need that ask what an app may reach."""
    asked, most = tuple(network), tuple(site)
    choice = "all" if asked == ALL else "hosts" if asked else "none"
    hosts = "" if choice == "all" else "\n".join(asked)
    return {"network": asked, "choice": choice, "hosts": hosts, "site": most, "left": within(asked, most)}


def wanted(draft: Draft, *, site: Iterable[str]) -> dict[str, Any]:
    """Return which hosts the check connected to that the draft may not reach, and the network that would let it.

    ``closed`` are those that the site lets no app reach, ``asked`` is the draft's own network as a text.
    """
    most = tuple(site)
    left = within(draft.network, most)
    found = draft.report.get("addresses") or []
    hosts = dict.fromkeys(one["host"] for one in found if one.get("how") == "connects" and one.get("host"))
    missing = {host: entry_of(host) for host in hosts if not connects(left, host)}
    can = [host for host, entry in missing.items() if entry and draft.network != ALL and within(entry, most)]
    closed = [host for host, entry in missing.items() if entry and host not in can]
    both = dict.fromkeys([*draft.network, *(missing[host][0] for host in can)])
    return {"hosts": can, "closed": closed, "network": text_of(both), "asked": text_of(draft.network)}
