"""A launch in words and values: for REST, for the events of its page, and for the pages that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, urlencode

from hub_service.handlers.base import plain
from hub_service.words import room_words
from vaas.launching import Facility, Launch, Offering
from vaas.portal.choices import Choice
from vaas.portal.environments import own_title
from vaas.portal.standing import COPYING, ON_THE_WAY, Standing
from vaas.requirements import requirements_path

__all__ = ["WHERE", "anew_url", "copy_url", "event_json", "launch_json", "origin", "place_words", "places", "steps"]

#: What a form asks of each place; what is wrong with one of them is said at the place.
WHERE = ("environment", "size")
#: What a launch goes through, and what that is called; the second only for a result with data, the third only where
#: there is a queue.
_STEPS = (
    ("asked", "Asked for"),
    (COPYING, "Copying the result’s data"),
    ("queued", "Waiting in the queue"),
    ("starting", "Starting the server"),
    ("placing", "Placing your notebook"),
    ("ready", "JupyterLab"),
)
#: Kinds of places where one may have to wait.
_QUEUES = frozenset({"slurm", "htcondor", "kubernetes"})
_TOLD = ("id", "title", "asked", "facility", "environment", "size", "folder", "notebook", "created", "error")


def launch_json(now: Standing, *, base: str) -> dict[str, Any]:
    """Return the launch as REST shows it to its owner."""
    kept = asdict(now.launch)
    told = {name: kept[name] for name in _TOLD} | {"page": f"{base}launches/{now.launch.id}/"}
    told["asked"] = {name: value for name, value in now.launch.asked.items() if name not in {"given", "files"}}
    shown: dict[str, Any] = plain(
        told
        | event_json(now)
        | {"used": now.used, "memory": now.memory, "ended": now.end.id if now.end else "", "notice": now.notice}
    )
    return shown


def event_json(now: Standing) -> dict[str, Any]:
    """Return what changes while a launch is on its way."""
    things = now.launch.progress.get("things")
    return {
        "state": now.phase,
        "percent": now.percent,
        "message": now.message,
        "starts_in": now.starts_in,
        "things": plain(dict(things)) if isinstance(things, Mapping) else {},
        "url": now.url,
    }


def steps(now: Standing, facility: Facility | None) -> list[dict[str, str]]:
    """Return the steps on the way, each with how it stands: "done", "now" or "later"."""
    queues = now.phase == "queued" or (facility is not None and facility.kind in _QUEUES)
    left_out = {key for key, takes in (("queued", queues), (COPYING, now.copies)) if not takes}
    shown = [(key, text) for key, text in _STEPS if key not in left_out]
    keys = [key for key, _ in shown]
    at = keys.index(now.step) if now.phase in ON_THE_WAY else len(keys)
    order = ["done"] * at + ["now"] + ["later"] * len(keys)
    return [{"key": key, "text": text, "is": how} for (key, text), how in zip(shown, order, strict=False)]


def place_words(offering: Offering, launch: Launch) -> dict[str, str]:
    """Return where a launch runs in words; what the site no longer offers is told by its id."""
    facility, size = offering.facility(launch.facility), offering.size(launch.size)
    environment = offering.environment(launch.environment)
    asks = requirements_path({each["path"] for each in launch.asked.get("files", ())}, launch.asked.get("notebook", ""))
    own = own_title(launch.environment, asks)
    return {
        "facility": facility.title if facility else launch.facility,
        "environment": environment.title if environment else own or launch.environment,
        "size": f"{size.title}: {room_words(size)}" if size else launch.size,
    }


def origin(asked: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a launch is of, its page under the portal, and what it is called there."""
    if asked.get("app"):
        return "App", f"apps/{asked['app']}/", str(asked["app"])
    if asked.get("path"):
        return "Notebook", f"files/{asked['store']}/{quote(asked['path'])}", str(asked["path"])
    if asked.get("run"):
        return "Result", f"runs/{asked['run']}/", "The run, and what came of it"
    return "Basket", f"basket/{asked.get('basket') or 'current'}", "What is in it now"


def copy_url(offering: Offering, launch: Launch) -> str:
    """Return where the working copy lies in the person's files; "" where these are not at the facility."""
    facility = offering.facility(launch.facility)
    return f"files/home/{quote(launch.folder)}" if launch.folder and facility and "home" in facility.stores else ""


def anew_url(launch: Launch) -> str:
    """Return where the same can be launched with other choices; what a running app gave goes along again."""
    asked = launch.asked
    said = {name: asked[name] for name in ("store", "path", "copy", "run", "basket") if asked.get(name)}
    said |= {"given": launch.id} if asked.get("app") and asked.get("given") else {}
    query = f"?{urlencode(said)}" if said else ""
    return f"apps/{asked['app']}/launch{query}" if asked.get("app") else f"launch{query}"


def places(choices: Iterable[Choice]) -> list[dict[str, Any]]:
    """Return the choices as a form asks for them: place by place, with what there is in each, in their order."""
    found: dict[str, list[Choice]] = {}
    for each in choices:
        found.setdefault(each.facility.id, []).append(each)
    return [_place(these) for these in found.values()]


def _place(these: list[Choice]) -> dict[str, Any]:
    best = next((each for each in these if each.possible), these[0])
    lacks = best.facility.lacks_sizes
    # What holds for a size says nothing of an environment, nor the other way round.
    environments = _options((each for each in these if each.size.id not in lacks), "environment")
    sizes = [_size(each, lacks.get(each["value"].id, "")) for each in _options(these, "size")]
    order = [*best.facility.sizes, *lacks]
    return {
        "facility": best.facility,
        "why_not": "" if best.possible else best.why_not,
        "environments": environments,
        # The best is chosen already; people look for them in the site's order, from small to large.
        "sizes": sorted(sizes, key=lambda each: order.index(each["value"].id)),
        "environment": best.environment.id,
        "size": best.size.id,
        "missing": best.missing or (),
    }


def _size(option: dict[str, Any], why_not: str) -> dict[str, Any]:
    return {**option, "why_not": why_not, "words": room_words(option["value"])}


def _options(these: Iterable[Choice], name: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for each in these:
        value = getattr(each, name)
        first = found.setdefault(
            value.id,
            {
                "value": value,
                "why_not": each.why_not,
                "missing": each.missing or (),
                "unread": each.unread,
                "short": each.short,
            },
        )
        first["why_not"] = first["why_not"] and each.why_not
    return list(found.values())
