"""The site's file of what it offers (``VAAS_FACILITIES``), read strictly: what is wrong is named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hub_service.environments import ensure_enterable, environments_folder
from hub_service.facilities_schema import KINDS
from hub_service.offered import default_offering
from hub_service.settings import Settings
from hub_service.toml_file import Table, TomlFile
from vaas.launching import Environment, Facility, Offering, Size
from vaas.portal.facilities import Site
from vaas.portal.offering import CONTAINERS

__all__ = ["DOWN", "UP", "Declared", "PortalElsewhere", "declared", "read_facilities"]

_HOW = "There are [site], [[portal]], [[size]], [[environment]] and [[facility]]."
_ID = re.compile(r"(?=.{1,40}\Z)[a-z](?:-?[a-z0-9])*")
#: “other” is what others may have.
_KINDS = KINDS[:-1]
#: Kinds of environments, and where each of them can be.
_RUNS_IN: Mapping[str, tuple[str, ...]] = {
    "python": ("local", "slurm", "htcondor"),
    "kernelspec": ("local", "slurm", "htcondor"),
    "image": CONTAINERS,
}
_HOME = "home"
_STORES = (_HOME, "shared")
_LOST = (
    'Say stores = ["home"], or interactive = false: in a container, what people write anywhere but in their home is '
    "gone when it ends."
)
UP, DOWN = "up", "down"
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_MEMORY = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([A-Za-z]{2,3})")
_MOST_HOURS, _MOST_COUNT = 8784, 10**7
#: What a site may say of a facility's hardware: in numbers, and in words.
_COUNTS, _WORDS = ("nodes", "cores", "gpus"), ("architecture", "processor", "accelerator", "network")
#: The key that says that environments of notebooks' own lie at a facility, too.
_SHARED = "environments_shared"
_SIZE = ("title", "cores", "memory", "gpus", "hours")
_ENVIRONMENT = ("kind", "title", "path", "image", "language", "packages", "probe")
_ABOUT = ("description", "hardware", "technology", "storage", "status", "note", "profile")
_FACILITY = ("title", "kind", "environments", "sizes", "groups", "stores", "interactive", "batch", _SHARED, *_ABOUT)
#: Kinds at which environments can lie that this machine makes.
_ELSEWHERE = ("slurm", "htcondor")
_STORAGE = ("title", "size", "protocols", "about")
#: Ids that mean the same at every site: packages of a notebook's own, and what all apps share.
_OWN, _COMMON = "beside", "apps"
_Named = TypeVar("_Named", Size, Environment, Facility)


@dataclass(frozen=True)
class PortalElsewhere:
    """Another site's portal, which is asked what that site offers."""

    title: str
    url: str


@dataclass(frozen=True)
class Declared:
    """All that the file says. Nobody has looked yet at its environments, and a pattern stands for all that fit it."""

    site: Site
    portals: tuple[PortalElsewhere, ...]
    offering: Offering


def _nobody(_host: str) -> Iterable[str]:
    return ()


def declared(
    settings: Settings, *, allowed: Iterable[str] = (), look_up: Callable[[str], Iterable[str]] = _nobody
) -> Declared:
    """Return what the site says; without a file, that this machine is offered. Otherwise as :func:`read_facilities`.

    Raises Invalid, too, where people's jobs are to have environments that they could not enter.
    """
    if settings.facilities is None:
        return Declared(Site(), (), default_offering(settings))
    found = read_facilities(settings.facilities, apps=settings.app_python, allowed=allowed, look_up=look_up)
    if any(each.environments_shared for each in found.offering.facilities):
        ensure_enterable(environments_folder(settings), why=_SHARED)
    return found


def read_facilities(
    path: Path, *, apps: Path, allowed: Iterable[str] = (), look_up: Callable[[str], Iterable[str]] = _nobody
) -> Declared:
    """Return what the file says.

    Parameters
    ----------
    apps:
        The Python of an environment that names none.
    allowed:
        Private hosts and networks in which other portals may be asked.
    look_up:
        Returns the addresses that a name leads to; by default nobody is asked for them.

    Raises
    ------
    Invalid
        It cannot be read, or something in it cannot be used; the message says in which line.
    """
    file = TomlFile(path, variable="VAAS_FACILITIES")
    file.only(("site", "portal", "size", "environment", "facility"), _HOW)
    sizes = _unique(file, "size", _size, _SIZE)
    environments = _unique(file, "environment", lambda table: _environment(table, apps), _ENVIRONMENT)
    facilities = _unique(file, "facility", lambda table: _facility(table, environments, sizes), _FACILITY)
    if not facilities:
        raise file.wrong(1, "It names no place to run. Begin one with [[facility]].")
    offering = Offering(tuple(facilities.values()), tuple(environments.values()), tuple(sizes.values()))
    return Declared(_site(file), _portals(file, allowed, look_up), offering)


def _unique(file: TomlFile, name: str, make: Callable[[Table], _Named], fields: Collection[str]) -> dict[str, _Named]:
    """Return what the tables of that name say, by id."""
    found: dict[str, _Named] = {}
    must = ("id", "title", *(("kind",) if "kind" in fields else ()))
    for table in file.tables(name, noun=name, known=("id", *fields), must=must):
        given = table.text("id")
        if not _ID.fullmatch(given):
            raise table.wrong("id", f"“{given}” is no id: use small letters, digits and single hyphens.")
        if given in found:
            raise table.wrong("id", f"There are two with the id “{given}”.")
        found[given] = make(table)
    return found


def _site(file: TomlFile) -> Site:
    table = file.table("site", noun="site", known=("name", "description", "contact", "url"), must=("name",))
    if table is None:
        return Site()
    url = table.address("url") if "url" in table.said else ""
    return Site(table.text("name"), table.text("description", most=2000), table.text("contact"), url)


def _portals(
    file: TomlFile, allowed: Iterable[str], look_up: Callable[[str], Iterable[str]]
) -> tuple[PortalElsewhere, ...]:
    return tuple(
        PortalElsewhere(each.text("title"), each.reached("url", allowed, look_up).rstrip("/") + "/")
        for each in file.tables("portal", noun="portal", known=("title", "url"), must=("title", "url"))
    )


def _size(table: Table) -> Size:
    return Size(
        id=table.text("id"),
        title=table.text("title"),
        cores=table.number("cores", Size.cores, least=0.1, most=10_000),
        memory=_memory(table, "memory") if "memory" in table.said else Size.memory,
        gpus=_count(table, "gpus"),
        seconds=round(3600 * table.number("hours", 0, least=0, most=_MOST_HOURS, unit="hours")),
    )


def _memory(table: Table, key: str) -> int:
    """Return the bytes that a text such as “2 GB” means."""
    found = _MEMORY.fullmatch(table.text(key))
    if found is None or found[2] not in _UNITS or not float(found[1]):
        raise table.wrong(key, f"“{key}” is written like “2 GB”, with one of {', '.join(_UNITS)}.")
    return round(float(found[1]) * _UNITS[found[2]])


def _count(table: Table, key: str) -> int:
    value = table.number(key, 0, least=0, most=_MOST_COUNT)
    if value != int(value):
        raise table.wrong(key, f"“{key}” is a whole number.")
    return int(value)


def _environment(table: Table, apps: Path) -> Environment:
    kind = table.choice("kind", tuple(_RUNS_IN))
    own, other = ("image", "path") if kind == "image" else ("path", "image")
    if other in table.said:
        raise table.wrong(other, f"An environment of kind “{kind}” has “{own}”, not “{other}”.")
    if own not in table.said and kind != "python":
        raise table.wrong("", f"This environment has no “{own}”.")
    where = _path(table) if kind != "image" and "path" in table.said else table.text("image", str(apps))
    # On clusters, the image with the environment of all apps is called so, too.
    taken = kind != "image" and (kind, where) != ("python", str(apps))
    if table.text("id") == _OWN or (table.text("id") == _COMMON and taken):
        of = "packages of a notebook’s own are" if table.text("id") == _OWN else "the environment of all apps is"
        raise table.wrong("id", f"“{table.text('id')}” is what {of} called everywhere: choose another id.")
    looked_at = table.flag("probe", kind != "image")
    if looked_at and (kind == "image" or "packages" in table.said):
        key = "probe" if "probe" in table.said else "packages"
        raise table.wrong(key, "Nobody looks into this: say “packages” for images, and with “probe = false”.")
    if not looked_at and "*" in where and kind != "image":
        raise table.wrong("path", "A path with “*” has to be looked at: leave “probe” out.")
    language = table.text("language", "python").lower()
    state = "unknown" if looked_at else "ready"
    return Environment(
        table.text("id"), table.text("title"), kind, where, language, packages=_packages(table), state=state
    )


def _path(table: Table) -> str:
    """Return an absolute path, perhaps a pattern. Nobody touches what is there: it may hang."""
    path = table.text("path", most=1000)
    if not path.startswith("/") or ".." in path.split("/"):
        raise table.wrong("path", f"“{path}” is no path from the root on.")
    if "**" in path or any(character in path for character in "?[]"):
        raise table.wrong("path", f"“{path}”: of patterns “*” alone is known, within one name.")
    return path


def _packages(table: Table) -> dict[str, str]:
    value = table.said.get("packages", {})
    usable = isinstance(value, dict) and all(isinstance(each, str) and len(each) < 100 for each in value.values())
    if not usable:
        raise table.wrong("packages", '“packages” is a table such as { numpy = "2.1", pandas = "" }.')
    return dict(value)


def _facility(table: Table, environments: Mapping[str, Environment], sizes: Mapping[str, Size]) -> Facility:
    kind = table.choice("kind", _KINDS)
    chosen = _known(table, "environments", environments)
    for each in chosen:
        if kind not in _RUNS_IN[environments[each].kind]:
            raise table.wrong("environments", _misplaced(environments[each], kind))
    stores = table.texts("stores", _STORES if kind == "local" else ())
    for store in stores:
        if store not in _STORES:
            raise table.wrong("stores", f"“{store}” is no store. There are {', '.join(_STORES)}.")
    interactive = table.flag("interactive", True)
    if kind in CONTAINERS and interactive and _HOME not in stores:
        raise table.wrong("stores", _LOST)
    return Facility(
        id=table.text("id"),
        title=table.text("title"),
        kind=kind,
        environments=chosen,
        sizes=_known(table, "sizes", sizes),
        groups=table.texts("groups"),
        stores=stores,
        interactive=interactive,
        batch=table.flag("batch", True),
        about=_about(table, kind),
        environments_shared=_shared(table, kind),
    )


def _shared(table: Table, kind: str) -> bool:
    if _SHARED in table.said and kind not in _ELSEWHERE:
        raise table.wrong(_SHARED, f"“{_SHARED}” is for batch systems: {' and '.join(_ELSEWHERE)}.")
    return table.flag(_SHARED, False)


def _misplaced(environment: Environment, kind: str) -> str:
    """Say what can be done about an environment that does not run at facilities of that kind."""
    where = " or ".join(_RUNS_IN[environment.kind])
    others = " or ".join(f"“{each}”" for each, places in _RUNS_IN.items() if kind in places)
    return (
        f"“{environment.id}” is of kind “{environment.kind}”, which does not run at a facility of kind “{kind}”. "
        f"Take it out of “environments” here, and name one of kind {others}; it runs at {where}."
    )


def _known(table: Table, key: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the ids, one at least, each of which is one that the file has."""
    ids = table.texts(key)
    if not ids:
        raise table.wrong(key, f"This facility has no “{key}”: name one at least.")
    for each in ids:
        if each not in known:
            raise table.wrong(key, f"There is no “{each}” among the {key}. There are {', '.join(known) or 'none'}.")
    return ids


def _about(table: Table, kind: str) -> dict[str, Any]:
    if "profile" in table.said and kind == "local":
        raise table.wrong("profile", "This machine’s spawner has no profiles.")
    said: dict[str, Any] = {
        "description": table.text("description", most=2000),
        "hardware": _hardware(table.inner("hardware", ("memory", *_COUNTS, *_WORDS))),
        "technology": list(table.texts("technology")),
        "storage": _storage(table),
        "status": table.choice("status", (UP, DOWN), UP),
        "note": table.text("note"),
        "profile": table.text("profile"),
    }
    return {name: value for name, value in said.items() if value}


def _hardware(table: Table) -> dict[str, Any]:
    memory = {"memory": _memory(table, "memory")} if "memory" in table.said else {}
    counts = {key: _count(table, key) for key in _COUNTS if key in table.said}
    return memory | counts | {key: table.text(key) for key in _WORDS if key in table.said}


def _storage(table: Table) -> list[dict[str, Any]]:
    made = []
    for each in table.inners("storage", _STORAGE, ("title",)):
        size = {"size": _memory(each, "size")} if "size" in each.said else {}
        words = {key: each.text(key) for key in ("title", "about") if key in each.said}
        made.append(words | size | {"protocols": list(each.texts("protocols"))})
    return made
