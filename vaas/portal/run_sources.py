"""Which notebook is run: an app's version or a person's own, with what travels with it, and its parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vaas import notebook
from vaas.content import snapshot_of
from vaas.errors import NotFound, SignInNeeded, VaasError
from vaas.model import Snapshot, User, Visitor
from vaas.portal.core import Core
from vaas.portal.drafts import Drafts
from vaas.portal.environments import Environments
from vaas.portal.gathering import fetch, is_chosen
from vaas.portal.run_belongings import may_still
from vaas.portal.run_forms import Field, fields_of
from vaas.stores.base import check_path

__all__ = ["Inspect", "Source", "Sources"]

#: Asks which parameters the notebook with these bytes has; see vaas.lab.inspect.
Inspect = Callable[[bytes], Awaitable[Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Source:
    """A notebook as it is now: its title, its bytes, its name, and what is kept of where it is from."""

    title: str
    data: bytes
    notebook: str
    kept: Mapping[str, Any]
    #: The notebook with its files; None while they have not been fetched.
    snapshot: Snapshot | None = None
    #: What of a notebook in a store says which packages it needs; None where nothing does, or nobody looked.
    beside: Snapshot | None = None
    #: What the check of the app's version said.
    report: Mapping[str, Any] | None = None


class Sources:
    """Finds notebooks, by the rights of who asks."""

    def __init__(self, core: Core, inspect: Inspect) -> None:
        self._core, self._inspect = core, inspect
        self._drafts = Drafts(core)

    async def find(self, visitor: Visitor, asked: Mapping[str, Any]) -> Source:
        """Return the notebook that is asked for. Raises NotFound, SignInNeeded, Forbidden, Invalid."""
        user = self.person(visitor)
        if slug := str(asked.get("app", "")):
            return await self._of_app(visitor, slug)
        path = check_path(str(asked.get("path", "")))
        store = self._core.store(user, str(asked.get("store", "")))
        data = await store.read(path, limit=self._core.limits.notebook_bytes)
        parsed = await asyncio.to_thread(notebook.parse, data, name=path.rpartition("/")[2])
        return Source(parsed.title, data, path.rpartition("/")[2], {"store": store.id, "path": path})

    async def asking(self, visitor: Visitor, source: Source) -> Source:
        """Return the notebook with what says which packages it needs, for who does not fetch the whole."""
        if source.snapshot is not None:
            return source
        store = self._core.store(self.person(visitor), str(source.kept["store"]))
        return replace(source, beside=await Environments(self._core).beside(store, str(source.kept["path"])))

    async def whole(self, visitor: Visitor, source: Source) -> Snapshot:
        """Return the notebook with the files that it needs, kept. Raises TooLarge, StorageFull."""
        if source.snapshot is not None:
            return source.snapshot
        user, path = self.person(visitor), str(source.kept["path"])
        store, _, entries, needed = await self._drafts.around(user, str(source.kept["store"]), path)
        wanted = [await store.stat(path), *(each for each in entries if is_chosen(each, needed))]
        folder = path.rpartition("/")[0]
        files = await fetch(self._core, store, wanted, chosen={path, *needed}, strip=len(folder) + 1 if folder else 0)
        return snapshot_of(source.notebook, files)

    async def fields(self, visitor: Visitor, source: Source) -> tuple[Field, ...]:
        """Return the notebook's parameters. Raises Invalid where they cannot be read, Unavailable."""
        parsed = await asyncio.to_thread(notebook.parse, source.data, name=source.notebook)
        if not parsed.has_parameters:
            return ()
        found = await self._inspect(source.data)
        at = source.notebook.rpartition("/")[0]
        if source.snapshot is not None:
            return fields_of(found, {file.path for file in source.snapshot.files}, at=at)
        return fields_of(found, await self._files(visitor, source, found))

    async def beside(self, visitor: Visitor, source: Source) -> tuple[str, ...]:
        """Return the names of what lies beside a notebook in a store, where it can be told; nothing for an app's."""
        if source.snapshot is not None:
            return ()
        store = self._core.store(self.person(visitor), str(source.kept["store"]))
        try:
            found = await store.list(str(source.kept["path"]).rpartition("/")[0])
        except VaasError:
            return ()  # it serves a hint alone
        return tuple(each.name for each in found if each.folder or each.name.endswith(".py"))

    def may_still(self, user: User, kept: Mapping[str, Any]) -> None:
        """Raise NotFound or Forbidden when the person may not run it any more."""
        may_still(self._core, user, kept)

    def person(self, visitor: Visitor) -> User:
        """Return the person. Raises SignInNeeded."""
        if visitor.user is None:
            raise SignInNeeded("Sign in to run notebooks.")
        return visitor.user

    async def _of_app(self, visitor: Visitor, slug: str) -> Source:
        app = self._core.see(visitor, slug, "launch").app
        version = self._core.version(app)
        if version is None:
            raise NotFound("There is no such version.")
        source = self.of_snapshot(app.title, version.snapshot, {"app": app.slug, "version": app.version})
        return replace(source, report=version.report)

    def of_snapshot(self, title: str, snapshot: Snapshot, kept: Mapping[str, Any]) -> Source:
        """Return a notebook as it was kept."""
        digest = next(file.sha256 for file in snapshot.files if file.path == snapshot.notebook)
        return Source(title, self._core.content.read(digest), snapshot.notebook, kept, snapshot)

    async def _files(self, visitor: Visitor, source: Source, found: Sequence[Mapping[str, Any]]) -> set[str]:
        """Return which of the defaults name files beside the notebook."""
        store = self._core.store(self.person(visitor), str(source.kept["store"]))
        folder = str(source.kept["path"]).rpartition("/")[0]
        there = set()
        for name in {each["default"].removeprefix("./") for each in found if isinstance(each.get("default"), str)}:
            try:
                path = check_path(name)
                if path == name and path and not (await store.stat(f"{folder}/{path}" if folder else path)).folder:
                    there.add(path)
            except VaasError:
                continue  # words that are no file
        return there
