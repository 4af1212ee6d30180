"""Static files: Voilà's, the widgets' and the version's own, cached by browsers and compressed once."""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tornado.web import HTTPError, StaticFileHandler

from vaas.runtime.content import served
from vaas.runtime.handlers import Access, Guarded

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer

__all__ = ["Asset", "Scripts", "Squeezer", "VersionFile"]

_FOR_EVER = "public, max-age=31536000, immutable"
_FOR_NOW = "public, max-age=3600"
_HASHED = re.compile(r"(?:^|[.-])[0-9a-f]{16,}\.")
_SQUEEZED = frozenset({".js", ".css", ".json", ".svg", ".map", ".mjs", ".ttf", ".eot", ".wasm"})
_SMALL = 1024


class Squeezer:
    """Compressed static files, made once for each and kept: a page of widgets is 12 MB of JavaScript, or 3.5 MB."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[int, int], bytes]] = {}
        self._made: dict[str, asyncio.Future[bytes]] = {}

    async def get(self, path: str) -> tuple[bytes, str]:
        """Return the file's compressed content and its entity tag."""
        status = os.stat(path)
        version = (status.st_mtime_ns, status.st_size)
        kept = self._kept.get(path)
        if kept is None or kept[0] != version:
            data = await asyncio.get_running_loop().run_in_executor(None, _squeeze, path)
            kept = self._kept[path] = (version, data)
        return kept[1], f'"{version[0]:x}-{version[1]:x}-gz"'

    async def get_made(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` makes, compressed; made once, however many ask for it at the same time."""
        if name not in self._made or (self._made[name].done() and self._made[name].exception()):
            self._made[name] = asyncio.get_running_loop().run_in_executor(None, lambda: _compressed(make()))
        return await asyncio.shield(self._made[name])


def _squeeze(path: str) -> bytes:
    return _compressed(Path(path).read_bytes())


def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


class Asset(Guarded, StaticFileHandler):
    """A file of Voilà, of our template or of a widget library, from the first of several folders that has it."""

    def initialize(self, *, server: AppServer, access: Access, roots: list[str]) -> None:  # type: ignore[override]
        """Take the folders to look in."""
        Guarded.initialize(self, server=server, access=access)
        StaticFileHandler.initialize(self, path=roots[0] if roots else os.devnull)
        self.roots = roots
        self.stamped = False

    async def get(self, path: str, include_body: bool = True, *, stamp: str | None = None) -> None:
        """Send the file, compressed where that helps and the browser knows how to read it."""
        found = self._find(path)
        self.stamped = stamp is not None
        compressible = Path(found).suffix.lower() in _SQUEEZED and os.path.getsize(found) > _SMALL
        if compressible and "gzip" in self.request.headers.get("Accept-Encoding", "") and include_body:
            await self._send_squeezed(found)
        else:
            await super().get(path, include_body=include_body)

    def _find(self, path: str) -> str:
        for root in map(os.path.abspath, self.roots):
            candidate = os.path.abspath(os.path.join(root, path))
            if "\0" not in path and candidate.startswith(root + os.sep) and os.path.isfile(candidate):
                self.root = root
                self.absolute_path = candidate
                return candidate
        raise HTTPError(404)

    async def _send_squeezed(self, found: str) -> None:
        data, etag = await self.server.squeezer.get(found)
        self.set_header("Etag", etag)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("Cache-Control", self._cache_control())
        if self.check_etag_header():
            self.set_status(304)
            return
        self.set_header("Content-Encoding", "gzip")
        self.set_header("Content-Type", mimetypes.guess_type(found)[0] or "application/octet-stream")
        self.set_header("Content-Length", len(data))
        self.finish(data)

    def set_extra_headers(self, path: str) -> None:
        """Let browsers keep the file."""
        self.set_header("Cache-Control", self._cache_control())

    def _cache_control(self) -> str:
        lasting = self.stamped or "v" in self.request.query_arguments or _HASHED.search(self.absolute_path or "")
        return _FOR_EVER if lasting else _FOR_NOW


class Scripts(Guarded):
    """Many scripts as one: what every page needs, or a widget library."""

    async def get(self, stamp: str, name: str) -> None:
        """Send the scripts; a page of an earlier moment gets those of today, which it may not keep."""
        bundle = self.server.rendered.libraries.bundles.get(name)
        if bundle is None:
            raise HTTPError(404)
        if stamp == bundle.digest:
            self.set_header("Cache-Control", _FOR_EVER)
        self.set_header("Content-Type", "text/javascript; charset=UTF-8")
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            data = await self.server.squeezer.get_made(f"{name}:{bundle.digest}", bundle.text)
        else:
            data = await asyncio.get_running_loop().run_in_executor(None, bundle.text)
        self.set_header("Content-Length", len(data))
        self.finish(data)


class VersionFile(Guarded, StaticFileHandler):
    """A picture, a sound or the like that the version lists; by its exact name and nothing else."""

    def initialize(self, *, server: AppServer, access: Access) -> None:  # type: ignore[override]
        """Serve from the version's folder."""
        Guarded.initialize(self, server=server, access=access)
        StaticFileHandler.initialize(self, path=str(server.content))

    async def get(self, path: str, include_body: bool = True) -> None:
        """Send the file if it is one of those."""
        if not served(path, self.server.manifest.files) or self._is_elsewhere(path):
            raise HTTPError(404)
        await super().get(path, include_body=include_body)

    def _is_elsewhere(self, path: str) -> bool:
        """Tell whether a link leads out of its place: a kernel that could write here may have put one."""
        root = os.path.realpath(self.server.content)
        return os.path.realpath(os.path.join(root, path)) != os.path.join(root, path)

    def set_extra_headers(self, path: str) -> None:
        """Let this browser keep the file, and run nothing that is in it (an SVG may hold scripts)."""
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
