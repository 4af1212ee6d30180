"""An app's versions: listing, comparing, and going back to one."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vaas import notebook
from vaas.content import pack
from vaas.differences import MAX_FILE, FileChange, file_changes
from vaas.errors import NotFound
from vaas.model import App, Version, Visitor
from vaas.portal.core import Core

__all__ = ["Comparison", "Versions"]


@dataclass(frozen=True)
class Comparison:
    """What changed from one version to another: whole files by path, and the notebook by cell."""

    old: Version
    new: Version
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    cells: tuple[notebook.CellChange, ...]
    #: What changed in files that are text and not too large.
    texts: tuple[FileChange, ...]


class Versions:
    """The versions of one app at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self, visitor: Visitor, slug: str) -> tuple[App, builtins.list[Version]]:
        """Return the app and its versions, newest first."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "list versions").app
            return app, records.versions.of(app.id)

    def compare(self, visitor: Visitor, slug: str, *, old: int, new: int) -> tuple[App, Comparison]:
        """Return what changed between two versions, by number. Raises NotFound."""
        self._core.see(visitor, slug, "compare versions")
        app, versions = self.list(visitor, slug)
        before, after = (_numbered(versions, number) for number in (old, new))
        a, b = ({f.path: f for f in v.snapshot.files} for v in (before, after))
        changed = tuple(sorted(path for path in a.keys() & b.keys() if a[path].sha256 != b[path].sha256))
        cells = notebook.compare(self._notebook(before), self._notebook(after))
        added, removed = tuple(sorted(b.keys() - a.keys())), tuple(sorted(a.keys() - b.keys()))
        small = [path for path in changed if max(a[path].size, b[path].size) <= MAX_FILE and not _is_notebook(path)]
        read = self._core.content.read
        texts = file_changes((path, read(a[path].sha256), read(b[path].sha256)) for path in small)
        return app, Comparison(before, after, added, removed, changed, tuple(cells), texts)

    def roll_back(self, visitor: Visitor, slug: str, version_hash: str) -> App:
        """Give new visitors that version; those who are in keep theirs. Raises NotFound."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "roll back").app
            if all(version.snapshot.hash != version_hash for version in records.versions.of(app.id)):
                raise NotFound("This app has no such version.")
            app = replace(app, version=version_hash, updated=self._core.now())
            records.apps.save(app)
        self._core.poke_app(app)
        return app

    def source(self, visitor: Visitor, slug: str) -> tuple[App, Version, Iterator[bytes]]:
        """Return the current version with its files as a tar; for READ."""
        app = self._core.see(visitor, slug, "read source").app
        _, versions = self.list(visitor, slug)
        current = next(version for version in versions if version.snapshot.hash == app.version)
        return app, current, pack(self._core.content, current.snapshot)

    def file(self, version: Version, path: str) -> bytes:
        """Return one file of a version. Raises NotFound."""
        found = next((file for file in version.snapshot.files if file.path == path), None)
        if found is None:
            raise NotFound("This version has no such file.")
        return self._core.content.read(found.sha256)

    def _notebook(self, version: Version) -> notebook.Notebook:
        return notebook.parse(self.file(version, version.snapshot.notebook))


def _is_notebook(path: str) -> bool:
    """Tell whether it is shown by cell, or not at all: line by line, nobody could read it."""
    return path.lower().endswith(".ipynb")


def _numbered(versions: builtins.list[Version], number: int) -> Version:
    found = next((version for version in versions if version.number == number), None)
    if found is None:
        raise NotFound(f"This app has no version {number}.")
    return found
