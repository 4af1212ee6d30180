"""Finding apps, looking at one, and changing how it presents itself and what it may reach and know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vaas import policy
from vaas.catalogs.base import Record
from vaas.db.base import Query
from vaas.errors import Invalid, TooLarge
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, Version, Visitor
from vaas.portal.core import Core, Seen
from vaas.portal.things import OWN
from vaas.prose import clean_text
from vaas.slug import account_of

__all__ = ["Appearance", "Gallery", "Listed", "clean_tags", "why"]

_PICTURES = {b"\x89PNG\r\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Listed:
    """An app in a list: the access held, and why it is there in a few words."""

    app: App
    access: str
    why: str


@dataclass(frozen=True)
class Appearance:
    """How an app presents itself; ``cover`` None leaves the picture as it is."""

    title: str
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    cover: bytes | None = None


class Gallery:
    """The apps that a visitor may see."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def apps(self, visitor: Visitor, query: Query) -> list[Listed]:
        """Return the apps that the visitor may see and that match, the latest updated first."""
        now = self._core.now()
        with self._core.database.begin() as records:
            apps = records.apps.visible(visitor, query, now=now)
            grants = [grant for grant in records.grants.of([app.id for app in apps]) if grant.holds(now)]
        names = {1: "view", 2: "read", 3: "write", policy.OWNER: "owner"}
        levels = [(app, policy.access_of(visitor, app, grants, now=now)[0]) for app in apps]
        return [Listed(app, names.get(level, "view"), why(visitor, app, grants)) for app, level in levels]

    def told(self, visitor: Visitor, found: Sequence[Record]) -> list[Record]:
        """Return what was found, each app of ours with the ``access`` that the visitor has, in one query for all.

        An app that asks as its visitor is not found. Who could open one when the index last followed, and may not any
        more, is told no access.
        """
        ids = {record.id.partition(":")[2] for record in found if _is_ours(record)}
        if not ids:
            return list(found)
        grants: dict[str, list[Grant]] = {app_id: [] for app_id in ids}
        with self._core.database.begin() as records:
            for grant in records.grants.of(ids, subjects=visitor.subjects):
                grants[grant.app_id].append(grant)
        return [_with_access(each, visitor, grants, self._core.now()) for each in found]

    def app(self, visitor: Visitor, slug: str) -> Seen:
        """Return the app as the visitor sees it."""
        return self._core.see(visitor, slug)

    def grants(self, app: App) -> list[Grant]:
        """Return all its grants; for those who may list them."""
        with self._core.database.begin() as records:
            return records.grants.of([app.id])

    def current(self, app: App) -> Version | None:
        """Return the version that new visitors get."""
        return self._core.version(app)

    def opens(self, seen: Seen) -> dict[str, Any] | None:
        """Return how the app opens and why, for those who may publish it; None while that is not known."""
        version = self.current(seen.app) if seen.access >= Access.WRITE else None
        return version.report.get("opens") if version else None

    def cover(self, visitor: Visitor, slug: str) -> tuple[App, bytes, str]:
        """Return the app, its picture and the picture's type; no bytes when there is none."""
        app = self._core.see(visitor, slug).app
        data = self._core.content.read(app.cover) if app.cover else b""
        return app, data, picture_type(data)

    def edit(self, visitor: Visitor, slug: str, change: Appearance) -> App:
        """Change how the app presents itself. Raises Invalid, and TooLarge for the picture."""
        if change.cover is not None and len(change.cover) > self._core.limits.cover_bytes:
            raise TooLarge(
                f"The picture is larger than {self._core.limits.cover_bytes // 1_000_000} MB.", field="cover"
            )
        if change.cover and not picture_type(change.cover):
            raise Invalid("The picture must be a PNG, JPEG, WebP or GIF file.", field="cover")
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "edit").app
            cover = self._core.content.add(change.cover)[0] if change.cover else app.cover
            app = replace(_presented(app, change), cover=cover, updated=self._core.now())
            records.apps.save(app)
        return app

    def reach(self, visitor: Visitor, slug: str, network: tuple[str, ...]) -> App:
        """Set what the app may reach, as far as the site lets it; its servers hear of it at once. Raises Invalid."""
        self._core.see(visitor, slug, "edit")
        asked = self._core.check_network(network)
        return self._change(visitor, slug, "edit", lambda app: replace(app, network=asked))

    def introduce(self, visitor: Visitor, slug: str, *, knows_visitor: bool) -> App:
        """Set whether the app's code is told who is looking; its servers hear of it at once.

        Who is there already is told of to no app that may know only now: they came when it was said that it does not.
        """
        return self._change(visitor, slug, "edit", lambda app: replace(app, knows_visitor=knows_visitor))

    async def give(self, visitor: Visitor, slug: str, new_owner: str) -> App:
        """Make somebody else the owner. Raises Invalid when the Hub knows no such person."""
        self._core.see(visitor, slug, "give away")
        if await self._core.directory.user(new_owner) is None:
            raise Invalid(f"Nobody here is called “{new_owner}”.", field="owner")
        return self._change(visitor, slug, "give away", lambda app: replace(app, owner=new_owner))

    def _change(self, visitor: Visitor, slug: str, action: str, changed: Callable[[App], App]) -> App:
        """Keep the app as it is after the change, and have its servers hear of it at once."""
        with self._core.database.begin() as records:
            # Read again: somebody may have published while our caller looked at it.
            app = self._core.see_in(records, visitor, slug, action).app
            app = replace(changed(app), updated=self._core.now())
            records.apps.save(app)
        self._core.poke_app(app)
        return app

    def withdraw(self, visitor: Visitor, slug: str) -> None:
        """Take the app away for everyone, with its versions, grants and links."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "withdraw").app
            records.apps.remove(app.id)
        self._core.outlines.forget(app.id)
        self._core.spawn(self._core.backend.forget(account_of(app.id)))


def _presented(app: App, change: Appearance) -> App:
    title = " ".join(clean_text(change.title).split())
    if not title or len(title) > 200:
        raise Invalid("An app needs a title of at most 200 characters.", field="title")
    return replace(
        app,
        title=title,
        description=clean_text(change.description)[:5000],
        category=clean_text(change.category)[:60],
        tags=clean_tags(change.tags),
    )


def clean_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags without blanks and doubles, in order, twenty at most."""
    trimmed = (" ".join(clean_text(tag).split())[:40] for tag in tags)
    return tuple(dict.fromkeys(tag for tag in trimmed if tag))[:20]


def _is_ours(record: Record) -> bool:
    return record.type == "app" and record.catalog == OWN


def _with_access(record: Record, visitor: Visitor, grants: Mapping[str, list[Grant]], now: datetime) -> Record:
    if not _is_ours(record):
        return record
    app_id = record.id.partition(":")[2]
    access, _ = policy.held(visitor, app_id, record.owner, grants[app_id], now=now)
    told = {"access": Access(min(access, Access.WRITE)).name} if access else {}
    return replace(record, details={**record.details, **told})


def picture_type(data: bytes) -> str:
    """Return the MIME type that the first bytes show, or ""."""
    if data.startswith(b"RIFF") and data[8:12] != b"WEBP":
        return ""  # sound and video begin like that as well
    return next((mime for magic, mime in _PICTURES.items() if data.startswith(magic)), "")


def why(visitor: Visitor, app: App, grants: list[Grant]) -> str:
    """Say in a few words why the app is in this visitor's list."""
    if visitor.user and visitor.user.name == app.owner:
        return "Yours"
    subjects = {grant.subject for grant in grants if grant.app_id == app.id} & visitor.subjects
    groups = sorted(s.removeprefix("group:") for s in subjects if s.startswith("group:"))
    if f"user:{visitor.name}" in subjects:
        return "Shared with you"
    if groups:
        return f"Shared with {groups[0]}"
    if any(s.startswith("link:") for s in subjects):
        return "By link"
    if EVERYONE in subjects:
        return "Public"
    return "Everyone here" if SIGNED_IN in subjects else "As admin"
