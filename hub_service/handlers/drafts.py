"""From a notebook to an app: the draft's page with its check, its preview and the publish form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from hub_service.handlers.apps import EventStream
from hub_service.handlers.base import Page
from hub_service.handlers.reach import network_in_form, shown, wanted
from vaas.errors import VaasError
from vaas.model import EVERYONE, SIGNED_IN, Draft, Visitor
from vaas.portal import Publication

__all__ = ["DraftAgain", "DraftDiscard", "DraftEvents", "DraftPage", "DraftsPage", "PublishPage"]


#: So many seconds may pass until a server says how its app opens, besides those that the notebook takes.
_A_WHILE = 20.0


class DraftsPage(Page):
    """Where drafts begin."""

    async def post(self) -> None:
        """Make a draft of a notebook in a store, with what travels along."""
        store, path = self.get_body_argument("store"), self.get_body_argument("path")
        chosen = self.get_body_arguments("include")
        said = chosen or self.get_body_argument("chosen", "")
        slug, environment = (self.get_body_argument(name, "") for name in ("slug", "environment"))
        include, network = chosen if said else None, network_in_form(self)
        draft = await self.portal.drafts.begin(
            self.person, store, path, include=include, slug=slug, network=network, environment=environment
        )
        self.done(f"drafts/{draft.id}/")


class DraftPage(Page):
    """Check → who can see it → publish, on one page."""

    nav = "files"

    async def get(self, draft_id: str) -> None:
        """Show the draft."""
        draft = await self.portal.drafts.progress(self.person, draft_id)
        seen = self.portal.core.see(Visitor(self.person), draft.slug) if draft.slug else None
        site = self.portal.core.network
        context = {
            "draft": draft,
            "events_url": f"{self.base}drafts/{draft.id}/events",
            "report": dict(draft.report),
            "reach": shown(draft.network, site=site),
            "wanted": wanted(draft, site=site),
            "files": list(draft.snapshot.files),
            "environment": self.portal.environments.shown(draft),
            **await self._served(draft),
            "other_files": await self._others(draft),
            "preview": await self._preview(draft),
            "of_run": self.portal.drafts.has_data(self.person, draft),
            "app": seen.app if seen else None,
            "groups": sorted(self.person.groups),
            "people": await self.portal.core.directory.people(),
            "categories": self.categories(),
        }
        self.show("draft.html", title=f"Publish {draft.title}", context=context)

    async def _served(self, draft: Draft) -> dict[str, Any]:
        """Return what it can be served with and what is chosen; ``choice`` is what a new check has to be told."""
        choosing = self.portal.choosing
        fits = await asyncio.to_thread(choosing.fits, draft.snapshot, self.person) if draft.state == "done" else []
        chosen = await asyncio.to_thread(choosing.chosen, draft.snapshot)
        found = next((fit.environment for fit in fits if fit.environment.id == chosen), None)
        left = "" if not fits or chosen == choosing.suggested(fits) else chosen
        return {"fits": fits, "chosen": chosen, "chosen_title": found.title if found else "", "choice": left}

    async def _others(self, draft: Draft) -> list[str]:
        """Return what lies beside the notebook and does not travel along; nothing when the store is silent."""
        if not draft.origin_store or draft.state != "done":
            return []
        try:
            around = await self.portal.drafts.around(self.person, draft.origin_store, draft.origin_path)
        except VaasError:
            return []
        taken = {file.path.partition("/")[0] for file in draft.snapshot.files}
        return [entry.name for entry in around[2] if entry.name not in taken]

    async def _preview(self, draft: Draft) -> dict[str, str] | None:
        if draft.state != "done":
            return None
        try:
            action, ticket = await self.portal.opening.preview(draft, Visitor(self.person))
        except VaasError:
            return None
        return {"action": action, "ticket": ticket} if action else None


class DraftEvents(EventStream):
    """How far a check is."""

    async def get(self, draft_id: str) -> None:
        """Stream until the check is done, and it is known how the app will open."""
        self._draft = self.portal.drafts.get(self.person, draft_id).id
        self._done: float | None = None
        await self.stream()

    async def state(self) -> tuple[bool, dict[str, object]]:
        """Return the event for the draft's page."""
        try:
            draft = await self.portal.drafts.progress(self.person, self._draft)
        except VaasError as error:
            return True, {"state": "done", "error": error.message}
        report = {key: value for key, value in draft.report.items() if key != "picture"}
        value: dict[str, object] = {"state": draft.state, "progress": dict(draft.progress), "report": report}
        if draft.state == "done" and self._done is None:
            self._done = time.monotonic()
        over = draft.state == "done" and ("opens" in report or not self._may_tell(report))
        return over, value | {"over": over}

    def _may_tell(self, report: Mapping[str, Any]) -> bool:
        """Whether the draft's server may yet say how the app opens: it runs the notebook once more for that."""
        waited = time.monotonic() - (self._done or 0.0)
        return bool(report.get("ok")) and waited < _A_WHILE + 2 * float(report.get("seconds") or 0)


class PublishPage(DraftPage):
    """The last click."""

    async def post(self, draft_id: str) -> None:
        """Publish the draft for the chosen audience."""
        audience = self.get_body_argument("audience", "me")
        title, slug, description, category, note = (
            self.get_body_argument(name, "") for name in ("title", "slug", "description", "category", "note")
        )
        publication = Publication(
            title=title,
            slug=slug,
            description=description,
            category=category,
            note=note,
            tags=tuple(self.get_body_argument("tags", "").split(",")),
            subjects=tuple(self._subjects(audience)),
            link=audience == "link",
            anyway=self.get_body_argument("anyway", "") == "1",
            # A box that is not ticked is not sent; the form of a new version has none.
            knows_visitor=self.get_body_argument("knows", "") == "1" or None,
        )
        try:
            await self.portal.sharing.check_known(publication.subjects)
            app, link = self.portal.drafts.publish(self.person, draft_id, publication)
        except VaasError as error:
            self.fail_form(error)
            await self.get(draft_id)
            return
        where = f"apps/{app.slug}/share" if link else f"apps/{app.slug}/"
        self.done(where, f"“{app.title}” is published.")

    def _subjects(self, audience: str) -> list[str]:
        fixed = {"everyone": [EVERYONE], "signed-in": [SIGNED_IN]}
        people = [name.strip() for name in self.get_body_argument("people", "").split(",")]
        named = [f"user:{name}" for name in people if name]
        named += [f"group:{name}" for name in self.get_body_arguments("groups")]
        return fixed.get(audience, named if audience == "people" else [])


class DraftAgain(DraftPage):
    """Check once more, perhaps with more or less within reach, or in another environment."""

    async def post(self, draft_id: str) -> None:
        """Start the check anew."""
        try:
            network, environment = network_in_form(self), self.get_body_argument("environment", "")
            draft = self.portal.drafts.check_again(self.person, draft_id, network=network, environment=environment)
        except VaasError as error:
            self.fail_form(error)
            await self.get(draft_id)
            return
        self.done(f"drafts/{draft.id}/")


class DraftDiscard(Page):
    """Throw a draft away."""

    def post(self, draft_id: str) -> None:
        """Do it, and go back to the files."""
        self.portal.drafts.discard(self.person, draft_id)
        self.done("files/", "The draft is gone. Your notebook is untouched.")
