"""REST of drafts: from files to a checked draft, and from that to an app."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import asdict
from typing import Any

from hub_service.handlers.api import app_json, link_json, strings
from hub_service.handlers.base import Api, plain
from hub_service.handlers.reach import network_in_json
from vaas.errors import Invalid
from vaas.model import Access, Draft
from vaas.portal import Publication
from vaas.portal.serving import Fit

__all__ = ["DraftCheckJson", "DraftJson", "DraftsJson", "PublishJson", "UploadJson"]


def draft_json(draft: Draft, *, environment: str) -> dict[str, Any]:
    """Return the draft as REST shows it, with the id of what it is to be served with."""
    shown: dict[str, Any] = plain(asdict(draft))
    shown["files"] = shown.pop("snapshot")["files"]
    return {**shown, "environment": environment}


def fit_json(fit: Fit) -> dict[str, Any]:
    """Return an environment that can be chosen, or says why it cannot; ``missing`` null: nobody knows."""
    found = {name: getattr(fit.environment, name) for name in ("id", "title", "language", "version")}
    return {**found, "missing": fit.missing if fit.missing is None else [*fit.missing], "why_not": fit.why_not}


class _Told(Api):
    """Answers with a draft."""

    def told(self, draft: Draft) -> dict[str, Any]:
        """Return it as REST shows it."""
        return draft_json(draft, environment=self.portal.choosing.chosen(draft.snapshot))


class DraftsJson(_Told):
    """Where drafts begin."""

    async def post(self) -> None:
        """Make a draft of ``path`` in ``store``; ``include`` lists what travels along (left out: what seems needed).

        Or of what came of a ``run``: ``shares`` true says that copies of the data that it was given may be passed on.
        ``network`` is what it may reach: "none", "all" or hosts (left out: what the app may).
        ``environment`` is what it is to be served with: "beside" for the packages that a file beside it asks for,
        "apps" for what all apps have, or the id of one of the site's (left out: what fits).
        """
        drafts, network, environment = self.portal.drafts, network_in_json(self.json), self.text("environment")
        store, path, run = (self.text(name) for name in ("store", "path", "run"))
        if run and (store or path):
            raise Invalid("Name a run, or a path in a store, not both.")
        if run:
            shares = self.flag("shares") is True
            draft = await drafts.begin_result(self.person, run, shares=shares, network=network, environment=environment)
        else:
            include = self.json.get("include")
            chosen = None if include is None else strings("include", include)
            draft = await drafts.begin(
                self.person, store, path, include=chosen, network=network, environment=environment
            )
        self.reply(self.told(draft), status=201)


class UploadJson(_Told):
    """Drafts of files that are sent along."""

    def post(self) -> None:
        """Make a draft of ``files`` (path → base64); ``notebook`` names the one to run, ``slug`` an app to update.

        ``network`` is what it may reach: "none", "all" or hosts (left out: what that app may). ``environment`` is
        that of ``POST drafts``.
        """
        files = self.json.get("files")
        if not isinstance(files, dict) or not files:
            raise Invalid("“files” must map at least one path to base64.")
        try:
            decoded = {str(path): base64.b64decode(data, validate=True) for path, data in files.items()}
        except (binascii.Error, ValueError, TypeError) as error:
            raise Invalid("A file's content is not base64.") from error
        drafts, network = self.portal.drafts, network_in_json(self.json)
        slug, path, environment = (self.text(name) for name in ("slug", "notebook", "environment"))
        draft = drafts.begin_upload(
            self.person, decoded, slug=slug, path=path, network=network, environment=environment
        )
        self.reply(self.told(draft), status=201)


class DraftJson(_Told):
    """One of the caller's drafts."""

    async def get(self, draft_id: str) -> None:
        """Send it with its check; when that is done, also the ``environments`` that it can be served with."""
        draft, choosing = await self.portal.drafts.progress(self.person, draft_id), self.portal.choosing
        told = self.told(draft)
        if draft.state == "done":
            fits = await asyncio.to_thread(choosing.fits, draft.snapshot, self.person)
            told["environments"] = [fit_json(fit) for fit in fits]
        self.reply(told)

    def delete(self, draft_id: str) -> None:
        """Throw it away."""
        self.portal.drafts.discard(self.person, draft_id)
        self.set_status(204)


class PublishJson(Api):
    """Turning a draft into an app's version."""

    async def post(self, draft_id: str) -> None:
        """Publish it; ``subjects`` get VIEW, ``link`` true makes a link, ``anyway`` true passes a failed check.

        ``knows_visitor`` true lets its code know the name and groups of who is looking (left out: as before).
        """
        publication = Publication(
            title=self.text("title"),
            slug=self.text("slug"),
            description=self.text("description"),
            category=self.text("category"),
            note=self.text("note"),
            tags=strings("tags", self.json.get("tags", [])),
            subjects=strings("subjects", self.json.get("subjects", [])),
            link=self.json.get("link") is True,
            anyway=self.json.get("anyway") is True,
            knows_visitor=self.flag("knows_visitor"),
        )
        await self.portal.sharing.check_known(publication.subjects)
        app, link = self.portal.drafts.publish(self.person, draft_id, publication)
        shared = {"link": link_json(link, base=self.public_url)} if link else {}
        self.reply({**app_json(app, base=self.public_url, access=Access.WRITE), **shared}, status=201)


class DraftCheckJson(_Told):
    """Checking a draft once more."""

    def post(self, draft_id: str) -> None:
        """Start the check anew, perhaps with another ``network`` or ``environment``, as ``POST drafts`` takes them."""
        network, environment = network_in_json(self.json), self.text("environment")
        draft = self.portal.drafts.check_again(self.person, draft_id, network=network, environment=environment)
        self.reply(self.told(draft))
