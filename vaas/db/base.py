"""The database port: records of the nouns, read and written in one transaction at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vaas.model import Access, App, Draft, Grant, Incident, Link, StoreAccount, Version, Visitor

__all__ = [
    "Accounts",
    "Apps",
    "Change",
    "Changes",
    "Database",
    "Drafts",
    "Find",
    "Finds",
    "Grants",
    "Incidents",
    "Lease",
    "Leases",
    "Links",
    "MOST_KEY",
    "Query",
    "Records",
    "Versions",
    "Walks",
]

#: So long may the key of a change be, in bytes: databases keep an index of them.
MOST_KEY = 1_100


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
    def of(self, app_ids: Collection[str]) -> list[Grant]:
        """Return all grants of these apps, expired ones too, by subject."""

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
    def forget(self, *, keep: int) -> int:
        """Forget files that are gone, but for the last ``keep`` changes; return how many.

        Who has not seen all changes until :meth:`forgotten` does not hear of them any more, and begins anew.
        """

    @abstractmethod
    def forgotten(self) -> int:
        """Return the number up to which some changes may be forgotten."""


@dataclass(frozen=True)
class Find:
    """Something that was found in a place.

    Parameters
    ----------
    record:
        What is said of it, as JSON.
    readers:
        The subjects that may see it.
    mark:
        What of its state was looked at: another one has to be looked at again.
    note:
        Why it could not be looked into, in words.
    """

    place: str
    path: str
    mark: str
    kind: str
    record: Mapping[str, Any] = field(repr=False)
    readers: frozenset[str]
    seen: datetime
    size: int = 0
    modified: datetime | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """What names it among all finds."""
        return f"{self.place}/{self.path}"


class Finds(ABC):
    """What was found in the places; each write notes a change of kind "file" for every find."""

    @abstractmethod
    def some(self, keys: Collection[str]) -> list[Find]:
        """Return those with these keys, as far as there are any."""

    @abstractmethod
    def marks(self, place: str, below: str = "") -> dict[str, str]:
        """Return the marks of what was found in the place by path, or of what is at or below one path."""

    @abstractmethod
    def save(self, finds: Collection[Find]) -> None:
        """Add them, or replace those of the same place and path."""

    @abstractmethod
    def remove(self, place: str, paths: Iterable[str] | None = None) -> None:
        """Remove these of the place, or all with what is known of its folders; no-op for those that are not there."""

    @abstractmethod
    def places(self) -> dict[str, int]:
        """Return of which places there is something, and how much."""

    @abstractmethod
    def noted(self, *, limit: int) -> list[tuple[str, str, str]]:
        """Return place, path and note of what could not be looked into, by place and path."""


class Walks(ABC):
    """What the folders of a place were like when it was last walked: those that are still so need no walk."""

    @abstractmethod
    def of(self, place: str) -> dict[str, str]:
        """Return the etags of its folders by path; empty when there is nothing to go by."""

    @abstractmethod
    def save(self, place: str, etags: Mapping[str, str]) -> None:
        """Keep them instead of those before."""


@dataclass(frozen=True)
class Lease:
    """Work that one process does, until when nobody else may, and what that process says of it."""

    name: str
    holder: str
    until: datetime
    said: Mapping[str, Any] = field(default_factory=dict)


class Leases(ABC):
    """Which process does what, among all that share the database."""

    @abstractmethod
    def take(self, lease: Lease, *, now: datetime) -> bool:
        """Take it, or go on holding it; False, and nothing is kept, while another process holds it."""

    @abstractmethod
    def give_back(self, name: str, holder: str) -> None:
        """Let another process have it; no-op for who does not hold it."""

    @abstractmethod
    def all(self, beginning: str) -> list[Lease]:
        """Return those whose names begin so, over ones too, by name."""


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
    finds: Finds
    walks: Walks
    leases: Leases


class Database(ABC):
    """Where the records are."""

    @abstractmethod
    def begin(self) -> AbstractContextManager[Records]:
        """Open a transaction: kept when the block ends, undone when it raises."""
