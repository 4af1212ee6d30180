"""Who can see an app: granting, revoking, and links."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from datetime import timedelta

from vaas import policy
from vaas.db.base import Records
from vaas.errors import Invalid, NotFound
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, Link, Visitor
from vaas.portal.core import Core

__all__ = ["Sharing", "check_subject"]

_SUBJECT = re.compile(r"(?:user|group):[^\s:\x00-\x1f][^\x00-\x1f]{0,250}")


#: Of what somebody typed, so much is said back to them.
_SHOWN = 80
#: What a form calls the field that such a subject was typed into.
_FIELD = {"user": "people", "group": "groups"}


def check_subject(subject: str) -> str:
    """Return ``subject`` if a person can name it in a grant. Raises Invalid."""
    if subject in {EVERYONE, SIGNED_IN} or _SUBJECT.fullmatch(subject):
        return subject
    said = subject[:_SHOWN]
    raise Invalid(f"“{said}” is neither a person nor a group. Write it as in user:emil or group:physics.")


class Sharing:
    """Grants and links of one app at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def grants(self, visitor: Visitor, slug: str) -> tuple[App, list[Grant], list[Link]]:
        """Return the app, who holds what, and its links."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "list grants").app
            return app, records.grants.of([app.id]), records.links.of(app.id)

    async def grant(self, visitor: Visitor, slug: str, *, subject: str, access: Access) -> Grant:
        """Give ``subject`` that access instead of what it held. Raises Invalid for a person or group unknown here."""
        self._core.see(visitor, slug, "grant")
        await self.check_known([check_subject(subject)], instead=", or make a link instead")
        with self._core.database.begin() as records:
            app, grant = self.grant_in(records, visitor, slug, subject=subject, access=access)
        self._core.poke_app(app)
        return grant

    def grant_in(
        self, records: Records, visitor: Visitor, slug: str, *, subject: str, access: Access
    ) -> tuple[App, Grant]:
        """Do the same inside a transaction that is open already, for a subject that is known; the caller pokes."""
        if subject in {EVERYONE, SIGNED_IN} and access is Access.WRITE:
            raise Invalid("Publishing new versions is for people and groups that you name.")
        app = self._core.see_in(records, visitor, slug, "grant").app
        grant = Grant(app.id, subject, access, visitor.name, self._core.now())
        records.grants.save(grant)
        return app, grant

    def revoke(self, visitor: Visitor, slug: str, subject: str) -> App:
        """Take the subject's grant away; no-op when it holds none. Open pages close within seconds."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "revoke").app
            records.grants.remove(app.id, subject)
            if subject.startswith("link:"):
                records.links.remove(app.id, subject.removeprefix("link:"))
        self._core.poke_app(app)
        return app

    def make_link(self, visitor: Visitor, slug: str, *, days: int = 0, access: Access = Access.VIEW) -> Link:
        """Make an address that opens the app for whoever has it; ``days`` 0 means until it is revoked."""
        if not 0 <= days <= 3650 or access is Access.WRITE:
            raise Invalid("A link lets people look, for at most ten years.")
        now = self._core.now()
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "grant").app
            expires = now + timedelta(days=days) if days else None
            link = Link(self._core.new_id(), app.id, secrets.token_urlsafe(24), visitor.name, now, expires)
            records.links.add(link, access)
        return link

    def drop_link(self, visitor: Visitor, slug: str, link_id: str) -> App:
        """Revoke the link; no-op when the app has no such one."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "revoke").app
            records.links.remove(app.id, link_id)
        self._core.poke_app(app)
        return app

    def enter(self, token: str) -> tuple[App, Link]:
        """Return the app that a link opens. Raises NotFound for one unknown, revoked or expired."""
        gone = NotFound("This link does not work any more. Ask whoever sent it for a new one.")
        with self._core.database.begin() as records:
            link = records.links.by_token(token)
            app = records.apps.by_id(link.app_id) if link else None
            grants = records.grants.of([app.id]) if app else []
        if link is None or app is None:
            raise gone
        visitor = Visitor(links=frozenset({link.id}))
        live = [grant for grant in grants if grant.subject == f"link:{link.id}"]
        if not policy.decide(visitor, "open", app, live, now=self._core.now()).allowed:
            raise gone
        return app, link

    async def named(self, subject: str) -> str:
        """Return the subject that is meant: a bare name is that of a person, or else of a group. Raises Invalid."""
        if ":" in subject or subject in {EVERYONE, SIGNED_IN} or not _SUBJECT.fullmatch(f"user:{subject}"):
            return check_subject(subject)
        if await self._core.directory.user(subject) is not None:
            return f"user:{subject}"
        return f"group:{subject}" if subject in await self._core.directory.groups() else check_subject(subject)

    async def circle(self, subjects: Iterable[str], *, before: Collection[str], what: str) -> tuple[str, ...]:
        """Return those who are meant, each once, to see a thing of somebody's: people, groups, all who can sign in.

        Who was in it ``before`` stays, also when nobody knows them any more. Raises Invalid.
        """
        said, most = tuple(dict.fromkeys(subjects)), self._core.limits.basket_subjects
        if len(said) > most:
            raise Invalid(f"Name {most} people and groups at most, or a group of them.")
        wanted = tuple(dict.fromkeys([await self.named(subject) for subject in said]))
        if EVERYONE in wanted:
            raise Invalid(f"{what} can be shared with everyone who can sign in, not with strangers.")
        await self.check_known(subject for subject in wanted if subject not in before)
        return wanted

    async def check_known(self, subjects: Iterable[str], *, instead: str = "") -> None:
        """Raise Invalid, with what to do ``instead``, when the Hub does not know one that is a person or a group."""
        for subject in subjects:
            kind, _, name = subject.partition(":")
            if kind == "user" and await self._core.directory.user(name) is None:
                raise Invalid(f"Nobody here is called “{name}”. Check the spelling{instead}.", field=_FIELD[kind])
            if kind == "group" and name not in await self._core.directory.groups():
                raise Invalid(f"There is no group called “{name}” here.", field=_FIELD[kind])
