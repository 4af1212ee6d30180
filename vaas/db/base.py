"""The database port: records of the nouns, read and written in one transaction at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vaas.db.launched import Launches, Runs, Schedules
from vaas.db.places import MOST_KEY, Find, Finds, Lease, Leases, Walks
from vaas.keeping import AccessRequest, Basket, SavedSearch, Thing
from vaas.model import Access, App, Draft, Grant, Incident, Link, StoreAccount, Version, Visitor

__all__ = [
    "Accounts",
    "Apps",
    "Baskets",
    "Change",
    "Changes",
    "Database",
    "Drafts",
    "Find",
    "Finds",
    "Grants",
    "Incidents",
    "Launches",
    "Lease",
    "Leases",
    "Links",
    "MOST_KEY",
    "Query",
    "Records",
    "Requests",
    "Runs",
    "Schedules",
    "Searches",
    "Things",
    "Versions",
    "Walks",
]


@dataclass(frozen=True)
class Query:
    """What the gallery asks for: words that all must occur, a category, and "all", "mine" or "shared"."""

    words: tuple[str, ...] = ()
    category: str = ""
    show: str = "all"
    limit: int = 200


class Apps(ABC):
    """The published apps."""

    @abstractmethod
    def get(self, slug: str) -> App | None:
        """Return the app at ``slug``, or None."""

    @abstractmethod
    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id, or None."""

    @abstractmethod
    def visible(self, visitor: Visitor, query: Query, *, now: datetime) -> list[App]:
        """Return the apps that the visitor may see and that match, the latest updated first."""

    @abstractmethod
    def save(self, app: App) -> None:
        """Add or replace the app; Conflict when its slug is another app's."""

    @abstractmethod
    def remove(self, app_id: str) -> None:
        """Remove the app with its versions, grants, links and incidents; no-op when there is none."""


class Versions(ABC):
    """What each app's versions are."""

    @abstractmethod
    def of(self, app_id: str) -> list[Version]:
        """Return the app's versions, newest first."""

    @abstractmethod
    def add(self, version: Version) -> None:
        """Add it; Conflict when the app has one of this number."""

    @abstractmethod
    def annotate(self, app_id: str, number: int, report: Mapping[str, Any]) -> None:
        """Replace what is said about the version; its content stays. No-op when there is none."""


class Grants(ABC):
    """Who may do what."""

    @abstractmethod
    def of(self, app_ids: Collection[str], *, subjects: Collection[str] | None = None) -> list[Grant]:
        """Return all grants of these apps, or those of ``subjects`` alone, expired ones too, by subject."""

    @abstractmethod
    def save(self, grant: Grant) -> None:
        """Add the grant, or replace the subject's."""

    @abstractmethod
    def remove(self, app_id: str, subject: str) -> None:
        """Remove the subject's grant; no-op when there is none."""


class Links(ABC):
    """Addresses that open an app for whoever has them; their tokens are kept sealed."""

    @abstractmethod
    def by_token(self, token: str) -> Link | None:
        """Return the link with this token, or None."""

    @abstractmethod
    def of(self, app_id: str) -> list[Link]:
        """Return the app's links, newest first."""

    @abstractmethod
    def add(self, link: Link, access: Access) -> None:
        """Keep the link together with its grant."""

    @abstractmethod
    def remove(self, app_id: str, link_id: str) -> None:
        """Remove the link and its grant; no-op when the app has no such link."""


class Drafts(ABC):
    """Snapshots on their way to be published."""

    @abstractmethod
    def get(self, draft_id: str) -> Draft | None:
        """Return the draft, or None."""

    @abstractmethod
    def of(self, owner: str) -> list[Draft]:
        """Return the person's drafts."""

    @abstractmethod
    def older(self, before: datetime) -> list[Draft]:
        """Return the drafts made before that time."""

    @abstractmethod
    def save(self, draft: Draft) -> None:
        """Add or replace it."""

    @abstractmethod
    def remove(self, draft_id: str) -> None:
        """Remove it; no-op when there is none."""


class Incidents(ABC):
    """What went wrong in the servers of each app."""

    @abstractmethod
    def of(self, app_id: str) -> list[Incident]:
        """Return the app's incidents, newest first."""

    @abstractmethod
    def add(self, incident: Incident, *, keep: int) -> None:
        """Add it, and forget all but the ``keep`` newest of its app."""


class Accounts(ABC):
    """The WebDAV accounts that people connected; passwords are kept sealed."""

    @abstractmethod
    def of(self, owner: str) -> list[StoreAccount]:
        """Return the person's accounts, by title."""

    @abstractmethod
    def all(self) -> list[StoreAccount]:
        """Return everyone's accounts, by id."""

    @abstractmethod
    def password(self, account_id: str) -> str:
        """Return the account's password; NotFound when there is no such account."""

    @abstractmethod
    def add(self, account: StoreAccount, password: str) -> None:
        """Keep the account."""

    @abstractmethod
    def remove(self, owner: str, account_id: str) -> None:
        """Remove the account if it is this person's, with what was found in it; no-op otherwise."""


@dataclass(frozen=True)
class Change:
    """That something which can be found is not what it was: ``kind`` and ``key`` name it, ``number`` counts."""

    kind: str
    key: str
    number: int


class Changes(ABC):
    """What has changed, each thing once, with its last change.

    Numbers grow, and in the order in which transactions are kept: who has seen one has seen all before it.
    """

    @abstractmethod
    def since(self, number: int, *, limit: int) -> list[Change]:
        """Return the changes after that number, the oldest first."""

    @abstractmethod
    def last(self) -> int:
        """Return the number of the last change, 0 before the first."""

    @abstractmethod
    def epoch(self) -> int:
        """Return what names this row of numbers: those of another are of another database."""

    @abstractmethod
    def begin_epoch(self) -> None:
        """Begin another row: this database was brought back from an older copy, so numbers come again."""

    @abstractmethod
    def note(self, kind: str, *keys: str) -> None:
        """Note changes; those of apps, of who may see them and of what is in stores are noted by themselves."""

    @abstractmethod
    def count(self) -> int:
        """Return how many things have ever changed, without those that are forgotten."""

    @abstractmethod
    def forget(self, *, keep: int, most: int) -> bool:
        """Forget files that are gone, of the next ``most`` changes but for the last ``keep``; return if there are more.

        A bounded piece of work, so that nobody who writes waits for all of it. Who has not seen all changes until
        :meth:`forgotten` does not hear of them any more, and begins anew.
        """

    @abstractmethod
    def forgotten(self) -> int:
        """Return the number up to which some changes may be forgotten."""


class Baskets(ABC):
    """What people collect in, and who else may look into it."""

    @abstractmethod
    def get(self, basket_id: str) -> Basket | None:
        """Return the basket, or None."""

    @abstractmethod
    def current(self, owner: str) -> Basket | None:
        """Return the person's one without a name, or None."""

    @abstractmethod
    def readable(self, owner: str, subjects: Collection[str]) -> list[Basket]:
        """Return the person's, by name, then those of others that are shared with one of the subjects.

        Of those of others, some hundreds at most: the last changed.
        """

    @abstractmethod
    def save(self, basket: Basket) -> None:
        """Add or replace it with its subjects; Conflict when the person has another of this name."""

    @abstractmethod
    def remove(self, basket_id: str) -> None:
        """Remove it with the things in it; no-op when there is none."""


class Things(ABC):
    """What lies in baskets."""

    @abstractmethod
    def of(self, basket_id: str) -> list[Thing]:
        """Return the things in the basket, the last added first."""

    @abstractmethod
    def counts(self, basket_ids: Collection[str]) -> Mapping[str, int]:
        """Return how many things are in each of these baskets that has some."""

    @abstractmethod
    def add(self, thing: Thing) -> None:
        """Add it; no-op when one of this id is there."""

    @abstractmethod
    def remove(self, basket_id: str, thing_id: str) -> None:
        """Remove it from the basket; no-op when it is not in there."""


class Searches(ABC):
    """The searches that people saved."""

    @abstractmethod
    def of(self, owner: str) -> list[SavedSearch]:
        """Return the person's, by name."""

    @abstractmethod
    def save(self, search: SavedSearch) -> None:
        """Add or replace it; Conflict when the person has another of this name."""

    @abstractmethod
    def remove(self, owner: str, search_id: str) -> None:
        """Remove it if it is this person's; no-op otherwise."""


class Requests(ABC):
    """What people ask for, and what was answered."""

    @abstractmethod
    def get(self, request_id: str) -> AccessRequest | None:
        """Return the request, or None."""

    @abstractmethod
    def of(self, who: str) -> list[AccessRequest]:
        """Return what the person asked for, the newest first."""

    @abstractmethod
    def to_answer(self, visitor: Visitor, *, now: datetime) -> list[AccessRequest]:
        """Return the open ones for apps that are the visitor's or that they hold WRITE on.

        Some hundreds at most, the oldest first.
        """

    @abstractmethod
    def add(self, request: AccessRequest, *, keep: int) -> None:
        """Add it, and forget all but the person's ``keep`` newest that are answered; Conflict when one is open."""

    @abstractmethod
    def close(self, request: AccessRequest) -> bool:
        """Keep its state and who answered when; False, and nothing is changed, when it is not open any more."""


@dataclass(frozen=True)
class Records:
    """All records, as one transaction sees them."""

    apps: Apps
    versions: Versions
    grants: Grants
    links: Links
    drafts: Drafts
    incidents: Incidents
    accounts: Accounts
    changes: Changes
    baskets: Baskets
    things: Things
    searches: Searches
    requests: Requests
    launches: Launches
    runs: Runs
    schedules: Schedules
    finds: Finds
    walks: Walks
    leases: Leases


class Database(ABC):
    """Where the records are."""

    @abstractmethod
    def begin(self) -> AbstractContextManager[Records]:
        """Open a transaction: kept when the block ends, undone when it raises."""

    @abstractmethod
    def hashes(self) -> set[str]:
        """Return every SHA-256 that stands anywhere in it, as whatever. Raises Unavailable when not all can be read."""

    @abstractmethod
    def identity(self) -> int:
        """Return a number that no other database has. Raises Unavailable."""

    @abstractmethod
    def close(self) -> None:
        """Give back the connections."""
