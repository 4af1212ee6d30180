"""Runs, their forms and schedules, as REST shows them to whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote

from hub_service.handlers.base import plain
from hub_service.recurring import words_of
from hub_service.timetable import zone_of
from vaas.launching import Run, Schedule
from vaas.portal.run_forms import Form
from vaas.portal.run_schedules import asked_for

__all__ = ["form_json", "progress_words", "result_url", "run_json", "schedule_json"]

_NAMES = ("id", "title", "state", "error", "created", "started", "ended", "environment", "size", "facility")


#: What is told of how far it is; what else is kept there is the portal's.
_PROGRESS = ("cell", "of", "message", "starts_in")


def progress_words(run: Run) -> str:
    """Say how far a run is that is not over."""
    progress = run.progress
    begun = f"Cell {progress.get('cell', 0)} of {progress['of']} is running." if progress.get("of") else "It starts."
    words = str(progress.get("message") or (begun if run.state == "running" else "It waits for its turn."))
    starts_in = progress.get("starts_in")
    if run.state != "queued" or not isinstance(starts_in, int | float):
        return words
    minutes = max(1, round(starts_in / 60))
    unit = "minute" if minutes == 1 else "minutes"
    estimate = f"about {minutes} {unit}" if minutes < 120 else f"about {round(minutes / 60)} hours"
    return f"{words} It starts in {estimate}."


def run_json(run: Run, *, base: str) -> dict[str, Any]:
    """Return a run; ``result`` is null until it is there, ``words`` say how far it is."""
    shown: Mapping[str, Any] = {name: plain(getattr(run, name)) for name in (*_NAMES, "series", "schedule")}
    result = {"store": run.result_store, "path": run.result_path, "notebook": run.executed}
    result["url"] = base + result_url(run)
    return {
        **shown,
        "parameters": plain(dict(run.parameters)),
        "asked": plain(dict(run.asked)),
        "notebook": run.snapshot.notebook,
        "version": run.snapshot.hash,
        "progress": {name: run.progress[name] for name in _PROGRESS if name in run.progress},
        "words": "" if run.over else progress_words(run),
        "result": result if run.result_store else None,
        "shared_with": list(run.shared_with),
        "url": f"{base}runs/{run.id}/",
    }


def result_url(run: Run) -> str:
    """Return where the folder of the result is shown, below the portal's address."""
    return f"files/{quote(run.result_store)}/{quote(run.result_path)}"


def schedule_json(schedule: Schedule, times: Sequence[datetime]) -> dict[str, Any]:
    """Return a schedule; ``due`` is its next time, null when it has ``ended``, and ``when`` says the times in words.

    ``times`` are the next few, which are told in its own zone. ``left_out`` says of its last time "at" and "why", where
    that was left out.
    """
    names = ("id", "title", "cron", "zone", "created", "until", "due", "environment", "size", "facility")
    shown = {name: plain(getattr(schedule, name)) for name in names}
    kept: dict[str, Any] = {"parameters": plain(dict(schedule.parameters)), "asked": plain(asked_for(schedule))}
    kept |= {"ended": str(schedule.asked.get("ended", "")), "left_out": schedule.asked.get("left_out")}
    kept["next"] = [each.astimezone(zone_of(schedule.zone)).isoformat() for each in times]
    when = words_of(schedule.cron, schedule.zone)
    return {**shown, **kept, "when": when, "notebook": schedule.snapshot.notebook}


def form_json(form: Form) -> dict[str, Any]:
    """Return what is asked before a notebook is run, and where it can be, the best first."""
    possible = [each for each in form.choices if each.possible]
    places: dict[str, dict[str, Any]] = {}
    for each in possible:
        facility = each.facility
        place = places.setdefault(facility.id, {"id": facility.id, "title": facility.title})
        for name, id in (("environments", each.environment.id), ("sizes", each.size.id)):
            place[name] = list(dict.fromkeys([*place.get(name, []), id]))
    closed = {each.facility.id: each for each in form.choices if each.facility.id not in places}
    return {
        "title": form.title,
        "notebook": form.notebook,
        "fields": [{**plain(asdict(each)), "slot": each.slot} for each in form.fields],
        "facilities": list(places.values()),
        "closed": [{"id": id, "title": each.facility.title, "why": each.why_not} for id, each in closed.items()],
        "sizes": list({each.size.id: plain(asdict(each.size)) for each in possible}.values()),
    }
