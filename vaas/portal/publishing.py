"""What a checked draft becomes: an app's record and its newest version."""

from __future__ import annotations

import base64
import binascii
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from vaas.content import Content
from vaas.db.base import Records
from vaas.errors import CheckFailed, Conflict, VaasError
from vaas.model import App, Draft, File, Snapshot, User, Version, Visitor
from vaas.notebook import parse
from vaas.portal.core import Core
from vaas.portal.draft_copies import lacks
from vaas.portal.gallery import clean_tags, picture_type
from vaas.prose import clean_text
from vaas.questions import takes_basket
from vaas.slug import check_slug, slugify

__all__ = ["Publication", "Publishing", "require_checked", "said_of_code"]


_log = logging.getLogger("vaas")
#: Of a module that is read for what it asks for: bytes, and how many there are at most.
_MOST_MODULE, _MOST_MODULES = 1_000_000, 200


@dataclass(frozen=True)
class Publication:
    """What the publisher says when a draft is published; ``slug`` "" means: made from the title.

    ``knows_visitor`` lets its code know who is looking, None leaves that as it is.
    ``subjects`` get VIEW; ``link`` asks for a link as well; ``anyway`` publishes what failed its check.
    """

    title: str = ""
    slug: str = ""
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    subjects: tuple[str, ...] = ()
    link: bool = False
    anyway: bool = False
    knows_visitor: bool | None = None
    cover: bytes = field(default=b"", repr=False)


class Publishing:
    """The records that publishing makes, inside a transaction of the caller's."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def app(self, records: Records, user: User, draft: Draft, said: Publication) -> App:
        """Save and return the app as the draft makes it; a new one if it is for none."""
        now = self._core.now()
        app = records.apps.by_id(draft.app_id)
        if app:
            self._core.see_in(records, Visitor(user), app.slug, "publish version")
        elif draft.slug:
            raise Conflict(f"“{draft.title}” was withdrawn meanwhile. Begin again to publish it as a new app.")
        else:
            slug = check_slug(said.slug) if said.slug else _free_slug(records, said.title or draft.title)
            app = App(draft.app_id, slug, draft.title, user.name, "", now, now)
            app = replace(app, origin_store=draft.origin_store, origin_path=draft.origin_path)
        app = replace(
            app,
            title=(" ".join(clean_text(said.title).split()) or app.title)[:200],
            description=clean_text(said.description)[:5000] or app.description,
            category=clean_text(said.category)[:60] or app.category,
            tags=clean_tags(said.tags) or app.tags,
            version=draft.snapshot.hash,
            network=draft.network,
            knows_visitor=app.knows_visitor if said.knows_visitor is None else said.knows_visitor,
            updated=now,
            cover=self._cover(draft, said, app),
        )
        records.apps.save(app)
        return app

    def _cover(self, draft: Draft, said: Publication, app: App) -> str:
        """Return the picture that was sent, else the app's own, else the first one that the check saw."""
        if app.cover and not said.cover:
            return app.cover
        picture = draft.report.get("picture") or {}
        try:
            data = said.cover or base64.b64decode(picture.get("data", ""), validate=True)
        except (binascii.Error, ValueError):
            return ""
        if not picture_type(data) or len(data) > self._core.limits.cover_bytes:
            return ""
        return self._core.content.add(data)[0]

    def version(self, records: Records, user: User, draft: Draft, *, said: Publication, app: App) -> None:
        """Add the version; no-op when the app has one with this content."""
        versions = records.versions.of(app.id)
        if any(version.snapshot.hash == draft.snapshot.hash for version in versions):
            return  # versions are named by their content: this is that one again
        report = {key: value for key, value in draft.report.items() if key != "picture"}
        report |= said_of_code(self._core.content, draft.snapshot)
        number = versions[0].number + 1 if versions else 1
        version = Version(app.id, number, draft.snapshot, user.name, self._core.now(), said.note[:500], report)
        records.versions.add(version)


def said_of_code(content: Content, snapshot: Snapshot) -> dict[str, Any]:
    """Return what the notebook's code says of the app, to be kept with the version: what it ``takes``.

    That its visitors may be asked for a basket gives it none: what they hand over is for them to say.
    """
    try:
        digest = next(file.sha256 for file in snapshot.files if file.path == snapshot.notebook)
        modules = (content.read(file.sha256).decode("utf-8", "replace") for file in _modules(snapshot))
        takes = takes_basket(parse(content.read(digest), name=snapshot.notebook), modules)
    except (VaasError, StopIteration, RecursionError) as error:
        _log.warning("What %s takes cannot be read: %r", snapshot.notebook, error)
        return {}
    return {"takes": ["basket"]} if takes else {}


def _modules(snapshot: Snapshot) -> list[File]:
    """Return the modules that may be the notebook's own; nobody writes more than these, or larger ones."""
    found = [file for file in snapshot.files if file.path.endswith(".py") and file.size <= _MOST_MODULE]
    return found[:_MOST_MODULES]


def require_checked(draft: Draft, *, anyway: bool) -> None:
    """Raise Conflict while the check runs or data are missing, CheckFailed when it failed and not ``anyway``."""
    if draft.state != "done":
        raise Conflict("The check is still running. Wait for its result.")
    if lacks(draft):
        raise Conflict("The data of the result were not copied: there is nothing whole to publish. Check again.")
    if not draft.report.get("ok") and not anyway:
        raise CheckFailed(
            "The notebook failed its check. Mend it and check again, or say “publish anyway”.", field="anyway"
        )


def _free_slug(records: Records, title: str) -> str:
    base, number = slugify(title), 1
    slug = base
    while records.apps.get(slug) is not None:
        number += 1
        slug = f"{base}-{number}"
    return slug
