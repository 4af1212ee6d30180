"""Launching: a full JupyterLab of one's own, asked for here and started at the Hub by the person's own right."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from vaas.backends.base import Lent, OwnServer, OwnServers
from vaas.db.base import Records
from vaas.errors import Conflict, Forbidden, NotFound, Unavailable, VaasError
from vaas.events import while_wanted
from vaas.launching import Launch, Offering, launch_server
from vaas.model import ServerName, User, Visitor
from vaas.plans import Plan, sign_plan
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.keeping import one_line
from vaas.portal.launch_forms import LONGEST_TITLE, Asked, Form, Forms, Given, person_of
from vaas.portal.offering import chosen, closed
from vaas.portal.run_belongings import with_files
from vaas.portal.standing import ALIVE, COPYING, INTERRUPTED, Standing, asked_to_stop, settled, standing

__all__ = ["Launching"]

_PLAN_SECONDS = 120
#: So often it is said that a launch is still being prepared, when there is nothing new to say.
_BEAT = timedelta(seconds=10)
_KEPT = "You have {most} launches, as many as one may keep. Remove some under “My servers”."

_log = logging.getLogger("vaas")


class Launching:
    """The launches of each person: nobody else sees, stops or opens them."""

    def __init__(self, core: Core, baskets: Baskets, *, given: Given = lambda _visitor, _slug, _id: {}) -> None:
        self._core, self._forms, self._environments = core, Forms(core, baskets, given), Environments(core)
        #: Of each person one start after the other: until the Hub knows of one, nobody can count it.
        self._turns = WeakValueDictionary[str, asyncio.Lock]()

    def offered(self, visitor: Visitor) -> bool:
        """Tell whether the visitor can launch anything here."""
        able = visitor.user is not None and self._core.own_servers is not None
        return able and any(each.interactive for each in self._core.offering.facilities)

    async def form(self, visitor: Visitor, asked: Asked) -> Form:
        """Return what can be chosen for it, as :meth:`vaas.portal.launch_forms.Forms.form` does, and raise as that."""
        return await self._forms.form(visitor, asked)

    async def ask(
        self,
        visitor: Visitor,
        asked: Asked,
        *,
        facility: str = "",
        environment: str = "",
        size: str = "",
        title: str = "",
    ) -> Launch:
        """Note what the person wants to launch; what they leave out is what is suggested. Nothing is started yet.

        Raises
        ------
        Invalid, Forbidden
            What they chose is not there, or not for them.
        Conflict
            They have as many launches as one may have, or what a running app gave is gone.
        """
        form, user = await self._forms.whole(visitor, asked), person_of(visitor)
        choice = chosen(form.choices, facility=facility, environment=environment, size=size)
        called = one_line(title or form.title, most=LONGEST_TITLE, what="the launch", field="title")
        now, most = self._core.now(), self._core.limits.launches_each
        kept = await self._forms.kept(visitor, asked)
        launch = Launch(
            id=self._core.new_id(),
            owner=user.name,
            title=called,
            asked={**form.asked, **await self._forms.gathered(user, form.asked, choice), **kept},
            environment=choice.environment.id,
            size=choice.size.id,
            facility=choice.facility.id,
            created=now,
            changed=now,
        )
        with self._core.database.begin() as records:
            if len(records.launches.of(user.name)) >= most:
                raise Conflict(_KEPT.format(most=most), field="servers")
            records.launches.save(launch)
        return launch

    async def begin(self, lent: Lent, launch_id: str) -> Launch:
        """Start the server of what was just asked for, and do not wait for it.

        Where the Hub cannot start it now, the launch says so. Raises Forbidden and Conflict where the person may not,
        or has as many servers as one may have; then it is forgotten.
        """
        launch = self._own(lent.user, launch_id)
        try:
            return await self._start(lent, launch)
        except (Forbidden, Conflict):
            with self._core.database.begin() as records:
                records.launches.remove(launch.id)
            raise

    async def progress(self, lent: Lent, launch_id: str) -> Standing:
        """Return how the person's launch is doing. Raises NotFound, for other people's too."""
        launch = self._own(lent.user, launch_id)
        return self._settle(launch, await self._servers.state(lent, launch_server(launch.id)))

    async def look(self, lent: Lent) -> list[Standing]:
        """Return how all the person's launches are doing, the newest first."""
        return await self._look(lent)

    def known(self, visitor: Visitor) -> list[Standing]:
        """Return what was noted last of the person's launches, without asking the Hub."""
        with self._core.database.begin() as records:
            launches = records.launches.of(person_of(visitor).name)
        return [Standing(launch, launch.state) for launch in launches]

    def get(self, visitor: Visitor, launch_id: str) -> Launch:
        """Return the person's launch. Raises NotFound, for other people's too."""
        return self._own(person_of(visitor), launch_id)

    def app_of(self, visitor: Visitor, launch: Launch) -> tuple[str, bool]:
        """Return the title of the app that it is of, and whether that can be seen: else it is the title as it was."""
        slug = str(launch.asked.get("app") or "")
        try:
            return self._core.see(visitor, slug).app.title, True
        except VaasError:
            return str(launch.asked.get("called") or slug), False

    async def stop(self, lent: Lent, launch_id: str) -> Standing:
        """Stop it, also while it starts; no-op when it does not run."""
        launch = self._own(lent.user, launch_id)
        # First, so that what runs in it hears it as soon as it says something.
        self._change(launch, asked_to_stop)
        await self._servers.stop(lent, launch_server(launch.id))
        return await self.progress(lent, launch.id)

    async def start_again(self, lent: Lent, launch_id: str) -> Launch:
        """Start a launch that was stopped or did not start, with the working copy that it has; no-op when it runs."""
        before = (await self.progress(lent, launch_id)).launch
        if before.state in ALIVE:
            return before
        asked = self._change(before, lambda now: replace(now, state="asked", progress={}, error=""))
        try:
            return await self._start(lent, asked)
        except (Forbidden, Conflict):
            self._change(asked, lambda now: replace(now, state=before.state, error=before.error))
            raise

    async def remove(self, lent: Lent, launch_id: str) -> None:
        """Stop it and forget it; the working copy stays among the person's files."""
        launch = self._own(lent.user, launch_id)
        await self._servers.remove(lent, launch_server(launch.id))
        with self._core.database.begin() as records:
            records.launches.remove(launch.id)

    def rename(self, visitor: Visitor, launch_id: str, title: str) -> Launch:
        """Call it something else. Raises Invalid."""
        called = one_line(title, most=LONGEST_TITLE, what="the launch", field="title")
        return self._change(self.get(visitor, launch_id), lambda now: replace(now, title=called))

    @property
    def _servers(self) -> OwnServers:
        if self._core.own_servers is None:
            raise Unavailable("Nobody has servers of their own here.")
        return self._core.own_servers

    async def _start(self, lent: Lent, launch: Launch) -> Launch:
        offering, snapshot = await asyncio.to_thread(self._forms.offering, lent.user, launch)
        plan = self._plan(lent.user, launch, offering)
        makes = snapshot and plan.environment.kind == "lock" and plan.environment.state != "ready"
        if not makes and not self._forms.lacks(launch.asked):
            return await self._start_now(lent, launch, plan)
        # Known by a word of its own: who stops it and starts it again may do so before this one has ended.
        begun: dict[str, Any] = {"preparing": self._core.new_id(), "message": "Looking for what it needs."}
        begun |= {COPYING: 0} if self._forms.lacks(launch.asked) else {}
        async with self._turn(lent):
            with suppress(Unavailable):  # it is looked again when it is about to start
                await self._check_running(lent, launch)
            launch = self._change(launch, lambda now: replace(now, progress=begun))
        self._core.spawn(self._start_later(lent, launch))
        return launch

    async def _start_later(self, lent: Lent, launch: Launch) -> None:
        """Prepare it, say so meanwhile, and then start it, unless it was stopped."""
        try:
            ready = await while_wanted(self._prepared(lent.user, launch), lambda: self._waited_for(launch))
            if ready is None:
                return
            copied = {"copied": True} if COPYING in launch.progress else {}
            now = self._if_waited_for(launch, lambda now: replace(now, asked=ready, progress=copied))
            if now is not None:
                offering, _ = await asyncio.to_thread(self._forms.offering, lent.user, now)
                await self._start_now(lent, now, self._plan(lent.user, now, offering))
        except VaasError as error:
            _log.warning("Launch %s: %s", launch.id, error.log_message)
            self._give_up(launch, error.message)
        except asyncio.CancelledError:
            self._if_waited_for(launch, lambda now: replace(now, state="failed", error=INTERRUPTED, progress={}))
            raise

    async def _prepared(self, user: User, launch: Launch) -> Mapping[str, Any]:
        """Copy what belongs to a result, make the environment that comes with the notebook, and return all of it."""
        asked = launch.asked
        if self._forms.lacks(asked):
            copied = partial(self._say, launch)
            asked = with_files(asked, await self._forms.complete(user, asked, told=copied))
        _, snapshot = await asyncio.to_thread(self._forms.offering, user, replace(launch, asked=asked))
        if snapshot is None:
            return asked
        locked = await self._environments.prepare(
            snapshot, launch.environment, told=lambda step: self._say(launch, f"Making its environment: {step}")
        )
        return with_files(asked, locked) if locked != snapshot else asked

    def _say(self, launch: Launch, words: str, percent: int = 100) -> None:
        """Say what is prepared at the moment, and how much of what is copied is there."""
        said = {"message": f"{words}."} | ({COPYING: percent} if COPYING in launch.progress else {})
        self._if_waited_for(launch, lambda now: replace(now, progress={**now.progress, **said}))

    def _waited_for(self, launch: Launch) -> bool:
        """Tell whether it is still to be prepared, and let it be seen that it is."""
        now = self._core.now()
        kept = self._if_waited_for(
            launch, lambda kept: replace(kept, changed=now if now > kept.changed + _BEAT else kept.changed)
        )
        return kept is not None

    def _give_up(self, launch: Launch, why: str) -> None:
        """Say why it did not start, unless it was stopped or begun anew."""
        ours = {None, launch.progress["preparing"]}  # None: it was prepared, and was about to start

        def given_up(now: Launch) -> Launch:
            waits = now.state == "asked" and now.progress.get("preparing") in ours
            return replace(now, state="failed", error=why, progress={}) if waits else now

        with suppress(NotFound):
            self._change(launch, given_up)

    def _if_waited_for(self, launch: Launch, change: Callable[[Launch], Launch]) -> Launch | None:
        """Change it while this preparing of it is waited for; None: it was stopped or removed, or begun anew."""
        with self._core.database.begin() as records:
            now = records.launches.get(launch.id)
            waits = now and now.state == "asked" and now.progress.get("preparing") == launch.progress["preparing"]
            return self._save(records, now, change(now)) if now and waits else None

    async def _start_now(self, lent: Lent, launch: Launch, plan: Plan) -> Launch:
        signed = sign_plan(plan, master=self._core.master_key)
        try:
            async with self._turn(lent):
                await self._check_running(lent, launch)
                await self._servers.start(lent, launch_server(launch.id), title=launch.title, plan=signed)
        except Unavailable as error:
            why = error.message
            return self._change(launch, lambda now: replace(now, state="failed", error=why))
        # Somebody may have looked in between, and found how the last start ended.
        begun = {"asked", "failed"}
        return self._change(launch, lambda now: replace(now, state="starting", error="") if now.state in begun else now)

    def _plan(self, user: User, launch: Launch, offering: Offering) -> Plan:
        """Return what may run; what the site offers, and to whom, can be another than when it was asked for."""
        facility, size = offering.facility(launch.facility), offering.size(launch.size)
        environment = offering.environment(launch.environment)
        if not facility or not size or not environment or launch.environment not in facility.environments:
            raise Conflict("What this launch was asked for with is not offered any more. Launch it anew.")
        if environment.state == "broken":
            raise Conflict(f"“{environment.title}” cannot be used. {environment.why}".strip())
        if why := closed(facility, user, batch=False):
            raise Forbidden(f"“{facility.title}” cannot be used by you at the moment. {why}")
        home, shared = self._core.folders(user)
        return Plan(
            server=ServerName(user.name, launch_server(launch.id)).path,
            expires=self._core.now().timestamp() + _PLAN_SECONDS,
            facility=facility.id,
            kind=facility.kind,
            environment=environment,
            size=size,
            home=home if "home" in facility.stores else "",
            shared=shared if "shared" in facility.stores else (),
            profile=facility.profile,
        )

    async def _check_running(self, lent: Lent, launch: Launch) -> None:
        most, mine = self._core.limits.running_each, (launch.created, launch.id)
        others = [each for each in await self._look(lent, but=launch.id) if each.alive or each.serves]
        # Of several that are asked for at once the first have the right of way.
        ahead = [each for each in others if _has_its_place(each) or (each.launch.created, each.launch.id) < mine]
        if len(ahead) >= most:
            raise Conflict(
                f"{len(ahead)} servers of yours run already, as many as one may have. Stop one of them first.",
                field="servers",
            )

    def _turn(self, lent: Lent) -> asyncio.Lock:
        return self._turns.setdefault(lent.user.name, asyncio.Lock())

    async def _look(self, lent: Lent, *, but: str = "") -> list[Standing]:
        with self._core.database.begin() as records:
            launches = [each for each in records.launches.of(lent.user.name) if each.id != but]
        servers = await self._servers.all(lent) if launches else {}
        return [await self._looked(lent, launch, servers) for launch in launches]

    async def _looked(self, lent: Lent, launch: Launch, servers: Mapping[str, OwnServer]) -> Standing:
        server = servers.get(launch_server(launch.id), OwnServer())
        if launch.state in ALIVE and server.phase in {"stopped", "starting"}:  # the list does not say why, or how far
            server = await self._servers.state(lent, launch_server(launch.id))
        return self._settle(launch, server)

    def _settle(self, launch: Launch, server: OwnServer) -> Standing:
        return standing(self._change(launch, lambda now: settled(now, server, now=self._core.now())), server)

    def _change(self, launch: Launch, change: Callable[[Launch], Launch]) -> Launch:
        """Change what is noted of it now, which what runs in it may have written meanwhile."""
        with self._core.database.begin() as records:
            now = records.launches.get(launch.id)
            if now is None:
                raise NotFound("This launch was removed meanwhile.")
            return self._save(records, now, change(now))

    def _save(self, records: Records, now: Launch, changed: Launch) -> Launch:
        if changed == now:
            return now
        changed = replace(changed, changed=self._core.now())
        records.launches.save(changed)
        return changed

    def _own(self, user: User, launch_id: str) -> Launch:
        with self._core.database.begin() as records:
            launch = records.launches.get(launch_id)
        if launch is None or launch.owner != user.name:
            raise NotFound("There is no such launch.")
        return launch


def _has_its_place(now: Standing) -> bool:
    """Tell whether it counts for all others: what is only asked for lets pass what was asked for before."""
    return now.phase != "asked" or bool(now.launch.progress.get("preparing"))
