"""``vaas index``: makes the search index anew and shows how far it is, or has the stores swept and says how it went.

It speaks with the portal through their database, so it works where there are several, on whichever machines.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hub_service.application import make_core, make_index
from hub_service.running import is_held
from hub_service.settings import Settings
from vaas.db.base import Lease
from vaas.errors import Invalid, Unavailable
from vaas.portal import Core, Indexing
from vaas.portal.sweeping import want_sweep
from vaas.portal.work import INDEX, REPORT, SWEEP
from vaas.prose import clean_text

__all__ = ["Progress", "index", "slowest"]

_LOOK = 0.2
#: A portal that starts, or takes in very many changes, says within so many seconds that it follows.
_PATIENCE = 240.0


def index(settings: Settings, args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what was asked; 0 when it is done, 1 when the sweep could not be."""
    if not settings.secrets.is_dir():
        raise Invalid(f"{settings.data} is no data folder of VaaS. Say which one: vaas index --data FOLDER")
    # Nobody of the Hub is asked here.
    nobody = {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "JUPYTERHUB_API_TOKEN": ""}
    core = make_core(settings, {**nobody, **environ})
    shown = Progress(sys.stdout.isatty())
    if args.sweep:
        return _sweep(core, shown)
    if not _have_it_made(core, settings, shown):
        _make(core, settings, environ, shown)
    return 0


class Progress:
    """One line that says how far it is: over itself on a terminal, and elsewhere one every few seconds."""

    def __init__(self, on_terminal: bool, *, every: float = 2.0) -> None:
        self._on_terminal, self._every = on_terminal, 0.1 if on_terminal else every
        self._said, self._at, self._is_open = "", 0.0, False

    def show(self, done: int, of: int, what: str = "") -> None:
        """Say it, unless something was said just now."""
        said = f"{done:,} of {of:,}{f' {what}' if what else ''} …"
        if said == self._said or time.monotonic() - self._at < self._every:
            return
        self._said, self._at, self._is_open = said, time.monotonic(), self._on_terminal
        _say(f"\r{said:<60}" if self._on_terminal else said, end="" if self._on_terminal else "\n")

    def end(self, said: str) -> None:
        """Say how it ended, in a line of its own."""
        _say(f"\r{' ' * 60}\r{said}" if self._is_open else said)


def _say(text: str, *, end: str = "\n") -> None:
    """Print it; where nobody listens any more, as behind “| head”, what was begun is done all the same."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # What is still to be said, at the end of Python too, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _following(core: Core) -> list[Lease]:
    """Return the indexes that some process follows now."""
    with core.database.begin() as records:
        return [each for each in records.leases.all(INDEX) if each.until > core.now()]


def _have_it_made(core: Core, settings: Settings, shown: Progress) -> bool:
    """Let every portal process make its own anew, and wait until all have. False: there is none.

    Raises
    ------
    Unavailable
        There is one, which does nothing of the kind.
    """
    began = time.monotonic()
    if is_held(settings.run):
        _wait(lambda: _following(core), seconds=_PATIENCE, otherwise=_not_following(settings))
    elif not _following(core):
        return False
    with core.database.begin() as records:
        records.changes.begin_epoch()
        epoch = records.changes.epoch()
    while True:
        indexes = _following(core)
        if not indexes and is_held(settings.run):
            # Who is busy with it may say late that it still is.
            _wait(lambda: _following(core), seconds=_PATIENCE, otherwise=_not_following(settings))
            continue
        if not indexes:
            return False  # it had ended, without a word
        busy = [each for each in indexes if each.said.get("epoch") != epoch]
        if not busy:
            break
        if told := slowest(busy):
            shown.show(*told)
        time.sleep(_LOOK)
    entries = max(int(each.said.get("entries", 0)) for each in indexes)
    several = f" in each of {len(indexes)} portal processes" if len(indexes) > 1 else ""
    shown.end(f"The index is new: {entries:,} entries{several}, after {time.monotonic() - began:.1f} s.")
    return True


def slowest(busy: Sequence[Lease]) -> tuple[int, int] | None:
    """Return how far the one is that the others will wait for; None: none has said yet."""
    told = [(int(each.said["done"]), int(each.said["of"])) for each in busy if each.said.get("of")]
    return min(told, key=lambda one: one[0] / one[1], default=None)


def _not_following(settings: Settings) -> str:
    return f"The portal runs, but does not follow its index. Look into {settings.logs / 'hub.log'}, or restart it."


def _make(core: Core, settings: Settings, environ: Mapping[str, str], shown: Progress) -> None:
    """Make it in this process: no portal runs."""
    began, made = time.monotonic(), make_index(settings, environ)
    try:
        entries = Indexing(core, made).rebuild(told=shown.show)
    except ValueError as error:
        # The engine lets one process write.
        raise Unavailable(
            "The index cannot be written: another process does. Try again in a moment.", log_message=str(error)
        ) from error
    finally:
        made.close()
    shown.end(f"The index is new: {entries:,} entries, after {time.monotonic() - began:.1f} s.")


def _sweep(core: Core, shown: Progress) -> int:
    """Have the stores swept at once, and print what was skipped and why."""
    if not _sweeping(core):
        raise Unavailable("No portal runs that could look through the stores. Start it first: vaas up")
    asked = want_sweep(core)
    while (report := _report(core, asked)) is None:
        said = _sweeping(core)
        if said is None:
            raise Unavailable("The portal ended before the sweep did. Start it again, and try again.")
        if "of" in said.said:
            shown.show(int(said.said["done"]), int(said.said["of"]), "places")
        time.sleep(_LOOK)
    if report.get("failed"):
        shown.end("The stores could not be looked through; the portal's log says why.")
        return 1
    shown.end(
        f"Looked through {report['places']:,} places in {report['seconds']} s: {report['found']:,} files and folders "
        f"can be found, {report['looked']:,} of them new or different, {report['gone']:,} gone."
    )
    _print_skipped(report["skipped"])
    return 0


def _sweeping(core: Core) -> Lease | None:
    with core.database.begin() as records:
        return next(
            (each for each in records.leases.all(SWEEP) if each.name == SWEEP and each.until > core.now()), None
        )


def _report(core: Core, asked: str) -> Mapping[str, Any] | None:
    with core.database.begin() as records:
        return next((each.said for each in records.leases.all(REPORT) if each.holder == asked), None)


def _print_skipped(skipped: Sequence[Mapping[str, str]]) -> None:
    """Print them; what others wrote is shown to a terminal, so nothing in it may be a command to it."""
    if skipped:
        _say(f"\nSkipped ({len(skipped):,}):")
    for each in skipped:
        where = f"{each['place']}: {each['path']}" if each["path"] else each["place"]
        _say(f"  {clean_text(where)}: {clean_text(each['why'])}".replace("\n", " "))


def _wait(true: Callable[[], object], *, seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Unavailable(otherwise)
        time.sleep(_LOOK)
