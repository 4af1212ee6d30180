"""REST: everything that the pages do, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hub_service.handlers.base import Api, plain
from hub_service.handlers.reach import network_in_json
from hub_service.handlers.sharing import access_named
from vaas.db.base import Query
from vaas.errors import Invalid
from vaas.model import Access, App, Entry, Grant, Link, StoreAccount, Version
from vaas.portal.copies import ensure_parents
from vaas.portal.gallery import Appearance
from vaas.stores.base import check_path

__all__ = [
    "AppJson",
    "AppsJson",
    "FilesJson",
    "GrantJson",
    "GrantsJson",
    "LinkJson",
    "LinksJson",
    "MeJson",
    "OpenApiJson",
    "OpeningJson",
    "PeopleJson",
    "StoreJson",
    "StoresJson",
    "VersionCurrentJson",
    "VersionsJson",
]


def app_json(app: App, *, base: str, access: int = Access.VIEW) -> dict[str, Any]:
    """Return the app as REST shows it to whom holds that access: what it may reach is for those who may change it."""
    hidden = {"cover", "origin_store", "origin_path"} | ({"network"} if access < Access.WRITE else set())
    shown = {key: value for key, value in asdict(app).items() if key not in hidden}
    return {**plain(shown), "url": f"{base}apps/{app.slug}/"}


def version_json(version: Version, *, environment: str) -> dict[str, Any]:
    """Return the version as REST shows it, with the id of what it is served with."""
    shown: dict[str, Any] = plain(asdict(version))
    snapshot = shown.pop("snapshot")
    return {**shown, **snapshot, "environment": environment}


def grant_json(grant: Grant) -> dict[str, Any]:
    """Return the grant as REST shows it."""
    return {**plain(asdict(grant)), "access": grant.access.name}


def link_json(link: Link, *, base: str) -> dict[str, Any]:
    """Return the link as REST shows it to those who may list grants."""
    shown: dict[str, Any] = plain(asdict(link))
    return {**shown, "url": f"{base}l/{shown.pop('token')}"}


class MeJson(Api):
    """Who the caller is."""

    def get(self) -> None:
        """Send name, groups, whether they are an admin, and whether they can ``launch``; an empty name for nobody."""
        user = self.user
        groups = sorted(user.groups) if user else []
        told = {"name": user.name if user else "", "groups": groups, "admin": bool(user and user.admin)}
        self.reply({**told, "launch": self.portal.launching.offered(self.visitor)})


class AppsJson(Api):
    """The apps that the caller may see."""

    def get(self) -> None:
        """Send those that match ``q``, ``category`` and ``show``."""
        show = self.get_query_argument("show", "all")
        words = tuple(self.get_query_argument("q", "").split()[:8])
        query = Query(words, self.get_query_argument("category", ""), show if show in {"mine", "shared"} else "all")
        found = self.portal.gallery.apps(self.visitor, query)
        self.reply([{**app_json(x.app, base=self.public_url), "access": x.access, "why": x.why} for x in found])


class AppJson(Api):
    """One app."""

    def get(self, slug: str) -> None:
        """Send it; ``opens`` says, to whom may publish, how it opens and why."""
        seen = self.portal.gallery.app(self.visitor, slug)
        told = app_json(seen.app, base=self.public_url, access=seen.access)
        self.reply(told | ({"opens": opens} if (opens := self.portal.gallery.opens(seen)) else {}))

    async def patch(self, slug: str) -> None:
        """Change how it presents itself, what it may reach (``network``), or whose it is (``owner``).

        ``knows_visitor`` says whether its code is told the name and groups of who is looking.
        """
        owner, network, knows = self.text("owner"), network_in_json(self.json), self.flag("knows_visitor")
        app = self.portal.core.see(self.visitor, slug, "give away" if owner else "edit").app
        await self.portal.sharing.check_known([f"user:{owner}"] if owner else [])
        if network is not None:
            app = self.portal.gallery.reach(self.visitor, slug, network)
        if knows is not None:
            app = self.portal.gallery.introduce(self.visitor, slug, knows_visitor=knows)
        names = ("title", "description", "category")
        if self.json.keys() & {*names, "tags"}:
            tags = self.json.get("tags", list(app.tags))
            title, description, category = (self.text(name, getattr(app, name)) for name in names)
            change = Appearance(title, description, category, strings("tags", tags))
            app = self.portal.gallery.edit(self.visitor, slug, change)
        if owner:  # last: who gives it away may not edit it afterwards
            app = await self.portal.gallery.give(self.visitor, slug, owner)
        self.reply(app_json(app, base=self.public_url, access=Access.WRITE))

    def delete(self, slug: str) -> None:
        """Withdraw it."""
        self.portal.gallery.withdraw(self.visitor, slug)
        self.set_status(204)


class OpeningJson(Api):
    """How far opening the app is; POST starts it."""

    async def get(self, slug: str) -> None:
        """Send phase, progress and message."""
        went = await self.portal.opening.look(self.visitor, slug)
        self._say(went.phase, went.progress, went.error or went.message, slug)

    async def post(self, slug: str) -> None:
        """Start the app unless it runs."""
        went = await self.portal.opening.begin(self.visitor, slug)
        self._say(went.phase, went.progress, went.error or went.message, slug)

    def _say(self, phase: str, progress: int, message: str, slug: str) -> None:
        url = f"{self.public_url}apps/{slug}/open"
        self.reply({"phase": phase, "progress": progress, "message": message, "url": url})


class VersionsJson(Api):
    """The versions of an app."""

    def get(self, slug: str) -> None:
        """Send them, newest first."""
        app, versions = self.portal.versions.list(self.visitor, slug)
        served = {each.number: self.portal.choosing.chosen(each.snapshot) for each in versions}
        told = [version_json(each, environment=served[each.number]) for each in versions]
        self.reply([{**each, "current": each["hash"] == app.version} for each in told])


class VersionCurrentJson(Api):
    """Which version new visitors get."""

    def put(self, slug: str) -> None:
        """Make the version with ``hash`` the current one."""
        app = self.portal.versions.roll_back(self.visitor, slug, self.text("hash"))
        self.reply(app_json(app, base=self.public_url))


class GrantsJson(Api):
    """Who may do what with an app."""

    def get(self, slug: str) -> None:
        """Send all grants."""
        self.reply([grant_json(grant) for grant in self.portal.sharing.grants(self.visitor, slug)[1]])


class GrantJson(Api):
    """One subject's grant: ``everyone``, ``signed-in``, ``user:NAME`` or ``group:NAME``."""

    async def put(self, slug: str, subject: str) -> None:
        """Give the subject that ``access``: VIEW, READ or WRITE."""
        access = access_named(self.text("access", "VIEW"))
        self.reply(grant_json(await self.portal.sharing.grant(self.visitor, slug, subject=subject, access=access)))

    def delete(self, slug: str, subject: str) -> None:
        """Take it away."""
        self.portal.sharing.revoke(self.visitor, slug, subject)
        self.set_status(204)


class LinksJson(Api):
    """The links of an app."""

    def get(self, slug: str) -> None:
        """Send them, newest first."""
        links = self.portal.sharing.grants(self.visitor, slug)[2]
        self.reply([link_json(link, base=self.public_url) for link in links])

    def post(self, slug: str) -> None:
        """Make one that works for ``days`` (0: until revoked)."""
        days = self.json.get("days", 0)
        if not isinstance(days, int) or isinstance(days, bool):
            raise Invalid("“days” must be a whole number.")
        link = self.portal.sharing.make_link(self.visitor, slug, days=days)
        self.reply(link_json(link, base=self.public_url), status=201)


class LinkJson(Api):
    """One link."""

    def delete(self, slug: str, link_id: str) -> None:
        """Revoke it."""
        self.portal.sharing.drop_link(self.visitor, slug, link_id)
        self.set_status(204)


class StoresJson(Api):
    """The caller's places for files."""

    def get(self) -> None:
        """Send them."""
        self.reply([{"id": store.id, "title": store.title} for store in self.portal.core.stores.of(self.person)])

    async def post(self) -> None:
        """Connect a WebDAV account."""
        said = {name: self.text(name) for name in ("title", "url", "username", "password")}
        account = await self.portal.core.stores.connect(self.person, **said)
        self.portal.core.written(self.person, account.id, "")
        self.reply(account_json(account), status=201)


class StoreJson(Api):
    """One connected account."""

    def delete(self, store_id: str) -> None:
        """Disconnect it; nothing is deleted there."""
        self.portal.core.stores.disconnect(self.person, store_id)
        self.set_status(204)


class FilesJson(Api):
    """What is in a store."""

    async def get(self, store_id: str, path: str = "") -> None:
        """Send a folder's entries, or with ``?content=1`` a file's bytes."""
        store = self.portal.core.store(self.person, store_id)
        path = check_path(path)
        if self.get_query_argument("content", "") != "1":
            self.reply([entry_json(entry) for entry in await store.list(path)])
            return
        entry = await store.stat(path)
        data = await store.read(path, limit=self.portal.core.limits.notebook_bytes)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", "attachment")
        self.set_header("Etag", f'"{entry.etag}"')
        self.finish(data)

    async def put(self, store_id: str, path: str = "") -> None:
        """Write a file; If-Match names the etag that it must still have, without it the file must be new.

        With ``?parents=1`` the folders in which it is to lie are made where they are not there.
        """
        store = self.portal.core.store(self.person, store_id)
        if self.get_query_argument("parents", "") == "1":
            await ensure_parents(store, check_path(path))
        expected = self.request.headers.get("If-Match")
        match = expected.strip('"') if expected else None
        entry = await store.write(check_path(path), self.request.body, if_match=match)
        self.portal.core.written(self.person, store.id, entry.path)
        self.reply(entry_json(entry), status=200 if expected else 201)


class PeopleJson(Api):
    """People and groups to share with."""

    async def get(self) -> None:
        """Send those whose name holds ``q``, twenty of each at most."""
        q = self.get_query_argument("q", "").lower()
        directory = self.portal.core.directory
        people, groups = await directory.people(), await directory.groups()
        self.reply(
            {
                "people": [name for name in people if q in name.lower()][:20],
                "groups": [name for name in groups if q in name.lower()][:20],
            }
        )


class OpenApiJson(Api):
    """This interface, described."""

    def get(self) -> None:
        """Send the OpenAPI document."""
        self.reply(self.settings["openapi"])


class NoSuchApi(Api):
    """Any address under api/ that is none of ours."""

    def get(self, _path: str = "") -> None:
        """Say so."""
        self.send_error(404)

    post = put = patch = delete = get


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return a store's entry as REST shows it."""
    return {**plain(asdict(entry)), "name": entry.name}


def account_json(account: StoreAccount) -> dict[str, Any]:
    """Return a connected account as REST shows it: without its password."""
    shown: dict[str, Any] = plain(asdict(account))
    return shown


def strings(name: str, value: Any) -> tuple[str, ...]:
    """Return the field of a body as a list of strings. Raises Invalid."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Invalid(f"“{name}” must be a list of strings.")
    return tuple(value)
