"""What the site offers, as its page shows it: ids become what they stand for, and numbers become words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hub_service.words import room_words, size_words
from vaas.addresses import check_url
from vaas.errors import Invalid
from vaas.launching import Size

__all__ = ["shown"]

_KINDS = {
    "local": "On the portal’s own machine",
    "slurm": "Slurm cluster",
    "htcondor": "HTCondor pool",
    "docker": "Docker",
    "kubernetes": "Kubernetes",
}
_ACCEPTS = {"interactive": "JupyterLab", "batch": "batch jobs"}
#: What of the hardware is a figure, and what is words.
_FIGURES = {
    "nodes": ("Nodes", "grid"),
    "cores": ("Cores", "chip"),
    "memory": ("Memory", "file"),
    "gpus": ("GPUs", "grid"),
}
_WORDS = {"processor": "Processor", "architecture": "Architecture", "accelerator": "Accelerators", "network": "Network"}
_STORES = {"home": "your files", "shared": "shared folders"}
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")


def shown(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's template names."""
    site = told["site"]
    return {
        "site": {**site, "contact_url": _contact(site["contact"])},
        "facilities": _facilities(told),
        "limits": told["limits"],
        "portals": [{**each, "facilities": _facilities(each), **_answered(each)} for each in told["portals"]],
    }


def _answered(portal: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether it ever answered, and what it said of itself then."""
    return {"answered": "facilities" in portal, "description": portal.get("site", {}).get("description", "")}


def _facilities(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    environments = {each["id"]: each for each in told.get("environments", ())}
    sizes = {each["id"]: each for each in told.get("sizes", ())}
    return [
        {
            **each,
            "kind_words": _KINDS.get(each["kind"], ""),
            "takes": " and ".join(_ACCEPTS[one] for one in each["accepts"]),
            "figures": _figures(each["hardware"]),
            "words": {title: each["hardware"][key] for key, title in _WORDS.items() if key in each["hardware"]},
            "storage": [{**one, "words": _storage(one)} for one in each["storage"]],
            "near": " and ".join(_STORES[one] for one in each["stores"]),
            "environments": [_environment(environments[one]) for one in each["environments"] if one in environments],
            "sizes": [{**sizes[one], "words": _size(sizes[one])} for one in each["sizes"] if one in sizes],
        }
        for each in told.get("facilities", ())
    ]


def _figures(hardware: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = ((*_FIGURES[key], key, hardware[key]) for key in _FIGURES if hardware.get(key))
    return [(title, icon, _bytes(value) if key == "memory" else f"{value:,}") for title, icon, key, value in found]


def _environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    language = environment["language"]
    name = language["name"]
    words = f"{name[:1].upper()}{name[1:]} {language['version']}".strip()
    packages = environment.get("packages") or {}
    return {**environment, "words": words, "packages": sorted(packages.items(), key=lambda one: one[0].casefold())}


def _size(size: Mapping[str, Any]) -> str:
    """Return "2 cores, 4 GB of memory, up to 8 hours"."""
    return room_words(Size("", "", size["cores"], size["memory"], size["gpus"], round(3600 * size["hours"])))


def _storage(storage: Mapping[str, Any]) -> str:
    """Return "1 PB, NFS, WebDAV"."""
    return ", ".join([*([_bytes(storage["size"])] if "size" in storage else []), *storage.get("protocols", ())])


def _bytes(size: float) -> str:
    return size_words(size).replace(".0 ", " ")


def _contact(contact: str) -> str:
    """Return where the site's own word for whom to ask leads to, "" for what is none."""
    if _MAIL.fullmatch(contact):
        return f"mailto:{contact}"
    try:
        return check_url(contact).geturl()
    except Invalid:
        return ""
