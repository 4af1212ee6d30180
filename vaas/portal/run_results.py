"""What came of a run, brought into its owner's own store, whole or not at all, and told to who wants to know."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from vaas import housekeeping
from vaas.errors import Conflict, StorageFull, Unavailable, VaasError
from vaas.launching import Run, Schedule
from vaas.model import User
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.run_folders import Spool, about
from vaas.prose import clean_text
from vaas.stores.base import Store

__all__ = ["Post", "Results", "Sent", "folder_name", "is_of"]

_log = logging.getLogger("vaas")
#: The folder of all results in a person's store.
_TOP = "Runs"
_MOST_SAME = 1000
#: Characters of a folder's name, and bytes: of some letters each has four, and a name on a disk has 255.
_LONGEST, _BYTES = 80, 200
_WORDS = {"done": "is done", "failed": "failed", "cancelled": "was cancelled"}


class Post(Protocol):
    """What sends e-mail."""

    def takes(self, address: str) -> bool:
        """Tell whether it sends to this address."""

    def send(self, address: str, subject: str, text: str) -> Awaitable[None]:
        """Send it. Raises Unavailable."""


@dataclass(frozen=True)
class Sent:
    """When an e-mail was sent last, and why it could not be ("": it was)."""

    when: datetime
    why: str = ""


class Results:
    """Brings results, and tells of them."""

    def __init__(self, core: Core, spool: Spool, post: Post | None = None) -> None:
        self._core, self._spool, self.post = core, spool, post
        #: What became of the last e-mail of this process; None: there was none.
        self.sent: Sent | None = None
        #: How many were sent for whom, and on which day.
        self._told, self._day = Counter[str](), core.now().date()

    async def bring(self, run: Run) -> Run:
        """Return the run that is over with the folder in which its results are.

        Where that cannot be, what the store says is raised, and the results stay in the spool; after some days the run
        ends with them in the home, or without.
        """
        user = await self._core.directory.user(run.owner)
        if user is None or not self._spool.is_ready(run):
            return run
        environment = Environments(self._core).offering(run.asked, run.snapshot).environment(run.environment)
        result = await self._spool.result(run, about(run, environment=environment))
        said = [run.error] if run.error else []
        for store in self._places(user, run):
            try:
                path = await self._brought(store, run, result)
            except VaasError as error:
                if self._waits(run, store, error):
                    raise _kept(error) from error
                said.append(f"The results could not be kept in “{store.title}”: {error.message}")
                continue
            self._core.written(user, store.id, path)
            return replace(run, error=" ".join(said), result_store=store.id, result_path=path)
        return replace(run, error=" ".join(said) or "There is no place for files in which its results could be kept.")

    def _places(self, user: User, run: Run) -> list[Store]:
        """Return where its results may go: the account that the notebook is from, if it is from one; the home."""
        stores = self._core.stores.of(user)
        from_here = [store for store in stores if not store.here and store.id == run.asked.get("store")]
        return [*from_here, *stores[:1]]

    def _waits(self, run: Run, store: Store, error: VaasError) -> bool:
        """Tell whether it is tried again: for some days, but not with an account that says no for good."""
        if not run.ended or self._core.now() - run.ended >= timedelta(days=self._core.limits.run_days):
            return False
        return store.here or isinstance(error, StorageFull | Unavailable)

    def tell(self, run: Run) -> None:
        """Send an e-mail to who asked for one, in the background; no-op when nobody did.

        For the runs over one table it is one, when the last of them has ended.
        """
        if not self._hears(run):
            return
        said, error, page = f"“{run.title}” {_WORDS[run.state]}.", run.error, f"runs/{run.id}/"
        if run.series:
            same = self._series(run)
            if not all(each.over for each in same):
                return
            said, error, page = _all_ended(run.series_title, same), "", f"runs/series/{run.series}"
        self._tell(run, said, error, page)

    def tell_of_end(self, schedule: Schedule, why: str) -> None:
        """Send an e-mail to who asked for some about its runs, in the background: there will be none any more."""
        self._tell(schedule, f"The schedule of “{schedule.title}” has ended.", why, "runs/#schedules")

    def _tell(self, of: Run | Schedule, said: str, error: str, page: str) -> None:
        address = self._hears(of)
        if self.post is None or not address or not self._may_tell(of.owner):
            return
        look = f"Look at it: {self._core.public_url}{page}"
        lines = [said, *([error] if error else []), look, "", f"{of.owner} asked the portal to tell this address."]
        self._core.spawn(self._send(self.post, address, said, "\n".join(lines)))

    def _hears(self, of: Run | Schedule) -> str:
        """Return the address that is told of it, "" for none."""
        address = str(of.asked.get("email", ""))
        return address if self.post is not None and address and self.post.takes(address) else ""

    def _may_tell(self, owner: str) -> bool:
        """Count an e-mail for the owner; False where there were as many today as may be."""
        if self._day != self._core.now().date():
            self._told, self._day = Counter(), self._core.now().date()
        self._told[owner] += 1
        if self._told[owner] == self._core.limits.emails_each + 1:
            _log.warning("No more e-mails are sent today for runs of %s", owner)
        return self._told[owner] <= self._core.limits.emails_each

    async def _send(self, post: Post, address: str, subject: str, text: str) -> None:
        try:
            await post.send(address, subject, text)
        except Unavailable as error:
            self.sent = Sent(self._core.now(), error.log_message)
            raise
        self.sent = Sent(self._core.now())

    def _series(self, run: Run) -> list[Run]:
        with self._core.database.begin() as records:
            return records.runs.of(run.owner, series=run.series)

    async def _brought(self, store: Store, run: Run, result: Path) -> str:
        with contextlib.suppress(Conflict):
            await store.make_folder(_TOP)
        name = folder_name(run)
        for number in range(1, _MOST_SAME):
            path = f"{_TOP}/{name}" if number == 1 else f"{_TOP}/{name}-{number}"
            try:
                await store.bring(path, result)
            except Conflict:
                # Brought already, by a process that ended before it could say so.
                if await is_of(store, path, run):
                    return path
                continue
            return path
        raise Conflict(f"There are too many results called “{name}”. Delete some of them.")


def folder_name(run: Run) -> str:
    """Return what the folder of its results is called: by title and day."""
    title = "".join(" " if c in '/\\:*?"<>|' else c for c in clean_text(run.title))
    title = " ".join(title.split()).strip(". ")[:_LONGEST]
    short = title.encode(errors="replace")[:_BYTES].decode(errors="ignore").strip()
    return f"{short or 'Run'} {run.created:%Y-%m-%d}"


async def is_of(store: Store, path: str, run: Run) -> bool:
    """Tell whether the folder in the store is that of the run's result: another may lie there by now."""
    try:
        said = json.loads(await store.read(f"{path}/{housekeeping.ABOUT}", limit=housekeeping.MOST_ABOUT))
    except (VaasError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("run") == run.id


def _kept(error: VaasError) -> Unavailable:
    """Say that nothing is lost, and that it is tried again."""
    said = f"It is over, and its results are kept for you until they fit: {error.message} It is tried again by itself."
    return Unavailable(said, log_message=error.log_message)


def _all_ended(title: str, runs: Sequence[Run]) -> str:
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _WORDS if state in states)
    return f"“{title}” has ended, all {len(runs)} runs over a table: {counts}."
