"""Requests: who may open an app asks for more access to it, and who may grant that answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vaas import policy
from vaas.db.base import Records
from vaas.errors import Conflict, Invalid, NotFound
from vaas.keeping import AccessRequest
from vaas.model import Access, App, Visitor
from vaas.portal.core import Core
from vaas.portal.keeping import person_of
from vaas.portal.sharing import Sharing
from vaas.prose import clean_text

__all__ = ["Asked", "Requests"]

_LONGEST_MESSAGE = 1000
#: So many answered requests of a person are kept.
_KEPT = 50


@dataclass(frozen=True)
class Asked:
    """A request with its app; None where who looks may not see the app any more."""

    request: AccessRequest
    app: App | None


class Requests:
    """What people ask for: seen by who asked, and by who may answer."""

    def __init__(self, core: Core, sharing: Sharing) -> None:
        self._core, self._sharing = core, sharing

    def ask(self, visitor: Visitor, slug: str, *, access: Access, message: str = "") -> AccessRequest:
        """Ask for READ or WRITE on an app. Raises NotFound, Invalid, and Conflict when one is open already."""
        with self._core.database.begin() as records:
            seen = self._core.see_in(records, visitor, slug, "ask for access")
            person, message = person_of(visitor), clean_text(message)
            if seen.app.speaks:
                raise Invalid("Nobody can be given more of the portal's own app.")
            if access <= seen.access or access not in {Access.READ, Access.WRITE}:
                raise Invalid("You can do this already: there is nothing to ask for.", field="access")
            if len(message) > _LONGEST_MESSAGE:
                raise Invalid(f"The message is longer than {_LONGEST_MESSAGE} characters.", field="message")
            waiting = sum(each.state == "open" for each in records.requests.of(person.name))
            if waiting >= self._core.limits.requests_each:
                raise Conflict(f"You wait for {waiting} answers already. Take a request back before you ask again.")
            app, now = seen.app, self._core.now()
            request = AccessRequest(self._core.new_id(), app.id, person.name, access, message, app.title, now)
            records.requests.add(request, keep=_KEPT)
        return request

    def look(self, visitor: Visitor) -> tuple[list[Asked], list[Asked]]:
        """Return what the person asked for, the newest first, and what waits for their answer, the oldest first."""
        person, now = person_of(visitor), self._core.now()
        with self._core.database.begin() as records:
            asked = [each for each in records.requests.of(person.name) if each.state != "withdrawn"]
            mine = [Asked(each, self._app(records, visitor, each)) for each in asked]
            waiting = records.requests.to_answer(visitor, now=now)
            return mine, [Asked(each, self._app(records, visitor, each)) for each in waiting]

    def waiting(self, visitor: Visitor) -> int:
        """Return how many requests wait for the visitor's answer; 0 for nobody."""
        if visitor.user is None:
            return 0
        with self._core.database.begin() as records:
            return len(records.requests.to_answer(visitor, now=self._core.now()))

    def last_for(self, visitor: Visitor, app: App) -> AccessRequest | None:
        """Return what the visitor last asked for of this app and did not take back, if anything."""
        if visitor.user is None:
            return None
        with self._core.database.begin() as records:
            mine = records.requests.of(visitor.name)
        return next((each for each in mine if each.app_id == app.id and each.state != "withdrawn"), None)

    async def answer(self, visitor: Visitor, request_id: str, *, grant: bool) -> Asked:
        """Grant what was asked for, as sharing does, or refuse. Raises NotFound, and Conflict when it is answered."""
        with self._core.database.begin() as records:
            request, app = self._to_answer(records, visitor, request_id)
        if grant:
            await self._sharing.check_known([f"user:{request.who}"])
        with self._core.database.begin() as records:
            # Looked at again: somebody else may have answered, or have taken the right to from who answers now.
            request, app = self._to_answer(records, visitor, request_id)
            state = "granted" if grant else "refused"
            answered = replace(request, state=state, answered_by=visitor.name, answered=self._core.now())
            # What notes a change is written first: so none that write wait for each other.
            if grant and not self._holds(records, app, request):
                subject = f"user:{request.who}"
                self._sharing.grant_in(records, visitor, app.slug, subject=subject, access=request.access)
            if not records.requests.close(answered):
                raise Conflict("This request is answered already, or was taken back.")
        if grant:
            self._core.poke_app(app)
        return Asked(answered, app)

    def withdraw(self, visitor: Visitor, request_id: str) -> None:
        """Take one's own request back; no-op when it is answered. Raises NotFound."""
        person = person_of(visitor)
        with self._core.database.begin() as records:
            request = records.requests.get(request_id)
            if request is None or request.who != person.name:
                raise NotFound("There is no such request.")
            records.requests.close(replace(request, state="withdrawn", answered=self._core.now()))

    def _to_answer(self, records: Records, visitor: Visitor, request_id: str) -> tuple[AccessRequest, App]:
        person_of(visitor)
        request = records.requests.get(request_id)
        app = records.apps.by_id(request.app_id) if request else None
        grants = records.grants.of([app.id if app else ""])
        may = app and policy.decide(visitor, "answer requests", app, grants, now=self._core.now()).allowed
        if request is None or app is None or not may:
            raise NotFound("There is no such request, or it is not for you to answer.")
        return request, app

    def _holds(self, records: Records, app: App, request: AccessRequest) -> bool:
        """Tell whether the person holds that much by now, so that a grant would be none, or would take some away."""
        mine = [each for each in records.grants.of([app.id]) if each.subject == f"user:{request.who}"]
        held = any(each.access >= request.access and each.holds(self._core.now()) for each in mine)
        return held or app.owner == request.who

    def _app(self, records: Records, visitor: Visitor, request: AccessRequest) -> App | None:
        app = records.apps.by_id(request.app_id)
        grants = records.grants.of([request.app_id])
        return app if app and policy.decide(visitor, "see", app, grants, now=self._core.now()).allowed else None
