"""The door to an app: progress while it starts, then the way in; and the question before a basket is handed to it."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
from urllib.parse import parse_qsl, urlencode

from hub_service.asked_reading import file_name
from hub_service.handlers.apps import EventStream
from hub_service.handlers.base import Page
from hub_service.handlers.keeping import named
from hub_service.kept_json import thing_json
from vaas.errors import Conflict, Invalid, NotFound, VaasError
from vaas.keeping import Handed
from vaas.portal import Progress

__all__ = ["HandPage", "OpenEvents", "OpenPage"]

_log = logging.getLogger("vaas")
#: Parameters of an opening that are the door's, for an app that takes a basket: which one, and which yes.
_BASKET, _YES = "basket", "yes"
#: The cookie that holds a yes. It is for one opening, and for as long as one may take: seconds.
_COOKIE, _HOLDS = "vaas-handed", 900


class _Door(Page):
    """What leads into an app, perhaps with a basket."""

    framed = True

    @property
    def asked_basket(self) -> str:
        """The basket that the address names; "" for none."""
        return self.get_query_argument(_BASKET, "")

    def onward(self, *without: str) -> str:
        """Return the query without these parameters."""
        try:
            given = parse_qsl(self.request.query, keep_blank_values=True, max_num_fields=1000)
        except ValueError as error:
            raise Invalid("This address has too many parameters.") from error
        return urlencode([(name, value) for name, value in given if name not in without])

    async def handed(self, slug: str) -> Handed | None:
        """Return what the person gave by the yes that the address names; None for none, or if it holds no more."""
        said, yes = self.kept(_COOKIE, days=1), self.get_query_argument(_YES, "")
        if not said or not yes:
            return None
        given = json.loads(said)
        asked = [self.visitor.name, slug, self.asked_basket]
        now = self.portal.core.now().timestamp()
        if given["for"] != asked or not _same(given["yes"], yes) or now > given["until"]:
            return None
        if self.portal.handing.is_spent(yes):
            return None
        with contextlib.suppress(NotFound):
            return await self.portal.handing.given(self.visitor, slug, named(self.asked_basket), given["mark"])
        return None

    def spend_yes(self) -> bool:
        """Use the yes that the address names, which leads in once; tell whether it was not used before."""
        return self.portal.handing.spend(self.get_query_argument(_YES, ""), seconds=_HOLDS)

    def keep_yes(self, slug: str, mark: str) -> str:
        """Keep in this browser what the person said yes to, and return what an address names it by."""
        yes = secrets.token_urlsafe(16)
        until = self.portal.core.now().timestamp() + _HOLDS
        asked = [self.visitor.name, slug, self.asked_basket]
        self.keep(_COOKIE, json.dumps({"for": asked, "yes": yes, "mark": mark, "until": until}))
        return yes

    async def ask(self, slug: str, *, changed: bool = False) -> None:
        """Ask whether the app may have the basket. No other site frames this: a click there may be for the yes."""
        self.framed = False
        self.set_default_headers()
        app = self.portal.core.see(self.visitor, slug, "open").app
        offer = problem = None
        if self.user is not None:
            try:
                offer = await self.portal.handing.offer(self.visitor, slug, named(self.asked_basket))
            except NotFound as error:
                problem = error.message
        without = self.onward(_BASKET, _YES)
        context = {
            "app": app,
            "offer": offer,
            "problem": problem,
            "changed": changed,
            "files": [file_name(held.thing) for held in offer.things] if offer else [],
            "things": [thing_json(held, base=self.public_url) for held in offer.things] if offer else [],
            "action": f"{self.base}apps/{slug}/hand?{self.onward(_YES)}",
            "without": f"{self.base}apps/{slug}/open" + (f"?{without}" if without else ""),
        }
        if changed:
            self.set_status(409)
        self.show("handing.html", title=f"Open {app.title} with a basket", context=context)


class OpenPage(_Door):
    """The door to an app: progress while it starts, then the way in."""

    async def get(self, slug: str) -> None:
        """Start the app if need be; show how far it is, or the form that leads in. Before a basket is given, ask."""
        if not self.asked_basket or not self.portal.handing.takes_basket(self.visitor, slug):
            went = await self.portal.opening.begin(self.visitor, slug)
            self.lead(went, self.request.query, events=self.request.query)
        elif handed := await self.handed(slug):
            try:
                went = await self.portal.opening.begin(self.visitor, slug, handed=handed)
            except Conflict:
                await self.ask(slug, changed=True)
                return
            if went.ticket:
                if not self.spend_yes():
                    await self.ask(slug)
                    return
                self.drop(_COOKIE)
            self.lead(went, self.onward(_BASKET, _YES), events=self.request.query)
        else:
            await self.ask(slug)

    def lead(self, went: Progress, query: str, *, events: str) -> None:
        """Show what fits how far it is; ``query`` is what the app is told, ``events`` that of the address."""
        app = went.app
        context = {"app": app, "query": query, "cover": f"{self.base}apps/{app.slug}/cover"}
        if went.phase == "ready":
            way_in = {"action": went.action, "ticket": went.ticket}
            self.show("enter.html", title=app.title, context={**context, **way_in})
        elif went.phase == "failed":
            self.set_status(503)
            failed = {"text": went.error, "fix": "Try again in a moment.", "detail": went.detail}
            retry = f"{self.base}apps/{app.slug}/open" + (f"?{events}" if events else "")
            self.show("failed.html", title=app.title, context={**context, **failed, "retry_url": retry})
        else:
            state = {"phase": went.phase, "progress": went.progress, "message": went.message}
            address = f"{self.base}apps/{app.slug}/events" + (f"?{events}" if events else "")
            context |= {"state": state, "events_url": address}
            outline = self.portal.opening.outline(self.visitor, app.slug)
            page = "waking.html" if outline else "opening.html"
            self.show(page, title=app.title, context={**context, "outline": outline})


class HandPage(_Door):
    """The yes to handing a basket to an app."""

    framed = False

    async def post(self, slug: str) -> None:
        """Take the yes to what was shown, and go in with it; ask again if it is something else by now."""
        offer = await self.portal.handing.offer(self.visitor, slug, named(self.asked_basket))
        if not offer.things or not self.portal.handing.takes_basket(self.visitor, slug):
            raise Invalid("There is nothing to hand over. Open the app without a basket.")
        if not _same(offer.mark, self.get_body_argument("mark", "")):
            await self.ask(slug, changed=True)
            return
        _log.info("%s hands %d things of a basket to %s.", self.visitor.name, len(offer.things), slug)
        query = "&".join(filter(None, [self.onward(_YES), urlencode({_YES: self.keep_yes(slug, offer.mark)})]))
        self.redirect(f"{self.base}apps/{slug}/open?{query}", status=303)


class OpenEvents(_Door, EventStream):
    """How far an opening is."""

    async def get(self, slug: str) -> None:
        """Stream until the app is ready or has failed."""
        self.portal.gallery.app(self.visitor, slug)
        self._slug = slug
        self._with_basket = bool(self.asked_basket) and self.portal.handing.takes_basket(self.visitor, slug)
        await self.stream()

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the start is over: the visitor waits for that."""
        with contextlib.suppress(VaasError):  # the next look tells the visitor
            await self.portal.opening.pause(self.visitor, self._slug, seconds)

    async def state(self) -> tuple[bool, dict[str, object]]:
        """Return the event for the opening page."""
        query, handed = self.request.query, None
        try:
            went = await self.portal.opening.progress(self.visitor, self._slug)
            if self._with_basket and went.phase == "ready":
                query, handed = self.onward(_BASKET, _YES), await self.handed(self._slug)
                if handed is None:
                    raise Conflict("What is in the basket, or the app, has changed meanwhile. Nothing was handed over.")
                went = await self.portal.opening.progress(self.visitor, self._slug, handed=handed)
                if went.ticket and not self.spend_yes():
                    raise Conflict("This yes was for one opening. Open the app with the basket again.")
        except VaasError as error:
            return True, {"phase": "failed", "error": {"text": error.message, "fix": "Try again in a moment."}}
        value: dict[str, object] = {"phase": went.phase, "progress": went.progress, "message": went.message}
        if went.phase == "ready":
            value["form"] = {"action": went.action, "ticket": went.ticket, "query": query}
        if went.phase == "failed":
            value["error"] = {"text": went.error, "fix": "Try again in a moment.", "detail": went.detail}
        return went.phase in {"ready", "failed"}, value


def _same(ours: str, said: str) -> bool:
    return hmac.compare_digest(ours.encode(), said.encode("utf-8", "replace"))
