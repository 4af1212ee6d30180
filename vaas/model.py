"""The nouns of the portal as frozen values; what they know about themselves, they know without I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "EVERYONE",
    "SIGNED_IN",
    "Access",
    "App",
    "Draft",
    "Entry",
    "File",
    "Grant",
    "Incident",
    "Isolation",
    "Link",
    "ServerName",
    "ServerState",
    "Snapshot",
    "StoreAccount",
    "User",
    "Version",
    "Visitor",
]

#: The subject that stands for anyone, signed in or not.
EVERYONE = "everyone"
#: The subject that stands for every person who is signed in.
SIGNED_IN = "signed-in"


class Access(enum.IntEnum):
    """What a subject may do with an app; each level holds the ones below it (OCM's words for a webapp)."""

    VIEW = 1
    READ = 2
    WRITE = 3


@dataclass(frozen=True)
class User:
    """A person as the Hub knows them."""

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False


@dataclass(frozen=True)
class Visitor:
    """Who asks: a signed-in user or nobody, and the links that they came by."""

    user: User | None = None
    links: frozenset[str] = frozenset()

    @property
    def subjects(self) -> frozenset[str]:
        """Every subject this visitor counts as."""
        own = {EVERYONE, *(f"link:{link}" for link in self.links)}
        if self.user is not None:
            own |= {SIGNED_IN, f"user:{self.user.name}"}
            own |= {f"group:{group}" for group in self.user.groups}
        return frozenset(own)

    @property
    def name(self) -> str:
        """The signed-in user's name, or "" for nobody."""
        return self.user.name if self.user else ""


@dataclass(frozen=True)
class Grant:
    """A subject's access to one app: the single source of truth about who may do what."""

    app_id: str
    subject: str
    access: Access
    granted_by: str
    created: datetime
    expires: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Tell whether the grant is in force at ``now`` (timezone-aware)."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True)
class Link:
    """A revocable address that lets whoever has it open one app; its grant's subject is ``link:<id>``."""

    id: str
    app_id: str
    token: str = field(repr=False)
    created_by: str
    created: datetime
    expires: datetime | None = None


@dataclass(frozen=True)
class File:
    """One file of a snapshot: its path inside it, its SHA-256 in hex, its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of files with the notebook to run, named by a hash over all of it."""

    hash: str
    notebook: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class App:
    """A notebook published at one slug."""

    id: str
    slug: str
    title: str
    owner: str
    version: str
    created: datetime
    updated: datetime
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    #: SHA-256 of the picture in the content store, or "" for a drawn one.
    cover: str = ""
    #: Where the notebook came from, for "publish again": store id and path.
    origin_store: str = ""
    origin_path: str = ""
    #: What its owner asked that it may reach, as vaas.network writes it; the site may let through less.
    network: tuple[str, ...] = ()
    #: Whether its code is told the name and the groups of who is looking.
    knows_visitor: bool = False
    #: Whether its kernels may ask the portal as their visitor: the portal's own app alone, which nobody can change.
    speaks: bool = False


@dataclass(frozen=True)
class Incident:
    """Something that went wrong in an app's server, for those who may read its log; ``version`` is a number."""

    app_id: str
    version: int
    kind: str
    text: str
    created: datetime


@dataclass(frozen=True)
class Version:
    """An app's snapshot as it was published: who, when, and what its check said."""

    app_id: str
    number: int
    snapshot: Snapshot
    author: str
    created: datetime
    note: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A snapshot on its way to be published; seen by its owner alone."""

    id: str
    owner: str
    app_id: str
    #: Slug of the app that gets a new version; "" for a new app.
    slug: str
    title: str
    snapshot: Snapshot
    created: datetime
    origin_store: str = ""
    origin_path: str = ""
    #: "waiting", "running" or "done"
    state: str = "waiting"
    progress: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    #: What its owner asks that it may reach, in its check as well as when it is published.
    network: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A file or a folder in a store. ``path`` is relative to the store's root, with "/" and no leading one.

    A folder has an etag only where it changes with anything below it. ``checksum`` is what is said of a file elsewhere,
    as in "md5:…", and is checked whenever all of it is read.
    """

    path: str
    folder: bool
    size: int = 0
    modified: datetime | None = None
    etag: str = ""
    checksum: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_notebook(self) -> bool:
        """Whether it can be published by itself."""
        return not self.folder and self.name.endswith(".ipynb")


@dataclass(frozen=True)
class StoreAccount:
    """A WebDAV account that a person connected. The password is kept sealed and not here."""

    id: str
    owner: str
    title: str
    url: str
    username: str
    created: datetime


@dataclass(frozen=True)
class ServerName:
    """A Hub server of an app account: ``account`` is the Hub user, ``name`` the named server."""

    account: str
    name: str

    @property
    def path(self) -> str:
        """The server's path under its origin, with slashes at both ends."""
        return f"/user/{self.account}/{self.name}/"


@dataclass(frozen=True)
class Isolation:
    """Whether kernels are kept apart from the machine that they run on, and in a few words why not."""

    isolated: bool
    why: str = ""


@dataclass(frozen=True)
class ServerState:
    """How a server is doing: ``phase`` is "stopped", "starting", "ready", "stopping" or "failed"."""

    phase: str
    progress: int = 0
    message: str = ""
