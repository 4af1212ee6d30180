"""What a running app gives to its visitor's launch, kept for a few minutes and for that person alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaas.errors import Forbidden, Invalid
from vaas.given import as_given
from vaas.launching import Launch
from vaas.model import ServerName, Visitor
from vaas.portal.core import Core, version_server
from vaas.slug import ACCOUNT_PREFIX
from vaas.tickets import derive_proof_key, verify

__all__ = ["Giving", "given_to"]

#: How long it is kept, in seconds: until its person has chosen where to launch.
_SECONDS = 1800.0
#: Of one person, and of all together: the oldest go first.
_EACH, _ALL = 5, 500


@dataclass(frozen=True)
class _Kept:
    person: str
    app: str
    until: float
    given: Mapping[str, Any] = field(repr=False)


class Giving:
    """Keeps it in memory: what is lost with the portal costs its visitor a few moves."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Id → what is kept, the oldest first.
        self._kept: dict[str, _Kept] = {}

    async def keep(self, server: ServerName, proof: str, said: object) -> str:
        """Keep for the visitor who came to this server with that proof what the server says; return its id.

        Raises
        ------
        Forbidden
            The proof is none, or another server's.
        NotFound, SignInNeeded
            Its visitor may not launch the app any more.
        Invalid
            There is nothing in it.
        """
        visitor, app = await self._launcher(server, proof)
        given = as_given(said)
        if not given:
            raise Invalid("There is nothing to keep.")
        id, now = secrets.token_urlsafe(18), self._core.now().timestamp()
        self._kept[id] = _Kept(visitor.name, app, now + _SECONDS, given)
        self._forget(visitor.name, now)
        return id

    def of(self, visitor: Visitor, slug: str, given_id: str) -> Mapping[str, Any]:
        """Return what was kept for this person's launch of this app, as vaas.given has it; {} where that is nothing.

        By the id of a launch of theirs it is what went along to that one, which stays as long as the launch does.

        Raises as vaas.policy.require does for who may not launch it.
        """
        app = self._core.see(visitor, slug, "launch").app
        if given := self._launched(visitor, slug, given_id):
            return given
        kept = self._kept.get(given_id)
        if kept is None or (kept.person, kept.app) != (visitor.name, app.id):
            return {}
        return kept.given if self._core.now().timestamp() < kept.until else {}

    def _launched(self, visitor: Visitor, slug: str, launch_id: str) -> Mapping[str, Any]:
        """Return what went along to a launch of this person's of this app; {} for nothing, and for other people's."""
        with self._core.database.begin() as records:
            launch = records.launches.get(launch_id)
        if launch is None or (launch.owner, launch.asked.get("app")) != (visitor.name, slug):
            return {}
        return given_to(launch)

    async def _launcher(self, server: ServerName, proof: str) -> tuple[Visitor, str]:
        """Return who came to the server, and its app's id."""
        now = self._core.now().timestamp()
        try:
            key = derive_proof_key(self._core.master_key, server)
            came = verify(proof, key=key, purpose="launch", server=server, now=now)
        except Invalid as error:
            raise Forbidden(
                "This visit may not launch.", log_message=f"{server.path}: no proof of a visitor"
            ) from error
        with self._core.database.begin() as records:
            app = records.apps.by_id(server.account.removeprefix(ACCOUNT_PREFIX))
            versions = records.versions.of(app.id) if app else []
        user = await self._core.directory.user(came.user) if came.user else None
        visitor = Visitor(user, frozenset(came.links))
        ours = app is not None and server in [version_server(app.id, version) for version in versions]
        seen = self._core.see(visitor, app.slug if app and ours and user else "", "launch")
        return visitor, seen.app.id

    def _forget(self, person: str, now: float) -> None:
        kept = {id: each for id, each in self._kept.items() if now < each.until}
        own = [id for id, each in kept.items() if each.person == person]
        for id in own[:-_EACH]:
            del kept[id]
        self._kept = dict(list(kept.items())[-_ALL:])


def given_to(launch: Launch) -> Mapping[str, Any]:
    """Return what went along to a launch from a running app, {} for nothing."""
    given = launch.asked.get("given")
    return given if isinstance(given, Mapping) else {}
