"""The gallery, an app's page, its settings, and the way into it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO, ClassVar
from urllib.parse import quote

from tornado import web
from tornado.iostream import StreamClosedError

from hub_service.covers import draw_cover
from hub_service.discovery import DISCOVERY
from hub_service.handlers import incidents, reach
from hub_service.handlers.base import Page
from vaas.addresses import origin_of
from vaas.db.base import Query
from vaas.errors import Invalid, VaasError
from vaas.model import Access
from vaas.network import within
from vaas.policy import subject_title
from vaas.portal.core import takes
from vaas.portal.gallery import Appearance, why

__all__ = [
    "AppPage",
    "Cover",
    "EventStream",
    "GalleryPage",
    "LogText",
    "SettingsPage",
    "SourceZip",
]

#: How long a page of progress is kept open at most, in seconds.
_PATIENCE = 600
#: Streams of one person, and of all strangers together; each looks at the state several times a second.
_MOST_STREAMS, _MOST_OF_STRANGERS = 20, 500
#: What an address of an app asks for is led back with it, up to so many characters.
_LONGEST_QUERY = 4_000


class GalleryPage(Page):
    """The portal's first page: the apps that the visitor may see."""

    def get(self) -> None:
        """Show the apps that match."""
        show = self.get_query_argument("show", "all")
        query, category = self.get_query_argument("q", ""), self.get_query_argument("category", "")
        show = show if show in {"all", "mine", "shared"} and self.user else "all"
        self.nav = {"all": "gallery"}.get(show, show)
        gallery, words = self.portal.gallery, tuple(query.split()[:8])
        everything = gallery.apps(self.visitor, Query(show=show))
        cards = gallery.apps(self.visitor, Query(words, category, show)) if words or category else everything
        context = {
            "cards": cards,
            "q": query,
            "category": category,
            "categories": sorted({listed.app.category for listed in everything if listed.app.category}),
            "show": show,
            "total": len(everything),
            "discover": "" if cards else self._discover(),
        }
        self.show("gallery.html", title="Gallery", context=context)

    def _discover(self) -> str:
        """Return the slug of the app that finds more than apps; "" where the visitor does not see it."""
        apps = self.portal.gallery.apps(self.visitor, Query())
        return next((listed.app.slug for listed in apps if listed.app.id == DISCOVERY), "")


class AppPage(Page):
    """What one app is, who made it, and what the visitor may do with it."""

    nav = "gallery"

    async def get(self, slug: str) -> None:
        """Show the app."""
        seen = self.portal.gallery.app(self.visitor, slug)
        version = self.portal.gallery.current(seen.app)
        reads, writes = seen.access >= Access.READ, seen.access >= Access.WRITE
        grants = self.portal.gallery.grants(seen.app)
        context = {
            "app": seen.app,
            "access_level": seen.access,
            "why": why(self.visitor, seen.app, grants),
            "version": version,
            "versions": self.portal.versions.list(self.visitor, slug)[1] if reads else [],
            "files": list(version.snapshot.files) if version and reads else [],
            "running": await self._running(seen.app.slug),
            "waiting": self.portal.servers.waiting(seen.app, version) if version else 0,
            "shared_with": [subject_title(g.subject) for g in grants] if writes else [],
            "incidents": [incidents.shown(i) for i in self.portal.incidents.of(self.visitor, slug)] if writes else [],
            "network": within(seen.app.network, self.portal.core.network) if writes else (),
            "takes": takes(version.report) if version else (),
            "mode": version.report.get("opens", {}).get("mode", "") if version else "",
            "opens": self.portal.gallery.opens(seen),
            "environment": self.portal.environments.shown(version) if version else None,
            "request": self.portal.requests.last_for(self.visitor, seen.app),
        }
        self.show("app.html", title=seen.app.title, context=context)

    async def _running(self, slug: str) -> str:
        """Say how the server is, or nothing when the Hub cannot tell: the page is worth showing anyway."""
        try:
            return await self.portal.opening.running(self.portal.gallery.app(self.visitor, slug).app)
        except VaasError:
            return ""


class Cover(Page):
    """An app's picture: its own, or one drawn for it."""

    def get(self, slug: str) -> None:
        """Send the picture."""
        app, data, mime = self.portal.gallery.cover(self.visitor, slug)
        self.set_header("Cache-Control", "private, max-age=60")
        self.set_header("Content-Type", mime or "image/svg+xml")
        self.finish(data or draw_cover(app.title, app.id))


class EventStream(Page):
    """Server-sent events: one JSON object each, until it is over or nobody listens.

    Of one person, and of all strangers together, so many are open at once: beyond, the oldest end, and whoever still
    looks at their pages begins anew.
    """

    _closed = False
    #: By name, "" for strangers: what is open, the oldest first.
    _open: ClassVar[dict[str, list[EventStream]]] = {}

    def on_connection_close(self) -> None:
        """Notice that nobody listens any more."""
        self._closed = True

    async def stream(self, *, every: float = 0.3) -> None:
        """Send what :meth:`state` returns whenever it changes."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        with self._among_others():
            await self._stream(every)

    async def _stream(self, every: float) -> None:
        last, waited = "", 0.0
        while not self._closed and waited < _PATIENCE:
            over, value = await self.state()
            text = json.dumps(value)
            try:
                if text != last or waited % 10 < every:
                    self.write(f"data: {text}\n\n")
                    await self.flush()
            except StreamClosedError:
                return
            last, waited = text, waited + every
            if over:
                return
            await self.pause(every)

    @contextmanager
    def _among_others(self) -> Iterator[None]:
        """Be one of the open ones of who asks."""
        name = self.user.name if self.user else ""
        others = self._open.setdefault(name, [])
        others.append(self)
        for oldest in others[: -_MOST_STREAMS if name else -_MOST_OF_STRANGERS]:
            oldest._closed = True
        try:
            yield
        finally:
            others.remove(self)
            if not others:
                self._open.pop(name, None)

    async def pause(self, seconds: float) -> None:
        """Wait before the state is looked at again."""
        await asyncio.sleep(seconds)

    async def state(self) -> tuple[bool, dict[str, object]]:
        """Return whether this is the last event, and the event."""
        raise NotImplementedError


class LogText(Page):
    """What the app's server wrote; for those who may change the app."""

    def get(self, slug: str) -> None:
        """Send its last lines."""
        text = self.portal.opening.log(self.visitor, slug)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text or "Nothing was written yet.")


class SettingsPage(Page):
    """How an app presents itself, what it may reach and know, whose it is, and whether it is there at all."""

    nav = "mine"

    def get(self, slug: str) -> None:
        """Show the form."""
        seen = self.portal.core.see(self.visitor, slug, "edit")
        context = {"app": seen.app, "access_level": seen.access, "categories": self.categories()}
        fields = reach.shown(seen.app.network, site=self.portal.core.network)
        self.show("settings.html", title="Settings", context={**context, "reach": fields})

    async def post(self, slug: str) -> None:
        """Do what the pressed button says."""
        actions = {"save": self._save, "reach": self._reach, "introduce": self._introduce, "give": self._give}
        actions["withdraw"] = self._withdraw
        action = actions.get(self.get_body_argument("do", "save"))
        if action is None:
            raise Invalid("This button does nothing.")
        try:
            await action(slug)
        except VaasError as error:
            self.fail_form(error)
            self.get(slug)

    async def _save(self, slug: str) -> None:
        title, description, category, tags = (
            self.get_body_argument(name, "") for name in ("title", "description", "category", "tags")
        )
        uploaded = self.request.files.get("cover") or []
        cover = uploaded[0].body if uploaded and uploaded[0].body else None
        change = Appearance(title, description, category, tuple(tags.split(",")), cover)
        app = self.portal.gallery.edit(self.visitor, slug, change)
        self.done(f"apps/{app.slug}/", "Saved.")

    async def _reach(self, slug: str) -> None:
        network = reach.network_in_form(self)
        if network is not None:
            self.portal.gallery.reach(self.visitor, slug, network)
        heard = "Its kernels hear of it within seconds."
        if self.portal.handing.takes_basket(self.visitor, slug):  # what it was handed is in them
            heard = "What runs may reach less within seconds, and more once the app starts next."
        self.done(f"apps/{slug}/settings", f"Saved. {heard}")

    async def _introduce(self, slug: str) -> None:
        knows = self.get_body_argument("knows", "") == "1"
        self.portal.gallery.introduce(self.visitor, slug, knows_visitor=knows)
        told = "the names and groups of those who open it from now on" if knows else "nobody’s name"
        self.done(f"apps/{slug}/settings", f"Saved. The app is told {told}.")

    async def _give(self, slug: str) -> None:
        app = await self.portal.gallery.give(self.visitor, slug, self.get_body_argument("name").strip())
        self.done("", f"“{app.title}” belongs to {app.owner} now.")

    async def _withdraw(self, slug: str) -> None:
        app = self.portal.core.see(self.visitor, slug, "withdraw").app
        if self.get_body_argument("confirm", "").strip() != app.title:
            raise Invalid("Type the app's title to withdraw it. Nothing was changed.", field="confirm")
        self.portal.gallery.withdraw(self.visitor, slug)
        self.done("", f"“{app.title}” is withdrawn.")


class Wake(Page):
    """The way back to an app from the address of one of its servers, which may be gone."""

    framed = True

    def get(self, account: str) -> None:
        """Go to the app's door, for those who may know of it."""
        app = self.portal.opening.app_of(self.visitor, account)
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.base}apps/{app.slug}/open{query}")


#: Addresses of people's own servers, whether there is one or not.
_LAUNCH = re.compile(r"/user/[^/]+/l([a-z0-9]{12})(?:/|$)")


class Asleep(Page):
    """What is shown at an address of a server where none answers: the way back to the app, or to one's servers."""

    framed = True

    def show_way(self, address: str) -> None:
        """Show where to go, with what the address asks for; tells nothing about whether there is such an app."""
        path, _, query = address.partition("?")
        if launch := _LAUNCH.match(path):
            way = f"{self.public_url}launches/{launch[1]}/"  # which tells its own person alone
            self._show_on_its_origin("stopped.html", "This JupyterLab does not run", way)
            return
        found = re.match(r"/user/(app-[a-z0-9]{12})/", path)
        way = f"{self.public_url}wake/{found[1]}{_asked(query)}" if found else self.public_url
        self._show_on_its_origin("asleep.html", "This page has gone to sleep", way)

    def _show_on_its_origin(self, template: str, title: str, way: str) -> None:
        """Show a page where the app's own pages are, with the portal's style sheet and nothing else."""
        styles = origin_of(self.public_url)  # this page is shown on the app's origin
        policy = f"default-src 'none'; style-src {styles}; form-action 'none'; base-uri 'none'"
        self.set_header("Content-Security-Policy", f"{policy}; frame-ancestors {self.ancestors}")
        context = {"way": way, "portal": self.public_url, "policy": policy}
        self.show(template, title=title, context=context)


def _asked(query: str) -> str:
    """Return what stands behind an address for this query; anybody may have written it, so no sign means anything."""
    said = quote(query.partition("#")[0], safe="=&%+", errors="replace")
    return f"?{said}" if said and len(said) <= _LONGEST_QUERY else ""


class ProxyError(Asleep):
    """What the proxy shows where a server should answer and does not; the proxy drops our headers."""

    def get(self, status: str) -> None:
        """Show the way back."""
        self.set_status(int(status))
        self.show_way(self.get_query_argument("url", ""))


class SourceZip(Page):
    """The notebook and its files as a ZIP archive; for READ."""

    async def get(self, slug: str) -> None:
        """Send the archive in pieces; it is packed on the disk, beside the work of others."""
        app, version, chunks = self.portal.versions.source(self.visitor, slug)
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Disposition", f'attachment; filename="{app.slug}-v{version.number}.zip"')
        with tempfile.TemporaryFile() as packed:
            await asyncio.to_thread(_pack_zip, chunks, packed)
            while piece := packed.read(1 << 20):
                self.write(piece)
                await self.flush()


def _pack_zip(chunks: Iterator[bytes], target: IO[bytes]) -> None:
    with tempfile.TemporaryFile() as tarred:
        tarred.writelines(chunks)
        tarred.seek(0)
        with tarfile.open(fileobj=tarred) as tar, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in tar:
                source = tar.extractfile(member)
                with archive.open(member.name, "w", force_zip64=True) as into:
                    shutil.copyfileobj(source or BytesIO(), into)
    target.seek(0)


class NotThere(Asleep):
    """Any address that is none of ours; the proxy sends those of apps whose server sleeps here too."""

    def get(self) -> None:
        """Say so, or show the way back to the app."""
        launch = _LAUNCH.match(self.request.path)
        # A JupyterLab that hears 404 for its folder looks there again at once, and so on for as long as it is open.
        self.set_status(503 if launch else 404)
        if launch or self.request.path.startswith("/user/app-"):
            self.show_way(self.request.uri or "")
        else:
            self._show_on_its_origin("nowhere.html", "There is nothing here", self.public_url)

    def post(self) -> None:
        """Say so."""
        raise web.HTTPError(404)

    put = delete = patch = post
