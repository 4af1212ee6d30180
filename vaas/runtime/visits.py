"""Who is in: visits, their pages and kernels, spent tickets, and what is overdue. No I/O; the time comes in.

A visit is one visitor's session (a cookie); a page is one load of the notebook inside it, with a kernel of
its own, so that a reload or a second tab never shares state with the first.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from vaas.errors import Invalid, Unavailable
from vaas.tickets import Ticket

if TYPE_CHECKING:
    from vaas.runtime.states import Snapshot, Taken

__all__ = ["PAGES", "Page", "Patience", "Visit", "Visits"]

#: How many pages (so kernels) one visit may have open: one visitor must not fill the app for all others.
PAGES = 8
#: For each page that may be open, so many visits without one are kept.
_WAITING = 2
#: And no fewer than these: more may stand in line than there is room for.
_LEAST_WAITING = 400


@dataclass(frozen=True)
class Patience:
    """For how many seconds a page or a visit is kept when nobody seems to be there."""

    #: After the websocket was lost.
    lost: float = 60.0
    #: Between the end of rendering and the first websocket.
    connect: float = 60.0
    #: After a page has said farewell: who reloads it comes back to it.
    leave: float = 5.0
    #: A visit without a page, so that a reload need not go through the portal.
    linger: float = 600.0


@dataclass(eq=False)
class Page:
    """One load of the notebook: its farewell token, its kernel, and whether somebody is connected."""

    token: str
    visit: str
    quiet_since: float
    kernel: str = ""
    rendered: bool = False
    connected: bool = False
    sockets: int = 0
    #: What of the visit it was made for; and what its page can be sent from again, once it was sent.
    made_for: str = ""
    sent: object = None
    #: The query of its address.
    query: str = ""
    #: Whether its visitor's launch is being told what it holds.
    giving: bool = False
    #: When it said farewell; None while somebody looks at it.
    away_since: float | None = None
    #: Why it ended; "" while it goes on.
    ended: str = ""
    #: Whether something of the author's failed when it began: who loads it again gets another one.
    unprepared: bool = False
    #: The state of its widgets when it was ready, if it is known.
    state: Taken | None = None

    def overdue(self, now: float, patience: Patience) -> bool:
        """Tell whether nobody has been there for longer than allowed."""
        if self.away_since is not None:
            return now - self.away_since > patience.leave
        if self.sockets or not (self.rendered or self.connected):
            return False
        return now - self.quiet_since > (patience.lost if self.connected else patience.connect)


@dataclass
class Visit:
    """One visitor's session. ``id`` is what the portal hears; ``secret`` is the cookie and never leaves otherwise."""

    id: str
    secret: str = field(repr=False)
    user: str
    links: tuple[str, ...]
    may_read: bool
    seen: float
    #: Whether the notebook's code may be told ``user`` and ``groups``: they came when it was said that it is.
    known: bool = False
    groups: tuple[str, ...] = ()
    #: By what the portal knows again who came, if the app may ask as its visitor.
    proof: str = field(default="", repr=False)
    #: By what the portal knows who launches from here what the visit gives; "" for who may not launch.
    launch: str = field(default="", repr=False)
    #: Whether it waits for room, and so must not be forgotten for others that only might come back.
    in_line: bool = False
    pages: dict[str, Page] = field(default_factory=dict)


def _random() -> str:
    return secrets.token_urlsafe(32)


def _key(secret: str) -> bytes:
    """By this a visit is found: how long that takes tells nothing of the secret."""
    return sha256(secret.encode()).digest()


class Visits:
    """All visits of this app server.

    Parameters
    ----------
    limit:
        How many pages (so kernels) may be open at once.
    patience:
        How long somebody may be silent.
    random:
        Makes unguessable strings.
    kept:
        How many visits without a page are kept at least.
    """

    def __init__(
        self, *, limit: int, patience: Patience, random: Callable[[], str] = _random, kept: int = _LEAST_WAITING
    ) -> None:
        self._limit, self._kept = limit, kept
        self._patience = patience
        self._random = random
        self._visits: dict[str, Visit] = {}
        self._by_secret: dict[bytes, Visit] = {}
        #: Those without a page, the one that was seen last at the end.
        self._waiting: dict[str, Visit] = {}
        #: All open pages, in a dictionary for its order.
        self._pages: dict[Page, None] = {}
        #: Nonces with when they expire, the first that was taken in front.
        self._spent: dict[str, float] = {}
        self._active: float | None = None

    def spend(self, ticket: Ticket, now: float) -> None:
        """Take the ticket's nonce.

        Raises
        ------
        Invalid
            It was taken before.
        """
        while self._spent and self._spent[first := next(iter(self._spent))] <= now:
            del self._spent[first]
        if ticket.nonce in self._spent:
            raise Invalid("This way in was used already. Open the app again from the portal.")
        self._spent[ticket.nonce] = ticket.expires

    def admit(self, ticket: Ticket, *, secret: str, now: float) -> tuple[Visit, list[Page]]:
        """Return the visit of the ticket's holder, and the pages that have to end because of it.

        Who is in already and comes again as the same user keeps the visit, so that open tabs go on, under a new
        secret: one that somebody planted or saw before is worth nothing. Somebody else in the same browser gets a
        new visit, and what the former left open ends.
        """
        former = self.find(secret)
        if former is not None and former.user == ticket.user:
            del self._by_secret[_key(former.secret)]
            former.secret = self._random()
            former.links, former.may_read, former.seen = ticket.links, ticket.may_read, now
            former.known, former.groups = ticket.known, ticket.groups
            former.proof, former.launch = ticket.proof, ticket.launch
            self._note(former)
            return former, []
        ended = self.end(former.id, now=now) if former is not None else []
        said = (
            ticket.user,
            ticket.links,
            ticket.may_read,
            now,
            ticket.known,
            ticket.groups,
            ticket.proof,
            ticket.launch,
        )
        visit = Visit(self._random(), self._random(), *said)
        self._note(visit)
        self._active = now
        self._drop_oldest()
        return visit, ended

    def find(self, secret: str) -> Visit | None:
        """Return the visit that has this cookie."""
        return self._by_secret.get(_key(secret))

    def lives(self, visit: Visit) -> bool:
        """Tell whether the visit has not ended."""
        return self._visits.get(visit.id) is visit

    def open_page(self, visit: Visit, *, now: float, made_for: str = "") -> Page:
        """Return a new page of the visit.

        Raises
        ------
        Unavailable
            As many pages as allowed are open, of this visit or of all.
        """
        if len(visit.pages) >= PAGES:
            raise Unavailable("You have this app open many times. Please close a tab and try again in a minute.")
        if len(self._pages) >= self._limit:
            raise Unavailable("Many people are here at the moment. Please try again in a minute.")
        page = Page(self._random(), visit.id, now, made_for=made_for)
        visit.pages[page.token] = page
        self._pages[page] = None
        self._waiting.pop(visit.id, None)
        visit.seen = self._active = now
        return page

    def away(self) -> list[Page]:
        """All pages that have said farewell, the one that did so first in front."""
        return _away(self._pages)

    def leave(self, page: Page, *, now: float) -> None:
        """Note the farewell of a page, to which its visitor may come back."""
        page.away_since = self._active = now

    def return_to(self, visit: Visit, *, made_for: str, token: str, now: float) -> Page | None:
        """Return the page that this visit comes back to, under a new token; None: there is none.

        It is the one with the ``token``, that a browser names which loads it again; else the one that was left last.
        """
        whole = [page for page in visit.pages.values() if page.sent is not None and not page.unprepared]
        own = [page for page in whole if page.made_for == made_for]
        left = _away(own)
        named = [page for page in own if token and hmac.compare_digest(page.token.encode(), token.encode())]
        if not left and not named:
            return None
        page = (named or left)[-1]
        del visit.pages[page.token]
        page.token, page.away_since, page.quiet_since, page.connected = self._random(), None, now, False
        visit.pages[page.token] = page
        visit.seen = self._active = now
        return page

    def page_of(self, visit: Visit | None, kernel: str) -> Page | None:
        """Return the visit's page that has this kernel; None for any other kernel."""
        pages = visit.pages.values() if visit is not None else ()
        return next((page for page in pages if kernel and page.kernel == kernel), None)

    def state_of(self, visit: Visit | None, digest: str) -> Snapshot | None:
        """Return the state of this name that a page of the visit has; None for any other's."""
        pages = visit.pages.values() if visit is not None else ()
        states = (page.state.snapshot for page in pages if page.state is not None and page.away_since is None)
        return next((state for state in states if state.digest == digest), None)

    def rendered(self, page: Page, *, now: float) -> None:
        """Note that the page was sent completely; from now on a websocket is expected."""
        page.rendered, page.quiet_since = True, now

    def connected(self, page: Page) -> None:
        """Note a websocket of the page."""
        page.connected = True
        page.sockets += 1

    def disconnected(self, page: Page, *, now: float) -> None:
        """Note the loss of a websocket of the page."""
        page.sockets = max(0, page.sockets - 1)
        page.quiet_since = self._active = now

    def forget(self, page: Page, *, why: str, now: float) -> bool:
        """Forget one page; False when it had ended before."""
        if page.ended:
            return False
        page.ended = why
        self._pages.pop(page, None)
        visit = self._visits.get(page.visit)
        if visit is not None:
            visit.pages.pop(page.token, None)
            visit.seen = now
            self._note(visit)
        self._active = now
        return True

    def end(self, visit_id: str, *, now: float) -> list[Page]:
        """Forget a visit and return the pages it had; no-op for an unknown one."""
        visit = self._visits.get(visit_id)
        if visit is None:
            return []
        self._drop(visit)
        self._active = now
        return list(visit.pages.values())

    def end_all(self, *, now: float) -> list[Page]:
        """Forget all visits and return the pages they had."""
        return [page for visit_id in list(self._visits) for page in self.end(visit_id, now=now)]

    def overdue(self, now: float) -> list[Page]:
        """Return the pages that nobody looks at any more, and drop visits that have had none for long."""
        for visit in list(self._waiting.values()):
            if now - visit.seen > self._patience.linger:
                self._drop(visit)
        return [page for page in self._pages if page.overdue(now, self._patience)]

    def _note(self, visit: Visit) -> None:
        """Note a visit, and that it was seen last of those without a page if it has none."""
        self._visits[visit.id] = self._by_secret[_key(visit.secret)] = visit
        self._waiting.pop(visit.id, None)
        if not visit.pages:
            self._waiting[visit.id] = visit

    def _drop(self, visit: Visit) -> None:
        del self._visits[visit.id], self._by_secret[_key(visit.secret)]
        self._waiting.pop(visit.id, None)
        for page in visit.pages.values():
            self._pages.pop(page, None)

    def _drop_oldest(self) -> None:
        """Drop visits without a page when there are too many: each way in makes one, and a script can go in often."""
        while len(self._waiting) > max(self._kept, _WAITING * self._limit):
            last = next(iter(self._waiting.values()))
            self._drop(next((visit for visit in self._waiting.values() if not visit.in_line), last))

    def pages(self) -> Collection[Page]:
        """All open pages."""
        return self._pages.keys()

    def idle_seconds(self, *, started: float, now: float) -> float:
        """For how long no page has been open; 0 while one is."""
        if self._pages:
            return 0.0
        return max(0.0, now - (started if self._active is None else self._active))

    def report(self) -> list[dict[str, object]]:
        """What the portal's heartbeat wants to know of each visit."""
        return [{"id": visit.id, "user": visit.user, "links": list(visit.links)} for visit in self._visits.values()]


def _away(pages: Iterable[Page]) -> list[Page]:
    """Return those that have said farewell, the one that did so first in front."""
    return sorted((page for page in pages if page.away_since is not None), key=lambda page: page.away_since or 0)
