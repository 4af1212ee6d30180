"""Which stores a person has: a folder of their own, the shared folders of their groups, connected accounts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os.path
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from vaas.db.base import Database
from vaas.errors import Invalid, NotFound, Unavailable
from vaas.http import Http
from vaas.model import SIGNED_IN, StoreAccount, User
from vaas.stores.base import Place, Store, StoreSource, Touched, check_path
from vaas.stores.folder import FolderStore
from vaas.stores.lending import remove_leftovers
from vaas.stores.webdav import WebdavStore, connect

__all__ = ["MountedStores", "SharedFolder"]

_log = logging.getLogger("vaas")
#: A name that is as good in an identifier; others are hashed.
_PLAIN = re.compile(r"[a-z0-9_-]{1,40}")


@dataclass(frozen=True)
class SharedFolder:
    """A folder of this site: who sees it (a group, or "" for everyone who is signed in), and may they write."""

    id: str
    title: str
    root: Path
    group: str = ""
    writable: bool = False


class MountedStores(StoreSource):
    """Home folders under ``homes``, configured shared folders, and WebDAV accounts from the database."""

    def __init__(
        self,
        *,
        homes: Path,
        shared: tuple[SharedFolder, ...],
        database: Database,
        http: Http,
        aside: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._homes, self._shared, self._aside = homes, shared, aside
        self._database, self._http, self._now = database, http, now

    def of(self, user: User) -> list[Store]:
        """Return the person's stores, their own folder first."""
        self._home(user.name).mkdir(parents=True, exist_ok=True, mode=0o700)
        return [place.store for place in self.places(user)]

    def places(self, user: User | None = None, *, elsewhere: bool = True) -> list[Place]:
        """Return every store of everyone, or those of one person, with who may see what is in them."""
        names = [user.name] if user else self._names()
        homes = [self._home_of(name) for name in names if os.path.isdir(self._home(name))]
        shared = [
            self._folder(each) for each in self._shared if user is None or not each.group or each.group in user.groups
        ]
        if not elsewhere:
            return homes + shared
        with self._database.begin() as records:
            accounts = records.accounts.of(user.name) if user else records.accounts.all()
        return homes + shared + [place for account in accounts if (place := self._account(account))]

    def owned(self, people: Collection[str]) -> frozenset[str]:
        """Return the ids of the homes of these people, whether they can be seen now or not, and of their accounts."""
        with self._database.begin() as records:
            accounts = records.accounts.all()
        return frozenset(map(_home_id, people)) | {each.id for each in accounts if each.owner in people}

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[AsyncIterator[frozenset[Touched]]]:
        # Linux alone has what it needs.
        from vaas.stores.watching import touched_below

        self._homes.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._aside:
            await asyncio.to_thread(remove_leftovers, self._aside)
        shared = {self._folder(each).id: each.root for each in self._shared if os.path.isdir(each.root)}
        homes = {name: self._home(name) for name in self._names()}
        # Homes that lie elsewhere: people cannot make such links.
        linked = {_home_id(name): home for name, home in homes.items() if home.is_symlink()}
        async with touched_below({"": self._homes, **linked, **shared}) as found:
            yield self._told(found)

    def watched(self) -> AbstractAsyncContextManager[AsyncIterator[frozenset[Touched]]]:
        """Say what is touched in homes and shared folders as it happens."""
        return self._watched()

    async def _told(self, found: AsyncIterator[frozenset[tuple[str, str]]]) -> AsyncIterator[frozenset[Touched]]:
        async for touched in found:
            if told := frozenset(each for root, path in touched for each in self._touched(root, path)):
                yield told

    def _touched(self, root: str, path: str) -> Iterator[Touched]:
        """Yield what it is in our words; nothing for what is hidden."""
        place = root
        if not root and not path:
            yield from (Touched(_home_id(name), "") for name in self._names())
            return
        if not root:
            folder, _, path = path.partition("/")
            name = unquote(folder)
            if self._home(name).name != folder:
                return
            place = _home_id(name)
        with contextlib.suppress(UnicodeEncodeError, Invalid):  # a name that no path of ours can have
            path.encode()
            if not any(part.startswith(".") for part in path.split("/")):
                yield Touched(place, check_path(path))

    def folders(self, user: User) -> tuple[str, tuple[str, ...]]:
        """Return the names of the person's folder among the homes, and of the shared folders that they see."""
        shared = [each.root.name for each in self._shared if not each.group or each.group in user.groups]
        return self._home(user.name).name, tuple(sorted(shared))

    def accounts(self, user: User) -> list[StoreAccount]:
        """Return the WebDAV accounts that the person connected."""
        with self._database.begin() as records:
            return records.accounts.of(user.name)

    async def connect(self, user: User, *, title: str, url: str, username: str, password: str) -> StoreAccount:
        """Try the account and keep it."""
        if not (url.strip() and username.strip() and password):
            raise Invalid("Fill in the address, the user name and the app password.")
        if len(username) > 255:
            raise Invalid("The user name is too long.", field="username")
        root = await connect(url.strip(), username.strip(), password, http=self._http)
        name = title.strip()[:100] or root.split("//")[-1].split("/")[0][:100]
        account_id = f"dav-{secrets.token_hex(6)}"
        account = StoreAccount(account_id, user.name, name, root, username.strip(), self._now())
        with self._database.begin() as records:
            records.accounts.add(account, password)
        return account

    def disconnect(self, user: User, account_id: str) -> None:
        """Forget the account; no-op when the person has no such one."""
        with self._database.begin() as records:
            records.accounts.remove(user.name, account_id)

    def _names(self) -> list[str]:
        """Return whose homes there are; a folder whose name is nobody's as we write it is none."""
        # One that cannot be looked at hides no other.
        found = sorted(path.name for path in self._homes.glob("*") if os.path.isdir(path))
        return [unquote(name) for name in found if self._home(unquote(name)).name == name]

    def _home(self, name: str) -> Path:
        """Return the person's folder. No name of a person leaves ``homes``."""
        return self._homes / quote(name, safe="").replace(".", "%2E")

    def _home_of(self, name: str) -> Place:
        store = FolderStore("home", "Home", self._home(name), aside=self._aside)
        return Place(_home_id(name), store, frozenset({f"user:{name}"}), name)

    def _folder(self, folder: SharedFolder) -> Place:
        store = FolderStore(folder.id, folder.title, folder.root, writable=folder.writable, aside=self._aside)
        # Two folders may have the same id, and one may be another group's later: what is found must not mix.
        told = hashlib.sha256(f"{folder.root.name}/{folder.group}".encode()).hexdigest()[:12]
        reader = f"group:{folder.group}" if folder.group else SIGNED_IN
        return Place(f"{folder.id[:60]}.{told}", store, frozenset({reader}))

    def _account(self, account: StoreAccount) -> Place | None:
        """Return the account's store; None for one whose password cannot be read, which hides no other store."""
        try:
            with self._database.begin() as records:
                password = records.accounts.password(account.id)
        except (NotFound, Unavailable) as error:
            _log.warning("The account %s of %s cannot be used: %s", account.id, account.owner, error.log_message)
            return None
        store = WebdavStore(account.id, account.title, account.url, account.username, password, http=self._http)
        return Place(account.id, store, frozenset({f"user:{account.owner}"}), account.owner)


def _home_id(name: str) -> str:
    """Return what a person's home is called among all places: with a dot no name can look like another's hash."""
    return f"home-{name}" if _PLAIN.fullmatch(name) else f"home.{hashlib.sha256(name.encode()).hexdigest()[:32]}"
