"""Who may do what with an app: one action table, and a reason for every decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from vaas.errors import Forbidden, NotFound, SignInNeeded
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, Visitor

__all__ = ["ACTIONS", "OWNER", "Decision", "access_of", "decide", "held", "require", "subject_title"]

#: Above WRITE: only the owner (and an admin of the Hub).
OWNER = 4

#: action → the access it needs.
ACTIONS: Mapping[str, int] = {
    "see": Access.VIEW,
    "open": Access.VIEW,
    "ask for access": Access.VIEW,
    "read source": Access.READ,
    "launch": Access.READ,
    "list versions": Access.READ,
    "compare versions": Access.READ,
    "publish version": Access.WRITE,
    "roll back": Access.WRITE,
    "edit": Access.WRITE,
    "list grants": Access.WRITE,
    "grant": Access.WRITE,
    "revoke": Access.WRITE,
    "answer requests": Access.WRITE,
    "read log": Access.WRITE,
    "give away": OWNER,
    "withdraw": OWNER,
}


@dataclass(frozen=True)
class Decision:
    """An answer with its reason; ``access`` is the highest level held, 0 for none."""

    allowed: bool
    access: int
    reason: str


def access_of(visitor: Visitor, app: App, grants: Iterable[Grant], *, now: datetime) -> tuple[int, str]:
    """Return the highest access that ``visitor`` holds on ``app``, and why.

    Grants of other apps, of other subjects and expired ones do not count. Nobody may change an app that speaks for
    its visitors, whoever owns it and whatever was granted: the portal alone makes it.
    """
    access, reason = held(visitor, app.id, app.owner, grants, now=now)
    if app.speaks and access > Access.READ:
        return int(Access.READ), "the portal alone changes this app"
    return access, reason


def held(visitor: Visitor, app_id: str, owner: str, grants: Iterable[Grant], *, now: datetime) -> tuple[int, str]:
    """Return the same of an app that does not speak for its visitors, by its id and its owner."""
    if visitor.user is not None and visitor.user.name == owner:
        return OWNER, "is the owner"
    if visitor.user is not None and visitor.user.admin:
        return OWNER, "is an admin of the Hub"
    subjects = visitor.subjects
    mine = [g for g in grants if g.app_id == app_id and g.subject in subjects and g.holds(now)]
    if not mine:
        return 0, "no grant names this visitor"
    best = max(mine, key=lambda grant: (grant.access, grant.subject))
    return int(best.access), f"{best.access.name} granted to {best.subject} by {best.granted_by}"


def decide(visitor: Visitor, action: str, app: App, grants: Iterable[Grant], *, now: datetime) -> Decision:
    """Decide whether ``visitor`` may do ``action``; an action that the table does not know is a KeyError."""
    needed = ACTIONS[action]
    access, reason = access_of(visitor, app, grants, now=now)
    return Decision(access >= needed, access, reason)


def require(visitor: Visitor, action: str, app: App | None, grants: Iterable[Grant], *, now: datetime) -> Decision:
    """Return the decision if it is a yes, else raise.

    Raises
    ------
    NotFound
        Unknown and hidden alike, in the same words.
    SignInNeeded
        The app may be seen, nobody is signed in, and the action needs more.
    Forbidden
        The app may be seen, and the action needs more.
    """
    if app is None or not (decision := decide(visitor, action, app, grants, now=now)).access:
        raise NotFound("There is no such app, or it is not shared with you.")
    if decision.allowed:
        return decision
    if visitor.user is None:
        raise SignInNeeded(f"Sign in to {action}.", log_message=f"{action}: anonymous, {decision.reason}")
    if app.speaks:
        raise Forbidden(f"“{app.title}” comes with the portal, and nobody changes it.")
    raise Forbidden(
        f"You may open “{app.title}”, but not {action}. Ask {app.owner} for more access.",
        log_message=f"{action} on {app.slug} refused to {visitor.name}: {decision.reason}",
    )


def subject_title(subject: str) -> str:
    """Say a subject in the words of the interface."""
    fixed = {EVERYONE: "Anyone, without signing in", SIGNED_IN: "Everyone who can sign in"}
    kind, _, name = subject.partition(":")
    kinds = {"user": name, "group": f"Group {name}", "link": "Anyone with the link"}
    return fixed.get(subject) or kinds.get(kind, subject)
