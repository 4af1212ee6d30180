"""The queue of runs: hands over whose turn it is, looks after what runs, and ends what is over; one process does.

All that is known of a run is in the database, in its folder and at its executor, so that any process can go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vaas import jobs
from vaas.errors import Invalid, NotFound, StorageFull, Unavailable, VaasError
from vaas.executors.base import Executor, Job, JobState
from vaas.launching import Environment, Facility, Run, Size
from vaas.model import Snapshot, User
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.offering import closed
from vaas.portal.run_folders import Kernel, Spool, kernel_of
from vaas.portal.run_results import Results
from vaas.portal.run_things import Things, with_brought

__all__ = ["TO_BE_CANCELLED", "Queue", "change", "choose", "fair"]

_log = logging.getLogger("vaas")
#: Seconds until it is tried again what could not be done, and to end what is to be cancelled.
_LATER, _SOON = 30.0, 5.0
#: Seconds between looks whether what is prepared is still wanted.
_GLANCE = 0.25
_OPEN = ("queued", "running")
#: What is said before the reason why it is not yet.
TO_BE_CANCELLED = "It is to be cancelled."


def fair(waiting: Sequence[Run], running: Mapping[str, int], *, each: int, room: Mapping[str, int]) -> list[Run]:
    """Return which runs are next: of the person with the fewest running, and of theirs the oldest.

    Parameters
    ----------
    running:
        How many of each person's run already.
    each:
        How many of one person's may run at once; 0: any number.
    room:
        How many more each facility takes.
    """
    counts, left, chosen = Counter(running), Counter(room), list[Run]()
    rest = list(waiting)
    while True:
        fitting = [run for run in rest if left[run.facility] > 0 and (not each or counts[run.owner] < each)]
        if not fitting:
            return chosen
        following = min(fitting, key=lambda run: (counts[run.owner], run.created, run.id))
        rest.remove(following)
        chosen.append(following)
        counts[following.owner] += 1
        left[following.facility] -= 1


def change(core: Core, run_id: str, **changed: Any) -> Run | None:
    """Change a run that is not over; what ``progress`` says is added. None: it is over, or gone."""
    with core.database.begin() as records:
        run = records.runs.get(run_id)
        if run is None or run.over:
            return None
        if "progress" in changed:
            changed["progress"] = {**run.progress, **changed["progress"]}
        new = replace(run, **changed)
        return new if new == run or records.runs.move(new, before=(run.state,)) else None


def choose(core: Core, user: User, run: Run) -> tuple[Facility, Environment, Size]:
    """Return what was chosen for the run. Raises Invalid for what is not offered (any more), to this person."""
    offering = Environments(core).offering(run.asked, run.snapshot)
    facility, environment, size = (
        offering.facility(run.facility),
        offering.environment(run.environment),
        offering.size(run.size),
    )
    if facility is None:
        raise Invalid("There is no such place to run it. Choose another one.", field="facility")
    if why := closed(facility, user, batch=True):
        raise Invalid(f"“{facility.title}” cannot be used: {why}", field="facility")
    if environment is None or environment.id not in facility.environments:
        raise Invalid("This environment is not offered there. Choose another one.", field="environment")
    if environment.state == "broken":
        raise Invalid(f"“{environment.title}” cannot be used: {environment.why}", field="environment")
    if size is None or size.id not in facility.sizes:
        raise Invalid("This size is not offered there. Choose another one.", field="size")
    return facility, environment, size


class Queue:
    """Brings runs from "queued" to their end.

    Parameters
    ----------
    executors:
        By kind of facility.
    holder:
        What this process is called.
    kernel:
        Says how the kernel of an environment is started.
    """

    def __init__(
        self,
        core: Core,
        executors: Mapping[str, Executor],
        spool: Spool,
        *,
        things: Things,
        results: Results,
        holder: str,
        kernel: Kernel = kernel_of,
    ) -> None:
        self._core, self._executors, self._spool = core, executors, spool
        self._things, self._results, self._holder = things, results, holder
        self._kernel = kernel
        #: What is done for which run at the moment, and until when nothing is, as it failed.
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, float] = {}
        #: What asks for a sign of life, or has asked, by kind.
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def step(self) -> None:
        """Look once at all that is not over."""
        with self._core.database.begin() as records:
            runs = records.runs.open()
        for run in [run for run in runs if _handed(run)]:
            self._begin(run, self._look)
        for run in self._next(runs):
            self._begin(run, self._hand_over)
        # What takes long goes on meanwhile.
        await asyncio.sleep(0)

    async def ensure_asked(self) -> None:
        """See to it that it is known whether each batch system answers, and wait for none."""
        for kind, executor in self._executors.items():
            if kind not in self._asking or self._asking[kind].done():
                self._asking[kind] = asyncio.create_task(self._asked(kind, executor))

    async def _asked(self, kind: str, executor: Executor) -> None:
        try:
            await executor.ensure_asked()
        except Exception:
            _log.exception("What runs on %s cannot be asked for a sign of life.", kind)

    def hurry(self, run_id: str) -> None:
        """Look at the run with the next step, whatever could not be done with it before."""
        self._again.pop(run_id, None)

    async def sweep(self) -> None:
        """Remove what is left of runs that are over: who ended them may have died before it did."""
        for run_id in await asyncio.to_thread(self._spool.ids):
            try:
                await self._swept(run_id)
            except Exception:
                # A job can leave what nobody thought of; that of others goes all the same.
                _log.exception("What run %s left behind cannot be removed.", run_id)

    async def _swept(self, run_id: str) -> None:
        with self._core.database.begin() as records:
            run = records.runs.get(run_id)
        if run is None:
            await asyncio.to_thread(self._spool.remove, run_id)
        elif run.over and run.id not in self._busy:
            await self._forget(run)

    async def close(self) -> None:
        """End what is under way: another process goes on with it."""
        tasks = [*self._busy.values(), *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next(self, runs: Sequence[Run]) -> list[Run]:
        under_way = [run for run in runs if (_handed(run) and "outcome" not in run.progress) or run.id in self._busy]
        waiting = [run for run in runs if run not in under_way and not _handed(run) and self._may(run)]
        taken = Counter(run.facility for run in under_way)
        limits = self._core.limits
        room = {}
        for facility in self._core.offering.facilities:
            # A batch system has a queue of its own.
            most = limits.runs if facility.kind == "local" and limits.runs else len(runs)
            room[facility.id] = most - taken[facility.id]
        # What is nowhere any more is handed over to be told so.
        room |= {run.facility: 1 for run in waiting if run.facility not in room}
        return fair(waiting, Counter(run.owner for run in under_way), each=limits.runs_each, room=room)

    def _may(self, run: Run) -> bool:
        return self._again.get(run.id, 0.0) <= time.monotonic()

    def _begin(self, seen: Run, work: Callable[[Run], Coroutine[Any, Any, None]]) -> None:
        """Do it with the whole run, unless something is done for it, or it has to wait."""
        if seen.id in self._busy or not self._may(seen):
            return
        with self._core.database.begin() as records:
            run = records.runs.get(seen.id)
        if run is None or run.over:
            return
        self._again.pop(run.id, None)
        task = self._busy[run.id] = asyncio.get_running_loop().create_task(self._safely(run, work(run)))
        task.add_done_callback(lambda _: self._busy.pop(run.id, None))

    async def _safely(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (StorageFull, Unavailable) as error:
            _log.warning("Run %s: %s", run.id, error.log_message)
            self._again[run.id] = time.monotonic() + (_SOON if run.progress.get("cancel") else _LATER)
            self._wait(run, error.message)
        except VaasError as error:
            _log.warning("Run %s of %s failed: %s", run.id, run.owner, error.log_message)
            await self._fail(run, error.message)
        except Exception:
            _log.exception("Run %s", run.id)
            await self._fail(
                run, "Something went wrong on our side. Try again, or tell the people who run this portal."
            )

    async def _hand_over(self, run: Run) -> None:
        """Claim the run, prepare it, and hand it over; a process that claimed it and died is followed by the next."""
        with self._core.database.begin() as records:
            progress = {**run.progress, "by": self._holder, "message": "What it needs is brought."}
            waits, run = run.state == "queued", replace(run, state="running", progress=progress)
            if not records.runs.move(run, before=("queued",) if waits else ("running",)):
                return
        user = await self._owner(run)
        facility, environment, _ = choose(self._core, user, run)
        self._executor(facility)
        # One that is prepared may have been handed over by who claimed it before: only its executor knows.
        if not self._spool.is_ready(run) and not await self._unless_cancelled(
            run, self._prepare(run, user, environment)
        ):
            return
        if (ready := self._mine(run)) is None:
            return
        # What was asked for by a file is locked now.
        facility, environment, size = choose(self._core, user, ready)
        place = self._spool.of(run)
        job = Job(run.id, run.owner, run.title, place, environment, size, profile=facility.profile)
        change(self._core, run.id, ref=await self._executor(facility).submit(job), progress={"message": ""})

    async def _prepare(self, run: Run, user: User, environment: Environment) -> None:
        """Bring all that the run needs into its folder."""
        folder = await self._spool.begin(run)
        brought = await self._things.bring(user, run.asked.get("things", {}), folder / jobs.DATA)
        change(self._core, run.id, asked=with_brought(run.asked, brought))
        if environment.kind == "lock":
            environment = await self._make(run, user)
        self._spool.finish(run, kernel=self._kernel(environment), brought=brought)

    async def _unless_cancelled(self, run: Run, preparing: Coroutine[Any, Any, None]) -> bool:
        """Do it, however long it takes; False: the run was cancelled meanwhile, and ends, or is another's now."""
        work = asyncio.ensure_future(preparing)
        try:
            while now := self._mine(run):
                if now.progress.get("cancel"):
                    break
                if work.done():
                    await work
                    return True
                await asyncio.wait({work}, timeout=_GLANCE)
        finally:
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if now is not None:
            # What was prepared last may be prepared whole: nobody is to hand it over.
            await self._end(replace(now, state="cancelled", error="It was cancelled.", ended=self._core.now()))
        return False

    async def _make(self, run: Run, user: User) -> Environment:
        """Return the environment that the run's notebook brings, made unless it is there; say so meanwhile."""

        def told(step: str) -> None:
            change(self._core, run.id, progress={"message": f"Making its environment: {step}."})

        snapshot = await Environments(self._core).prepare(run.snapshot, run.environment, told=told)
        change(self._core, run.id, snapshot=snapshot)
        self._go_on_with(run, snapshot)
        return choose(self._core, user, replace(run, snapshot=snapshot))[1]

    def _go_on_with(self, run: Run, snapshot: Snapshot) -> None:
        """Let the schedule that began the run keep the lock, so that it runs with the same the next time."""
        with self._core.database.begin() as records:
            schedule = records.schedules.get(run.schedule) if run.schedule else None
            if schedule and schedule.snapshot == run.snapshot != snapshot:
                records.schedules.save(replace(schedule, snapshot=snapshot))

    def _mine(self, run: Run) -> Run | None:
        """Return the run as it is now, unless it is over or another process goes on with it."""
        with self._core.database.begin() as records:
            now = records.runs.get(run.id)
        ours = now is not None and not now.over and (bool(now.ref) or now.progress.get("by") in {None, self._holder})
        return now if ours else None

    def _wait(self, run: Run, message: str) -> None:
        """Say what it waits for; what was not handed over is in the queue again."""
        now = self._mine(run)
        if now is not None:
            state = now.state if now.ref else "queued"
            message = f"{TO_BE_CANCELLED} {message}" if now.progress.get("cancel") else message
            change(self._core, run.id, state=state, progress={"message": message})

    async def _look(self, run: Run) -> None:
        if "outcome" in run.progress:
            await self._finish(run)
            return
        if not run.ref:
            # A process ended meanwhile: handing over once more is a no-op where it was handed over.
            await self._hand_over(run)
            return
        executor = self._executor(self._core.offering.facility(run.facility))
        if run.progress.get("cancel"):
            await executor.cancel(run.ref)
        state = await executor.poll(run.ref)
        if state.state in _OPEN:
            self._say(run, state)
        else:
            outcome = {
                "state": state.state if state.state in {"done", "cancelled"} else "failed",
                "message": state.message,
            }
            over = change(self._core, run.id, ended=self._core.now(), progress={"outcome": outcome})
            if over is not None:
                await self._finish(over)

    def _say(self, run: Run, state: JobState) -> None:
        status = self._spool.status(run) if state.state == "running" else {}
        message = status.get("message") or state.message
        progress = {"cell": status.get("cell", 0), "of": status.get("of", 0), "message": message}
        progress["starts_in"] = state.starts_in
        started = run.started or (self._core.now() if state.state == "running" else None)
        change(self._core, run.id, state=state.state, started=started, progress=progress)

    async def _finish(self, run: Run) -> None:
        """Bring the results and end the run; what the executor and the spool keep goes last."""
        status = self._spool.status(run)
        outcome = run.progress["outcome"]
        error = "" if outcome["state"] == "done" else outcome["message"] or str(status.get("error", "")) or "It failed."
        progress = {"message": "", "cell": status.get("cell", 0), "of": status.get("of", 0), "starts_in": None}
        final = replace(run, state=outcome["state"], error=error, ended=run.ended or self._core.now())
        final = replace(final, progress={**run.progress, **progress})
        await self._end(await self._results.bring(final))

    async def _fail(self, run: Run, message: str) -> None:
        """End what never ran, or cannot be followed."""
        if (current := self._mine(run)) is not None:
            progress = {**current.progress, "message": ""}
            await self._end(replace(current, state="failed", error=message, ended=self._core.now(), progress=progress))

    async def _end(self, final: Run) -> None:
        with self._core.database.begin() as records:
            ended = records.runs.move(final, before=_OPEN)
        await self._forget(final)
        if ended:
            _log.info("Run %s of %s is over: %s. %s", final.id, final.owner, final.state, final.error)
            self._results.tell(final)

    async def _forget(self, run: Run) -> None:
        """Let go of what executor and spool keep of it."""
        facility = self._core.offering.facility(run.facility)
        executor = self._executors.get(facility.kind) if facility else None
        if run.ref and executor is not None:
            try:
                await executor.forget(run.ref)
            except VaasError as error:
                _log.warning("Run %s is not forgotten by what ran it: %s", run.id, error.log_message)
        await asyncio.to_thread(self._spool.remove, run.id)

    async def _owner(self, run: Run) -> User:
        user = await self._core.directory.user(run.owner)
        if user is None:
            raise NotFound(f"There is no “{run.owner}” here any more.")
        return user

    def _executor(self, facility: Facility | None) -> Executor:
        executor = self._executors.get(facility.kind) if facility else None
        if executor is None:
            raise Invalid("This place takes no runs any more. Choose another one.", field="facility")
        return executor


def _handed(run: Run) -> bool:
    return run.state == "running" or bool(run.ref)
