"""Which stores a person has: a folder of their own, the shared folders of their groups, connected accounts."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from vaas.db.base import Database
from vaas.errors import Invalid, Unavailable
from vaas.http import Http
from vaas.model import StoreAccount, User
from vaas.stores.base import Store, StoreSource
from vaas.stores.folder import FolderStore
from vaas.stores.webdav import WebdavStore, connect

__all__ = ["MountedStores", "SharedFolder"]

_log = logging.getLogger("vaas")


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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._homes, self._shared = homes, shared
        self._database, self._http, self._now = database, http, now

    def of(self, user: User) -> list[Store]:
        """Return the person's stores, their own folder first."""
        stores: list[Store] = [FolderStore("home", "Home", self._home(user))]
        for folder in self._shared:
            if not folder.group or folder.group in user.groups:
                stores.append(FolderStore(folder.id, folder.title, folder.root, writable=folder.writable))
        return stores + [store for account in self.accounts(user) if (store := self._open(account))]

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

    def _home(self, user: User) -> Path:
        """Return the person's folder; made on first use. No name of a person leaves ``homes``."""
        home = self._homes / quote(user.name, safe="").replace(".", "%2E")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return home

    def _open(self, account: StoreAccount) -> WebdavStore | None:
        """Return the account's store; None for one whose password cannot be read, which hides no other store."""
        try:
            with self._database.begin() as records:
                password = records.accounts.password(account.id)
        except Unavailable as error:
            _log.warning("The account %s of %s cannot be used: %s", account.id, account.owner, error.log_message)
            return None
        return WebdavStore(account.id, account.title, account.url, account.username, password, http=self._http)
