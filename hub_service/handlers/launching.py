"""Launching: what it is of and with what, the page on which one waits for it, and “My servers”."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hub_service.handlers.apps import EventStream
from hub_service.handlers.base import Api, Base, Page
from hub_service.launch_json import (
    WHERE,
    anew_url,
    copy_url,
    event_json,
    launch_json,
    origin,
    place_words,
    places,
    steps,
)
from vaas.backends.base import Lent
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable, VaasError
from vaas.launching import Launch
from vaas.portal.launch_forms import Form
from vaas.portal.run_belongings import Belonging
from vaas.portal.standing import ON_THE_WAY, Standing

__all__ = [
    "AppLaunchPage",
    "LaunchEvents",
    "LaunchJson",
    "LaunchPage",
    "LaunchStartJson",
    "LaunchStopJson",
    "LaunchesJson",
    "LaunchingPage",
    "ServersPage",
]

#: So often it is looked how a launch is, each time at the Hub; and so soon after its JupyterLab says that it listens.
_LOOK, _MOMENT = 0.5, 0.05
_ASKED = ("app", "store", "path", "copy", "run", "basket", "catalog", "record", "given")
#: What is launched with a basket or without one; a basket can be launched alone, too.
_MAIN = frozenset({"app", "path", "run"})
_OVER = frozenset({"stopped", "failed"})


class _Lender(Base):
    """A handler that acts on the person's servers by their own right."""

    @property
    def lent(self) -> Lent:
        """What the person lends for this request: the token by which the Hub knows them."""
        return Lent(self.person, self.hub_auth.get_token(self) or "")

    def origin_of(self, launch: Launch) -> tuple[str, str, str]:
        """Return what a launch is of, its page, and what it is called; an app that is gone has no page."""
        kind, page, name = origin(launch.asked)
        if kind != "App":
            return kind, page, name
        title, there = self.portal.launching.app_of(self.visitor, launch)
        return kind, page if there else "", title


class LaunchPage(_Lender, Page):
    """What to launch a notebook, a basket or data with: chosen already, so that one click suffices."""

    nav = "files"

    async def get(self) -> None:
        """Show the form for ``store`` and ``path``, for ``basket``, or for ``catalog`` and ``record``."""
        await self.ask_for({name: self.get_query_argument(name, "") for name in _ASKED[1:]})

    async def post(self) -> None:
        """Launch it with what was chosen."""
        await self.launch({name: self.get_body_argument(name, "") for name in _ASKED[1:]})

    async def ask_for(self, asked: dict[str, str], **more: Any) -> None:
        """Show the form."""
        form = await self._form(asked)
        main = _has_main(asked)
        if not main:
            self.nav = "basket"
        elif asked.get("run"):
            self.nav = "runs"
        context = {
            "form": form,
            "asked": asked,
            "places": places(form.choices),
            "baskets": await self._baskets() if main else [],
            "action": f"{self.base}launch",
            "origin": origin(asked | {"basket": form.asked.get("basket", "")}),
            "before": self._before(form),
            "brings": any(each.possible and each.environment.kind == "lock" for each in form.choices),
            "along": self._along(form),
            "app": None,
            **more,
        }
        self.show("launch.html", title=f"Launch {form.title}", context=context)

    async def launch(self, asked: dict[str, str]) -> None:
        """Ask for it and start it, then go to where one waits; show the form again for what cannot be."""
        facility, title = self.get_body_argument("facility", ""), self.get_body_argument("title", "")
        where = {name: self.get_body_argument(f"{name}-{facility}", "") for name in WHERE}
        try:
            verbs = self.portal.launching
            launch = await verbs.ask(self.visitor, asked, facility=facility, **where, title=title)
            launch = await verbs.begin(self.lent, launch.id)
        except VaasError as error:
            at_place = error.field in WHERE or (isinstance(error, Conflict) and not error.field)
            error.field = "facility" if at_place else error.field
            self.fail_form(error)
            await self.ask_for(asked)
            return
        self.done(f"launches/{launch.id}/?go=1")

    async def _form(self, asked: dict[str, str]) -> Form:
        """Return what can be chosen; a basket that cannot go along is said at its field."""
        try:
            return await self.portal.launching.form(self.visitor, asked)
        except VaasError as error:
            if error.field != "basket" or not _has_main(asked):
                raise
            self.fail_form(error)
            return await self.portal.launching.form(self.visitor, asked | {"basket": ""})

    def _before(self, form: Form) -> list[Launch]:
        """Return the person's launches of the same that nobody has stopped, as far as was noted."""
        launches = [now.launch for now in self.portal.launching.known(self.visitor)]
        return [each for each in launches if each.state not in _OVER and _same(each.asked, form.asked)]

    def _along(self, form: Form) -> Sequence[Belonging]:
        """Return the data that belong to the result that is launched."""
        if not form.asked.get("run"):
            return ()
        belongings = self.portal.belongings
        return belongings.data(self.person, belongings.run(self.person, form.asked["run"]))

    async def _baskets(self) -> list[tuple[str, str, int]]:
        """Return the baskets that could go along, with how many things are in each."""
        look = await self.portal.baskets.look(self.visitor)
        named = [(each.id, each.name, count) for each, count in look.baskets if each.name and count]
        return [("current", "My basket", len(look.things)), *named] if look.things else named


def _has_main(asked: Mapping[str, Any]) -> bool:
    return any(asked.get(name) for name in _MAIN)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether both are of the same app or notebook; of the same basket, where they are of that alone."""
    names = ("app", "store", "path", "copy", "run") if _has_main(other) else _ASKED[:-1]
    return all(one.get(name, "") == other.get(name, "") for name in names)


class AppLaunchPage(LaunchPage):
    """The same for an app; or a copy of it into one's own files, or as a download."""

    nav = "gallery"

    async def get(self, slug: str) -> None:  # type: ignore[override]
        """Show the form."""
        await self.ask_for({"app": slug, **{name: self.get_query_argument(name, "") for name in ("basket", "given")}})

    async def post(self, slug: str) -> None:  # type: ignore[override]
        """Launch it, or copy the notebook and its files into the chosen folder."""
        asked = {"app": slug, **{name: self.get_body_argument(name, "") for name in ("basket", "given")}}
        if self.get_body_argument("do", "launch") == "copy":
            await self._copy(slug, asked)
        else:
            await self.launch(asked)

    async def ask_for(self, asked: dict[str, str], **more: Any) -> None:
        """Show the form, with the other ways to take it."""
        seen = self.portal.core.see(self.visitor, asked["app"], "launch")
        version = self.portal.gallery.current(seen.app)
        here = f"{self.base}apps/{seen.app.slug}/"
        context = {
            "app": seen.app,
            "access_level": seen.access,
            "files": list(version.snapshot.files) if version else [],
            "stores": self.portal.core.stores.of(self.person),
            "download_url": f"{here}source.zip",
            "action": f"{here}launch",
        }
        await super().ask_for(asked, **context)

    async def _copy(self, slug: str, asked: dict[str, str]) -> None:
        store_id, folder = self.get_body_argument("store"), self.get_body_argument("folder", "")
        try:
            path = await self.portal.copies.save(self.person, slug, store_id, folder)
        except (Invalid, NotFound, Forbidden, Conflict) as error:
            error.field = error.field or "folder"
            self.fail_form(error)
            await self.ask_for(asked)
            return
        self.done(f"files/{store_id}/{path}", "The copy is here.")


class LaunchingPage(_Lender, Page):
    """How one launch is doing, and what can be done with it."""

    nav = "servers"

    async def get(self, launch_id: str) -> None:
        """Show it: how far it is, that it is ready, or why it failed and what to try."""
        launch, problem = self.portal.launching.get(self.visitor, launch_id), ""
        try:
            now = await self.portal.launching.progress(self.lent, launch_id)
        except (Unavailable, Forbidden) as error:
            now, problem = Standing(launch, launch.state), error.message
        offering = self.portal.core.offering
        here = f"{self.base}launches/{launch.id}/"
        context = {
            "now": now,
            "waits": now.phase in ON_THE_WAY | {"stopping"},
            "launch": now.launch,
            "problem": problem,
            "steps": steps(now, offering.facility(launch.facility)),
            "place": place_words(offering, launch),
            "things": await self._things(launch),
            "origin": self.origin_of(launch),
            "copy_url": copy_url(offering, launch),
            "anew": self.base + anew_url(launch),
            "action": here,
            "events_url": f"{here}events",
            # Who has just pressed the button goes on by themselves; who looks at it later presses “Open”.
            "goes": self.get_query_argument("go", "") == "1",
        }
        self.show("launching.html", title=launch.title, context=context)

    async def post(self, launch_id: str) -> None:
        """Do what the pressed button says."""
        actions = {"stop": self._stop, "start": self._start, "remove": self._remove, "rename": self._rename}
        action = actions.get(self.get_body_argument("do", ""))
        if action is None:
            raise Invalid("This button does nothing.")
        try:
            to, notice = await action(launch_id)
        except (Invalid, Conflict) as error:
            error.field = error.field or "do"
            self.fail_form(error)
            await self.get(launch_id)
            return
        self.done("servers" if self.get_body_argument("back", "") == "servers" else to, notice)

    async def _stop(self, launch_id: str) -> tuple[str, str]:
        now = await self.portal.launching.stop(self.lent, launch_id)
        return f"launches/{launch_id}/", f"“{now.launch.title}” is {'being ' * (now.phase == 'stopping')}stopped."

    async def _start(self, launch_id: str) -> tuple[str, str]:
        await self.portal.launching.start_again(self.lent, launch_id)
        return f"launches/{launch_id}/?go=1", ""

    async def _remove(self, launch_id: str) -> tuple[str, str]:
        title = self.portal.launching.get(self.visitor, launch_id).title
        await self.portal.launching.remove(self.lent, launch_id)
        return "servers", f"“{title}” is removed. The files that you worked on are still in your home."

    async def _rename(self, launch_id: str) -> tuple[str, str]:
        launch = self.portal.launching.rename(self.visitor, launch_id, self.get_body_argument("title", ""))
        return f"launches/{launch_id}/", f"It is called “{launch.title}” now."

    async def _things(self, launch: Launch) -> list[tuple[str, str]]:
        """Return what goes along, by id and title; nothing for a basket that is not for them any more."""
        if not launch.asked.get("basket"):
            return []
        try:
            look = await self.portal.baskets.look(self.visitor, launch.asked["basket"])
        except VaasError:
            return []
        return [(each.thing.id, each.thing.title) for each in look.things if each.state == "there"]


class LaunchEvents(_Lender, EventStream):
    """How far one launch is."""

    async def get(self, launch_id: str) -> None:
        """Stream until it is ready, failed or stopped."""
        self._launch_id, self._moment = self.portal.launching.get(self.visitor, launch_id).id, 0.0
        await self.stream(every=_LOOK)

    async def pause(self, seconds: float) -> None:
        """Wait, but only a moment once JupyterLab listens: then the Hub is about to find it."""
        if not self._moment and await self.portal.placing.pause(self._launch_id, seconds):
            self._moment = _MOMENT
        elif self._moment:
            self._moment *= 2
        await asyncio.sleep(min(self._moment, seconds))

    async def state(self) -> tuple[bool, dict[str, object]]:
        """Return the event for the page."""
        try:
            now = await self.portal.launching.progress(self.lent, self._launch_id)
        except Unavailable as error:  # the server may come up all the same
            return False, {"problem": error.message}
        except VaasError as error:
            return True, {"problem": error.message, "over": True}
        over = now.phase not in ON_THE_WAY | {"stopping"}
        return over, event_json(now) | {"step": now.step, "over": over}


class ServersPage(_Lender, Page):
    """“My servers”: all launches of the person."""

    nav = "servers"

    async def get(self) -> None:
        """Show them, the newest first."""
        problem = ""
        try:
            found = await self.portal.launching.look(self.lent)
        except (Unavailable, Forbidden) as error:
            found, problem = self.portal.launching.known(self.visitor), error.message
        rows = [
            {
                "now": now,
                "launch": now.launch,
                "place": place_words(self.portal.core.offering, now.launch),
                "origin": self.origin_of(now.launch),
                "action": f"{self.base}launches/{now.launch.id}/",
            }
            for now in found
        ]
        self.show("servers.html", title="My servers", context={"rows": rows, "problem": problem})


class LaunchesJson(_Lender, Api):
    """The caller's launches: each a JupyterLab of their own."""

    async def get(self) -> None:
        """Send them, the newest first, each with how it is doing now."""
        found = await self.portal.launching.look(self.lent)
        self.reply({"launches": [launch_json(now, base=self.public_url) for now in found]})

    async def post(self) -> None:
        """Launch an ``app``, or the notebook at ``path`` in ``store``, with a ``basket``, or a basket alone.

        ``copy`` (true) has a notebook of the home worked on as a copy; else it is opened where it lies.

        The data of a ``record`` of a ``catalog`` are launched in a basket of their own, the result of a ``run`` with
        copies of the data that the run was given.

        ``facility``, ``environment`` and ``size`` say where and with what, ``title`` what it is called; what is left
        out is what the portal suggests.
        """
        where = {name: self.text(name) for name in ("facility", "environment", "size", "title")}
        asked = {name: self.text(name) for name in _ASKED if name != "copy"}
        asked["copy"] = "1" if self.flag("copy") else ""
        launch = await self.portal.launching.ask(self.visitor, asked, **where)
        launch = await self.portal.launching.begin(self.lent, launch.id)
        self.reply(launch_json(Standing(launch, launch.state), base=self.public_url), status=201)


class LaunchJson(_Lender, Api):
    """One of the caller's launches."""

    async def get(self, launch_id: str) -> None:
        """Send how it is doing: ``state``, ``percent``, ``message``, and ``url`` once JupyterLab is ready."""
        now = await self.portal.launching.progress(self.lent, launch_id)
        self.reply(launch_json(now, base=self.public_url))

    async def delete(self, launch_id: str) -> None:
        """Stop it and forget it; the working copy stays among the caller's files."""
        await self.portal.launching.remove(self.lent, launch_id)
        self.set_status(204)


class LaunchStopJson(_Lender, Api):
    """That a launch is to end."""

    async def post(self, launch_id: str) -> None:
        """Stop it, also while it starts; what does not run stays as it is."""
        now = await self.portal.launching.stop(self.lent, launch_id)
        self.reply(launch_json(now, base=self.public_url))


class LaunchStartJson(_Lender, Api):
    """That a launch is to run again."""

    async def post(self, launch_id: str) -> None:
        """Start it again with the working copy that it has; what runs stays as it is."""
        launch = await self.portal.launching.start_again(self.lent, launch_id)
        self.reply(launch_json(Standing(launch, launch.state), base=self.public_url))
