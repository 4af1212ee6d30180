"""A WebDAV account as a store: Nextcloud, ownCloud, CERNBox, or any server of RFC 4918."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from vaas.addresses import check_url
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, StorageFull, TooLarge, Unavailable, VaasError
from vaas.http import Body, FileBody, Http, Response
from vaas.model import Entry
from vaas.stores.base import Piece, Store, check_path
from vaas.stores.bringing import contained, opened
from vaas.stores.multistatus import PROPFIND, Found, parse_multistatus, path_parts

__all__ = ["WebdavStore", "connect", "guess_roots"]

#: How file managers write it.
_SCHEMES = {"dav": "http", "webdav": "http", "davs": "https", "webdavs": "https"}
_LISTING_BYTES = 20_000_000
_FILE_BYTES = 10_000_000_000
#: A slow line still has to move this much a second, on top of the usual patience.
_UPLOAD_BYTES_PER_SECOND = 100_000
_XML = {"Content-Type": "application/xml; charset=utf-8"}
_LOGIN = "The user name or app password is not right. Make a new app password in your storage's settings."

#: HTTP status → what to raise, and what to say; anything else that is not a success is Unavailable.
_ERRORS: Mapping[int, tuple[type[VaasError], str]] = {
    401: (Forbidden, _LOGIN),
    403: (Forbidden, "“{title}” does not allow this with “{path}”."),
    404: (NotFound, "There is no “{path}”."),
    405: (Invalid, "“{title}” cannot do this with “{path}”."),
    409: (Conflict, "“{path}” was changed meanwhile. Open it again to see what is new."),
    410: (NotFound, "There is no “{path}”."),
    412: (Conflict, "“{path}” was changed meanwhile. Open it again to see what is new."),
    413: (TooLarge, "“{path}” is larger than “{title}” accepts."),
    414: (Invalid, "The name of “{path}” is too long for “{title}”."),
    423: (Conflict, "“{path}” is locked: somebody is working on it. Try again later."),
    429: (Unavailable, "“{title}” asks for patience. Try again in a few minutes."),
    507: (StorageFull, "“{title}” is full. Delete something there, and try again."),
}


class WebdavStore(Store):
    """Serve the files below ``url``, a folder on a WebDAV server, with the person's user name and app password.

    What the server lists outside of that folder is ignored. Before a write the etag is asked for and compared,
    because there are servers that ignore If-Match; the header closes the gap that is left on those that do not.
    """

    def __init__(self, id: str, title: str, url: str, username: str, password: str, *, http: Http) -> None:
        self.id = id
        self.title = title
        self._root = _folder_url(url)
        self._root_parts = path_parts(urlsplit(self._root).path) or ()
        self._authorization = _basic(username, password)
        self._http = http

    async def list(self, path: str) -> tuple[Entry, ...]:
        """Return what is in the folder, folders first, by name without regard to case."""
        path = _visible(path)
        found = await self._propfind(path, "1")
        if any(entry.path == path and not entry.folder for entry in found):
            raise Invalid(f"“{path}” is a file, not a folder.")
        above = path.split("/") if path else []
        inside = {
            entry.path: entry
            for entry in found
            if entry.path.split("/")[:-1] == above and entry.path and not entry.name.startswith(".")
        }
        return tuple(sorted(inside.values(), key=lambda e: (not e.folder, e.name.casefold(), e.name)))

    async def stat(self, path: str) -> Entry:
        """Return the entry at ``path``."""
        path = _visible(path)
        for entry in await self._propfind(path, "0"):
            if entry.path == path:
                return entry
        raise Unavailable(f"“{self.title}” answers with something else than “{path}”.")

    async def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in order."""
        if (await self.stat(path)).folder:
            raise Invalid(f"“{path}” is a folder, not a file.")
        path = check_path(path)
        headers = {"Authorization": self._authorization}
        try:
            async with self._http.stream("GET", self._url(path), headers=headers, max_bytes=_FILE_BYTES) as answer:
                self._check(answer.status, path, {200})
                async for chunk in answer.chunks():
                    yield chunk
        except Unavailable as exc:
            raise self._unavailable(exc) from exc

    async def piece(self, path: str, offset: int, size: int, entry: Entry | None = None) -> Piece:
        """Return up to ``size`` bytes from ``offset`` on; a server that cannot begin there is read from the start."""
        if (entry := entry or await self.stat(path)).folder:
            raise Invalid(f"“{path}” is a folder, not a file.")
        path = check_path(path)
        if size <= 0 or offset >= entry.size > 0:
            return Piece(b"", entry.size, entry.etag)
        headers = {"Range": f"bytes={offset}-{offset + size - 1}", "Authorization": self._authorization}
        try:
            async with self._http.stream("GET", self._url(path), headers=headers, max_bytes=_FILE_BYTES) as answer:
                if answer.status == 206 and answer.headers.get("content-range", "").startswith(f"bytes {offset}-"):
                    found = bytearray()
                    async for chunk in answer.chunks():
                        found += chunk
                        if len(found) >= size:
                            break
                    return await self._whole(path, entry, bytes(found[:size]))
        except Unavailable as exc:
            raise self._unavailable(exc) from exc
        return await super().piece(path, offset, size, entry)

    async def write(self, path: str, data: bytes, *, if_match: str | None) -> Entry:
        """Write the whole file or nothing, and return its new entry."""
        path = _new(path)
        await self._check_before(path, if_match)
        headers = {"Content-Type": "application/octet-stream", **_condition(if_match)}
        seconds = 60 + len(data) / _UPLOAD_BYTES_PER_SECOND
        answer = await self._request("PUT", self._url(path), path, headers, data, seconds=seconds)
        await self._check_change(answer.status, path)
        entry = await self.stat(path)
        # The PUT's own etag stands for what we wrote, even if somebody else has written since.
        etag = answer.headers.get("etag", "")
        return replace(entry, etag=etag) if etag.startswith('"') else entry

    async def make_folder(self, path: str) -> None:
        """Make the folder; its parent must exist."""
        path = _new(path)
        answer = await self._make(path)
        if answer.status == 405:
            raise Conflict(f"There is a “{path}” already.")
        await self._check_change(answer.status, path)

    async def bring(self, path: str, folder: Path) -> None:
        """Bring a folder of this machine in; until it is whole, it has a hidden name."""
        path = _new(path)
        with contextlib.suppress(NotFound):
            await self.stat(path)
            raise Conflict(f"There is a “{path}” already.")
        above, slash, _ = path.rpartition("/")
        hidden = f"{above}{slash}.vaas-{secrets.token_hex(8)}.tmp"
        try:
            await self._check_change((await self._make(hidden)).status, path)
            folders, sizes = [hidden], list[int]()
            for name, is_folder in await asyncio.to_thread(contained, folder):
                to = f"{hidden}/{name}"
                if is_folder:
                    answer = await self._make(to)
                    folders.append(to)
                else:
                    answer, size = await self._send(to, folder, name)
                    sizes.append(size)
                self._check(answer.status, f"{path}/{name}", {200, 201, 204})
            await self._check_whole(path, folders, sizes)
            moved = {"Destination": self._url(path), "Overwrite": "F"}
            answer = await self._request("MOVE", self._url(hidden) + "/", path, moved, None)
            if answer.status == 412:
                raise Conflict(f"There is a “{path}” already.")
            self._check(answer.status, path, {201, 204})
        except BaseException:
            await asyncio.shield(self._remove(hidden))
            raise

    async def _make(self, path: str) -> Response:
        return await self._request("MKCOL", self._url(path) + "/", path, {}, b"")

    async def _check_whole(self, path: str, folders: Iterable[str], sizes: Iterable[int]) -> None:
        """Raise Unavailable where the server has not all that it took: nobody else keeps it then.

        Names are not compared: some servers write them in another way.
        """
        kept = [
            entry.size
            for at in folders
            for entry in await self._propfind(at, "1")
            if not entry.folder and entry.path.count("/") == at.count("/") + 1
        ]
        if sorted(kept) != sorted(sizes):
            raise Unavailable(f"“{self.title}” has not kept all of “{path}”.")

    async def _send(self, path: str, folder: Path, name: str) -> tuple[Response, int]:
        """Send a file; return the answer, and how large it was."""
        with await asyncio.to_thread(opened, folder, name) as file:
            body = FileBody(file, os.fstat(file.fileno()).st_size)
            headers, seconds = {"Content-Type": "application/octet-stream"}, 60 + body.size / _UPLOAD_BYTES_PER_SECOND
            return await self._request("PUT", self._url(path), path, headers, body, seconds=seconds), body.size

    async def _remove(self, path: str) -> None:
        """Delete what was not brought to its end; a server that is gone keeps it, under its hidden name."""
        with contextlib.suppress(VaasError):
            await self._request("DELETE", self._url(path) + "/", path, {}, None)

    async def _check_change(self, status: int, path: str) -> None:
        if status in {404, 409}:
            await self.stat(path.rpartition("/")[0])  # NotFound when it is the folder above that is missing
        self._check(status, path, {200, 201, 204})

    async def is_there(self) -> bool:
        """Tell whether the root is a WebDAV folder; Forbidden when the login is not right."""
        answer = await self._request("PROPFIND", self._root, "", {"Depth": "0", **_XML}, PROPFIND)
        if answer.status == 401 or answer.status >= 429:
            self._check(answer.status, "", set())
        if answer.status != 207:
            return False
        found = [self._entry(one) for one in await asyncio.to_thread(parse_multistatus, answer.body)]
        return any(entry and entry.folder and not entry.path for entry in found)

    async def _check_before(self, path: str, if_match: str | None) -> None:
        try:
            before = await self.stat(path)
        except NotFound as exc:
            if if_match is not None:
                raise Conflict(f"“{path}” was deleted or renamed meanwhile.") from exc
            return
        if if_match is None:
            raise Conflict(f"There is a “{path}” already.")
        if before.folder or before.etag.removeprefix("W/") != if_match.removeprefix("W/"):
            raise Conflict(f"“{path}” was changed meanwhile. Open it again to see what is new.")

    async def _propfind(self, path: str, depth: str) -> tuple[Entry, ...]:
        # With its slash, because a server behind a proxy may redirect to an address that only it knows.
        url = self._url(path) + ("/" if depth == "1" and path else "")
        answer = await self._request("PROPFIND", url, path, {"Depth": depth, **_XML}, PROPFIND)
        self._check(answer.status, path, {207})
        try:
            found = await asyncio.to_thread(parse_multistatus, answer.body)
        except Unavailable as exc:
            raise self._unavailable(exc) from exc
        return tuple(entry for one in found if (entry := self._entry(one)))

    def _entry(self, found: Found) -> Entry | None:
        """Return the entry, None for what lies outside of the root."""
        depth = len(self._root_parts)
        if found.parts[:depth] != self._root_parts:
            return None
        return Entry("/".join(found.parts[depth:]), found.folder, found.size, found.modified, found.etag)

    def _url(self, path: str) -> str:
        return self._root + "/".join(quote(part, safe="") for part in path.split("/"))

    async def _request(
        self,
        method: str,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: Body,
        *,
        seconds: float | None = None,
    ) -> Response:
        headers = {"Authorization": self._authorization, **headers}
        try:
            return await self._http.request(
                method, url, headers=headers, body=body, max_bytes=_LISTING_BYTES, seconds=seconds
            )
        except Unavailable as exc:
            raise self._unavailable(exc) from exc
        except TooLarge as exc:
            raise TooLarge(f"“{path}” holds more files than can be shown.", log_message=exc.log_message) from exc

    def _check(self, status: int, path: str, good: set[int]) -> None:
        if status in good:
            return
        kind, text = _ERRORS.get(status, (Unavailable, "“{title}” does not work as it should (status {status})."))
        log = f"store {self.id}: status {status} for {path!r}"
        raise kind(text.format(title=self.title, path=path or "/", status=status), log_message=log)

    def _unavailable(self, exc: Unavailable) -> Unavailable:
        if self.title in exc.message:
            return exc
        return Unavailable(f"“{self.title}”: {exc.message}", log_message=f"store {self.id}: {exc.log_message}")


def guess_roots(url: str, username: str) -> tuple[str, ...]:
    """Return the addresses at which the files could be, likeliest first, for what a person typed in.

    That may be a server alone, a page of Nextcloud or ownCloud copied from the browser, or the right address.
    """
    scheme, colon, rest = url.strip().partition("://")
    parts = check_url(f"{_SCHEMES.get(scheme.lower(), scheme)}://{rest}" if colon else f"https://{scheme}")
    base, dav, below = parts.path.partition("/remote.php/")
    if not dav:
        for page in ("/index.php", "/apps/", "/login", "/f/"):
            base = base.partition(page)[0]
    given = urlunsplit((parts.scheme, parts.netloc, base.rstrip("/"), "", ""))
    cloud = (f"{given}/remote.php/dav/files/{quote(username, safe='')}/", f"{given}/remote.php/webdav/")
    if dav and below.strip("/") in {"", "dav", "dav/files"}:
        return cloud
    return (f"{given}{dav}{below}".rstrip("/") + "/", *(() if dav else cloud))


async def connect(url: str, username: str, password: str, *, http: Http) -> str:
    """Return the address at which this account's files are, by trying; for when a person connects a store.

    Raises
    ------
    Invalid
        No WebDAV folder answers there, or the password would travel unencrypted.
    Forbidden
        The user name or app password is not right.
    Unavailable
        The server does not answer.
    """
    if not username or not password or ":" in username:
        raise Invalid("Enter a user name (without a colon) and an app password.")
    failed: VaasError | None = None
    for root in guess_roots(url, username):
        if root.startswith("http://") and not http.trusts(root):
            raise Invalid("Use an address that begins with https://: otherwise anybody could read the password.")
        store = WebdavStore("new", urlsplit(root).netloc, root, username, password, http=http)
        try:
            if await store.is_there():
                return root
        except Unavailable as exc:
            failed = failed or exc
    raise failed or Invalid(
        f"There is no WebDAV folder at “{url.strip()}”. Copy the WebDAV address from your storage's settings."
    )


def _folder_url(url: str) -> str:
    """Return the address in its one form, with a slash at its end and without a query."""
    parts = check_url(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", ""))


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _checked(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as exc:
        raise Invalid("This path cannot be used.") from exc
    return check_path(path)


def _visible(path: str) -> str:
    """Return the checked path; NotFound for a hidden one."""
    path = _checked(path)
    if any(part.startswith(".") for part in path.split("/")):
        raise NotFound(f"There is no “{path}”.")
    return path


def _new(path: str) -> str:
    """Return the checked path of something that is to be written."""
    path = _checked(path)
    if not path or any(part.startswith(".") for part in path.split("/")):
        raise Invalid("A name cannot be empty or begin with a dot.")
    return path


def _condition(if_match: str | None) -> dict[str, str]:
    """Return the header that makes the server compare, if it can: weak etags and made-up ones never match."""
    if if_match is None:
        return {"If-None-Match": "*"}
    if if_match.startswith(("W/", "~")):
        return {}
    return {"If-Match": if_match}
