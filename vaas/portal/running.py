"""Running: a notebook is run once with values for its parameters, over a table of them, or again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vaas import housekeeping
from vaas.db.base import Records
from vaas.errors import Conflict, NotFound, Unavailable, VaasError
from vaas.executors.base import Executor
from vaas.launching import Run, Schedule
from vaas.model import Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.choices import Choice
from vaas.portal.core import Core
from vaas.portal.run_folders import Kernel, Spool, kernel_of
from vaas.portal.run_forms import Field, Form
from vaas.portal.run_orders import Orders
from vaas.portal.run_queue import TO_BE_CANCELLED, Queue, change
from vaas.portal.run_results import Post, Results, Sent
from vaas.portal.run_schedules import NextTime, Schedules, mark_seen, unseen
from vaas.portal.run_sources import Inspect, Source, Sources
from vaas.portal.run_things import Things
from vaas.portal.work import Work
from vaas.prose import clean_text

__all__ = ["Field", "Form", "Running", "without_executors"]

_log = logging.getLogger("vaas")
_MOST_LOG = 200_000
#: What ended is news for so long.
_NEWS = timedelta(days=14)
#: Seconds between two looks at the queue, and at schedules; and after which a process without a word counts as dead.
_OFTEN, _SCHEDULES, _LEASE = 1.0, 5.0, 30.0
#: And between two at what others left behind, and at whether batch systems were asked for a sign of life.
_SWEEP, _ASKED = 600.0, 10.0


class Running:
    """The runs of each person; nobody else sees them, but for results that are shared (:mod:`vaas.portal.showing`).

    ``asked`` says which notebook: {"app": slug}, or {"store": id, "path": path}. ``values`` are by the name of the
    parameter, as JSON's types or as a form sends them: text is read as the parameter's kind. ``things`` fill slots, by
    the name of the parameter: a thing of the person's current basket by its id, one of another basket as
    "<basket>/<thing>", or a file as "store:<store>/<path>". ``email`` is an address that is told of the end; "": none.

    Parameters
    ----------
    executors:
        By kind of facility ("local", "slurm").
    folder:
        Where the folders of jobs are made.
    inspect, next_time, post:
        What reads a notebook's parameters, what knows cron, and what sends e-mail, if anything does.
    kernel:
        Says how the kernel of an environment is started.
    """

    def __init__(
        self,
        core: Core,
        executors: Mapping[str, Executor],
        folder: Path,
        *,
        baskets: Baskets,
        inspect: Inspect,
        next_time: NextTime,
        post: Post | None = None,
        kernel: Kernel = kernel_of,
        often: float = _OFTEN,
        zone: str = "UTC",
    ) -> None:
        #: The time zone of schedules that say none.
        self.zone = zone
        self._core, self._executors, self._post, self._often = core, executors, post, often
        spool = Spool(folder, core.content, most=core.limits.run_disk)
        self._sources, things = Sources(core, inspect), Things(core, baskets)
        self._work = Work(core, "runs", alone=True, seconds=_LEASE)
        self._results, holder = Results(core, spool, post), self._work.holder
        more: Any = {"things": things, "results": self._results, "holder": holder, "kernel": kernel}
        self._queue = Queue(core, executors, spool, **more)
        self._orders = Orders(core, frozenset(executors), self._sources, things, post)
        self._schedules = Schedules(core, self._sources, next_time, self._results.tell_of_end)

    async def form(self, visitor: Visitor, asked: Mapping[str, Any]) -> Form:
        """Return what is asked before this notebook is run. Raises NotFound, Forbidden, Invalid, Unavailable."""
        user = self._sources.person(visitor)
        source = await self._sources.asking(visitor, await self._sources.find(visitor, asked))
        fields = await self._sources.fields(visitor, source)
        beside = await self._sources.beside(visitor, source)
        return Form(source.title, source.notebook, fields, self._orders.choices(user, source, fields, beside=beside))

    async def start(
        self,
        visitor: Visitor,
        asked: Mapping[str, Any],
        *,
        values: Mapping[str, Any] | None = None,
        things: Mapping[str, str] | None = None,
        environment: str = "",
        size: str = "",
        facility: str = "",
        title: str = "",
        email: str = "",
    ) -> Run:
        """Put the notebook into the queue, as it is now; what is not chosen is what is suggested.

        Raises
        ------
        Invalid
            A value or a choice cannot be; ``field`` is the parameter's name, "environment", "size", "facility" or
            "email".
        Conflict
            The person has as many runs in the queue as one may have.
        """
        chosen = {"environment": environment, "size": size, "facility": facility, "title": title, "email": email}
        source, fields = await self._orders.asked(visitor, asked)
        run = await self._orders.made(visitor, source, fields, values or {}, things or {}, chosen)
        self._put(run)
        return run

    async def start_series(
        self, visitor: Visitor, asked: Mapping[str, Any], *, table: Sequence[Mapping[str, Any]], **chosen: Any
    ) -> list[Run]:
        """Do the same once for each row of the table, whose values go before those that are the same for all.

        In a slot's column, "store:<store>/<path>" is a file, and all else an address or a path.
        All rows are in the queue or none; Invalid names all that cannot be, counted as in the file of a table, in
        which the first row names the parameters.
        """
        runs = await self._orders.series(visitor, asked, table, chosen)
        self._put(*runs)
        return runs

    def runs(self, visitor: Visitor, *, series: str = "") -> list[Run]:
        """Return the person's runs, the newest first, of one series alone when it is named."""
        with self._core.database.begin() as records:
            return records.runs.of(self._sources.person(visitor).name, series=series)

    def run(self, visitor: Visitor, run_id: str) -> Run:
        """Return one of the person's. Raises NotFound, for other people's too."""
        with self._core.database.begin() as records:
            return self._own(records, visitor, run_id)

    async def log(self, visitor: Visitor, run_id: str) -> str:
        """Return the end of what it wrote until now, "" while there is nothing."""
        run = self.run(visitor, run_id)
        if run.over:
            return clean_text(await self._kept_log(visitor, run))
        return clean_text(await self._executor(run).log(run.ref, most=_MOST_LOG)) if run.ref else ""

    async def cancel(self, visitor: Visitor, run_id: str) -> Run:
        """End it, queued or running; no-op when it is over."""
        run = self.run(visitor, run_id)
        if run.over or "outcome" in run.progress:
            return run
        if not run.ref and run.state == "queued":
            ended = replace(run, state="cancelled", error="It was cancelled.", ended=self._core.now())
            with self._core.database.begin() as records:
                if records.runs.move(ended, before=("queued",)):
                    return ended
        # Whoever looks after it sees this too, if it is handed over at this moment.
        wanted = change(self._core, run.id, progress={"cancel": True, "message": "It is being cancelled."})
        self._queue.hurry(run_id)
        if wanted and wanted.ref:
            try:
                await self._executor(wanted).cancel(wanted.ref)
            except Unavailable as error:  # who looks after it tries again until it is ended
                _log.warning("Run %s is not cancelled yet: %s", run_id, error.log_message)
                change(self._core, run_id, progress={"message": f"{TO_BE_CANCELLED} {error.message}"})
        return self.run(visitor, run_id)

    def forget(self, visitor: Visitor, run_id: str) -> None:
        """Take it off the list; its results stay in the store. Conflict while it is not over."""
        with self._core.database.begin() as records:
            if not self._own(records, visitor, run_id).over:
                raise Conflict("It is not over. Cancel it first.")
            records.runs.remove(run_id)

    async def repeat(
        self,
        visitor: Visitor,
        run_id: str,
        *,
        values: Mapping[str, Any] | None = None,
        things: Mapping[str, str] | None = None,
        environment: str = "",
        size: str = "",
        facility: str = "",
    ) -> Run:
        """Run the same again: the notebook as it was then, with these in place of the values and things that it had.

        "" in place of a thing leaves the slot as the notebook has it. Where it is run is as it was, but for what is
        chosen. Raises Forbidden where that cannot be any more, and else as :meth:`start` does.
        """
        run, source, fields = await self._then(visitor, run_id)
        chosen = {"environment": environment, "size": size, "facility": facility}
        again = await self._orders.again(visitor, run, source, fields, values or {}, things or {}, chosen)
        self._put(again)
        return again

    async def form_again(self, visitor: Visitor, run_id: str) -> Form:
        """Return what is asked before a run is repeated: the notebook's parameters then, with the values it had.

        Of the choices those are first that are as it was.
        """
        run, source, fields = await self._then(visitor, run_id)
        had, slots = run.parameters, {each.name for each in fields if each.slot}
        given = tuple(each if each.slot else replace(each, default=had.get(each.name, each.default)) for each in fields)
        filled = {name: str(value) for name, value in had.items() if name in slots}
        filled |= {name: str(thing["title"]) for name, thing in run.asked.get("things", {}).items()}
        choices = self._orders.choices(self._sources.person(visitor), source, fields, run.asked.get("things"))
        as_it_was = sorted(choices, key=lambda each: _differs(run, each))
        return Form(run.title, run.snapshot.notebook, given, tuple(as_it_was), had=filled)

    async def _then(self, visitor: Visitor, run_id: str) -> tuple[Run, Source, tuple[Field, ...]]:
        """Return the run, its notebook and its parameters, for who may still run it."""
        run = self.run(visitor, run_id)
        self._sources.may_still(self._sources.person(visitor), run.asked)
        source = self._sources.of_snapshot(run.title, run.snapshot, run.asked)
        return run, source, await self._sources.fields(visitor, source)

    @property
    def tells(self) -> bool:
        """Whether e-mail can be sent when a run has ended."""
        return self._post is not None

    @property
    def sent(self) -> Sent | None:
        """What became of the last e-mail of this process; None: it sent none."""
        return self._results.sent

    def news(self, visitor: Visitor) -> int:
        """Return how many runs ended since the person looked last, and schedules by themselves; 0 for nobody."""
        if visitor.user is None:
            return 0
        since = self._core.now() - _NEWS
        with self._core.database.begin() as records:
            ended = records.runs.unseen(visitor.user.name, since=since)
            return len(ended) + len(unseen(records, visitor.user.name, since=since))

    def seen(self, visitor: Visitor) -> None:
        """Take note that the person has looked at what ended."""
        since = self._core.now() - _NEWS
        with self._core.database.begin() as records:
            for run_id in records.runs.unseen(visitor.name, since=since):
                run = records.runs.get(run_id)
                if run is not None:
                    records.runs.note(run_id, progress={**run.progress, "seen": True})
            mark_seen(records, visitor.name, since=since)

    async def schedule(
        self,
        visitor: Visitor,
        asked: Mapping[str, Any],
        *,
        cron: str,
        until: datetime,
        zone: str = "",
        values: Mapping[str, Any] | None = None,
        things: Mapping[str, str] | None = None,
        environment: str = "",
        size: str = "",
        facility: str = "",
        title: str = "",
        email: str = "",
    ) -> Schedule:
        """Run it again and again at these times (five fields) in that zone until that moment, as it is now.

        Raises Invalid as :meth:`start` does, and for "cron", "zone" and "until".
        """
        chosen = {"environment": environment, "size": size, "facility": facility, "title": title, "email": email}
        source, fields = await self._orders.asked(visitor, asked)
        run = await self._orders.made(visitor, source, fields, values or {}, things or {}, chosen)
        return self._schedules.add(run, cron=cron, until=until, zone=zone or self.zone)

    def times(self, schedule: Schedule) -> list[datetime]:
        """Return the next few times of a schedule."""
        return self._schedules.times(schedule)

    def schedules(self, visitor: Visitor) -> list[Schedule]:
        """Return the person's schedules, the newest first; one that has ended has no next time, and says why."""
        return self._schedules.of(self._sources.person(visitor))

    def unschedule(self, visitor: Visitor, schedule_id: str) -> None:
        """Take the schedule away; what runs goes on. Raises NotFound, for other people's too."""
        self._schedules.remove(self._sources.person(visitor), schedule_id)

    async def follow(self) -> None:
        """Hand over, look after and collect what is in the queue, and start what is due; until cancelled."""
        told = float("-inf")
        queue = self._queue
        often = (self._schedules.step, _SCHEDULES), (queue.sweep, _SWEEP), (queue.ensure_asked, _ASKED), (queue.step, 0)
        steps = [_Step(work, every) for work, every in often]
        try:
            while True:
                now = time.monotonic()
                with _tried_again():
                    if now - told > _LEASE / 3:
                        told = now if await asyncio.to_thread(self._work.tell) else float("-inf")
                for step in steps if told > float("-inf") else ():
                    await step.take(now)
                await asyncio.sleep(self._often)
        finally:
            await self._queue.close()
            self._work.end()

    def _put(self, *runs: Run) -> None:
        """Put them into the queue, all or none."""
        most = self._core.limits.runs_queued
        with self._core.database.begin() as records:
            waiting = sum(each.owner == runs[0].owner for each in records.runs.open())
            if waiting + len(runs) > most:
                raise Conflict(f"At most {most} of your runs may wait at once, and {waiting} do. Wait, or cancel some.")
            for run in runs:
                records.runs.save(run)
            records.runs.trim(runs[0].owner, keep=self._core.limits.runs_kept)

    async def _kept_log(self, visitor: Visitor, run: Run) -> str:
        """Return the end of the log that lies beside the results, "" when it is not there any more."""
        stores = self._core.stores.of(self._sources.person(visitor))
        store = next((each for each in stores if run.result_path and each.id == run.result_store), None)
        path = f"{run.result_path}/{housekeeping.LOG}"
        try:
            size = (await store.stat(path)).size if store else 0
            piece = await store.piece(path, max(0, size - _MOST_LOG), _MOST_LOG) if store else None
        except VaasError:
            return ""
        return piece.data.decode(errors="replace") if piece else ""

    def _own(self, records: Records, visitor: Visitor, run_id: str) -> Run:
        run = records.runs.get(run_id)
        if run is None or run.owner != self._sources.person(visitor).name:
            raise NotFound("There is no such run.")
        return run

    def _executor(self, run: Run) -> Executor:
        facility = self._core.offering.facility(run.facility)
        executor = self._executors.get(facility.kind) if facility else None
        if executor is None:
            raise Unavailable("The place where it runs does not answer.")
        return executor


class _Step:
    """What is done every so many seconds."""

    def __init__(self, work: Callable[[], Awaitable[None]], every: float) -> None:
        self._work, self._every, self._last = work, every, float("-inf")

    async def take(self, now: float) -> None:
        """Do it if it is time; what goes wrong with it keeps nothing else from being done."""
        if now - self._last >= self._every:
            self._last = now
            with _tried_again():
                await self._work()


def _differs(run: Run, choice: Choice) -> tuple[bool, bool, bool]:
    """Return in what the choice is not as it was in that run."""
    at = (choice.facility.id, choice.environment.id, choice.size.id)
    return run.facility != at[0], run.environment != at[1], run.size != at[2]


@contextmanager
def _tried_again() -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.exception("The queue of runs cannot be looked after; it is tried again.")


def without_executors(core: Core, baskets: Baskets) -> Running:
    """Return what runs nothing, for a portal that has nothing to run notebooks with."""

    async def no_parameters(_data: bytes) -> Sequence[Mapping[str, Any]]:
        return ()

    def never(_cron: str, _after: datetime, _zone: str) -> datetime | None:
        return None

    return Running(core, {}, Path("runs"), baskets=baskets, inspect=no_parameters, next_time=never)
