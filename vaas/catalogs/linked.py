"""The files of a record of another site, as a store to read: every address is one that a stranger gave.

They are asked for as nobody: what a catalog is asked with is for the catalog alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from vaas.addresses import check_url
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unavailable, VaasError
from vaas.http import REDIRECTS, Http, Stream
from vaas.model import Entry
from vaas.prose import clean_text
from vaas.stores.base import Counted, Piece, Store, check_path, uncounted

__all__ = ["MOST_FILES", "Linked", "LinkedFiles", "check_count", "checksum_of", "link", "linked_files", "name_of"]

#: A record with more files than that is not brought here; half of it would be worse than none.
MOST_FILES = 500
#: Bytes of one file; and bytes of a name, which leave room for a number.
_FILE_BYTES, _LONGEST = 10_000_000_000, 180
#: How often one address may send on to the next, and how long nothing may come (seconds).
_HOPS, _SILENCE = 5, 20.0
#: Bytes a second below which a file does not come at all: what reads it would be of no use to others meanwhile.
_SLOWEST = 10_000
#: Where each piece has to be read from the file's start, it begins at most so many bytes after it.
_MOST_SKIPPED = 8_000_000
_PAGES, _PAGE_ENDS = ("text/html", "application/xhtml"), (".html", ".htm", ".xhtml")
#: A checksum's kind without hyphens → what Python calls it; those of any length say nothing.
_KINDS = {name.replace("_", ""): name for name in hashlib.algorithms_guaranteed if not name.startswith("shake")}
#: By its length, where a checksum does not say its kind.
_USUAL = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}

#: HTTP status → what to raise, and what to say; anything else that is not a success is Unavailable.
_ERRORS: Mapping[int, tuple[type[VaasError], str]] = {
    401: (Forbidden, "“{name}” is not for everybody: ask those who published it."),
    403: (Forbidden, "“{name}” is not for everybody: ask those who published it."),
    404: (NotFound, "“{name}” is not where {title} says."),
    410: (NotFound, "“{name}” is not where {title} says."),
    429: (Unavailable, "“{name}” is asked for too often at the moment. Try again in a few minutes."),
}


@dataclass(frozen=True)
class Linked:
    """One file: ``size`` in bytes where that is known for certain; ``checksum`` as in "md5:…", "" where none is."""

    name: str
    url: str
    size: int | None = None
    checksum: str = ""


def link(name: object, url: object, *, size: int | None = None, checksum: str = "") -> Linked | None:
    """Return the file of that name at that address; None for what is nothing that can be had by HTTP."""
    if not isinstance(name, str) or not isinstance(url, str) or len(url) > 4000:
        return None
    try:
        address = check_url(url).geturl()
    except Invalid:
        return None
    return Linked(name_of(name), address, size, checksum)


def linked_files(title: str, files: Sequence[Linked], *, at: str, http: Http) -> LinkedFiles:
    """Return what holds these files. Raises NotFound where there are none."""
    if not files:
        raise NotFound(f"{title} has no files of it that can be had.")
    return LinkedFiles(title, files, at=at, http=http)


def check_count(count: int) -> None:
    """Raise NotFound for a record with more files than are brought."""
    if count > MOST_FILES:
        raise NotFound(f"It has more than {MOST_FILES} files, and so many are not brought here.")


def name_of(text: str) -> str:
    """Return what a file is called here, of what a stranger calls it: one part of a path, not hidden, never ""."""
    last = clean_text(text[: 8 * _LONGEST].replace("\\", "/").rstrip("/").rpartition("/")[2])
    kept = "".join(c for c in last if ord(c) >= 32 and not "\ud800" <= c <= "\udfff").strip().lstrip(".")
    stem, dot, end = kept.rpartition(".")
    end = f"{dot}{end}" if stem and len(end.encode()) < 20 else ""
    stem = kept.removesuffix(end)
    return stem.encode()[: _LONGEST - len(end.encode())].decode(errors="ignore").strip() + end or "file"


def checksum_of(value: object) -> str:
    """Return a checksum that can be compared, as in "md5:…"; "" for what is none, or of a kind that is not known."""
    kind, colon, digest = value.strip().lower().rpartition(":") if isinstance(value, str) else ("", "", "")
    known = _KINDS.get(kind.replace("-", "").replace("_", "")) if colon else _USUAL.get(len(digest))
    if known is None or not digest or any(c not in "0123456789abcdef" for c in digest):
        return ""
    return f"{known}:{digest}" if len(digest) == 2 * _new(known).digest_size else ""


class LinkedFiles(Store):
    """Serves the files of one record, all at its root.

    A catalog inside the site, by its address, may name others there; any other one only its own and the open internet.

    Parameters
    ----------
    title:
        What the catalog is called.
    at:
        The catalog's own address.
    """

    id = "linked"

    def __init__(self, title: str, files: Iterable[Linked], *, at: str, http: Http) -> None:
        self.title = title
        self._files = _named(files)
        self._own, self._http = check_url(at)[:2], http
        self._others = http if http.trusts(at) else http.public()

    async def list(self, path: str) -> tuple[Entry, ...]:
        """Return the files, by name without regard to case."""
        if check_path(path):
            raise Invalid(f"“{path}” is a file, not a folder.") if path in self._files else self._missing(path)
        entries = [_entry(name, file) for name, file in self._files.items()]
        return tuple(sorted(entries, key=lambda each: (each.name.casefold(), each.name)))

    async def stat(self, path: str) -> Entry:
        """Return what is there; the size is 0 where it is not known."""
        return _entry(check_path(path), self._file(path)) if check_path(path) else Entry("", folder=True)

    async def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes; Conflict when they are others than the catalog says."""
        file = self._file(path)
        kind, _, wanted = file.checksum.partition(":")
        digest, size = _new(kind) if kind else None, 0
        async with self._answer(file, {}) as answer, aclosing(self._bytes(file, answer)) as chunks:
            self._check(answer, file, {200})
            async for chunk in chunks:
                size += len(chunk)
                if file.size is not None and size > file.size:
                    break
                if digest is not None:
                    digest.update(chunk)
                yield chunk
        if file.size is not None and size != file.size:
            raise Conflict(f"“{file.name}” is not as large as {self.title} says. Nothing of it was kept.")
        if digest is not None and digest.hexdigest() != wanted:
            raise Conflict(f"“{file.name}” is not what its checksum at {self.title} says. Nothing of it was kept.")

    async def piece(self, path: str, offset: int, size: int, entry: Entry | None = None) -> Piece:
        """Return up to ``size`` bytes from ``offset`` on; the etag is what the file's own server tells states by."""
        file = self._file(path)
        headers = {"Range": f"bytes={offset}-{offset + max(size, 1) - 1}"}
        async with self._answer(file, headers) as answer, aclosing(self._bytes(file, answer)) as chunks:
            self._check(answer, file, {200, 206, 416})
            begins, total = _range(answer)
            total = file.size if total is None else total
            if total is None:
                raise Invalid(f"{self.title} does not say how large “{file.name}” is, so it cannot be read from here.")
            if answer.status == 416 or size <= 0 or offset >= total:
                return Piece(b"", total, _etag(file, answer))
            ahead = offset - begins
            if not 0 <= ahead <= _MOST_SKIPPED:
                raise Invalid(f"“{file.name}” can be read from its start alone, and is too large for that here.")
            found = bytearray()
            async for chunk in chunks:
                found += chunk
                if len(found) >= ahead + size:
                    break
            return Piece(bytes(found[ahead : ahead + size]), total, _etag(file, answer), ahead)

    async def write(self, path: str, data: bytes, *, if_match: str | None) -> Entry:
        """Write nothing: they are another site's."""
        raise Forbidden(f"“{self.title}” is read-only.")

    async def take(self, path: str, to: Path, *, limit: int, told: Counted = uncounted) -> int:
        """Copy all files to a folder of this machine, which is new; return how many bytes are in it."""
        left, entries = limit, await self.list(path)
        await asyncio.to_thread(to.mkdir)
        for entry in entries:
            with (to / entry.name).open("xb") as copy:
                async with aclosing(self.chunks(entry.path)) as chunks:
                    async for chunk in chunks:
                        left -= len(chunk)
                        if left < 0:
                            raise TooLarge("This record has more data than can be brought. Choose less.")
                        await asyncio.to_thread(copy.write, chunk)
                        told(len(chunk))
        return limit - left

    def _file(self, path: str) -> Linked:
        path = check_path(path)
        if not path:
            raise Invalid("This is a folder, not a file.")
        if (file := self._files.get(path)) is None:
            raise self._missing(path)
        return file

    def _missing(self, path: str) -> NotFound:
        return NotFound(f"There is no “{path}” at {self.title} any more.")

    @asynccontextmanager
    async def _answer(self, file: Linked, headers: Mapping[str, str]) -> AsyncIterator[Stream]:
        """Ask for the file, wherever its address leads within what may be reached."""
        url, said = file.url, {"Accept-Encoding": "identity", **headers}
        for _ in range(_HOPS + 1):
            http = self._http if check_url(url)[:2] == self._own else self._others
            stream = http.stream("GET", url, headers=said, max_bytes=_FILE_BYTES, seconds=_SILENCE, redirects=0)
            try:
                answer = await stream.__aenter__()
            except VaasError as error:
                raise self._explained(file, error) from error
            try:
                location = answer.headers.get("location", "")
                if answer.status not in REDIRECTS or not location:
                    yield answer
                    return
            finally:
                await stream.__aexit__(None, None, None)
            url = self._onward(file, url, location)
        raise NotFound(f"“{file.name}” is sent on from one address to the next, without an end.")

    def _onward(self, file: Linked, url: str, location: str) -> str:
        try:
            target = check_url(urljoin(url, location))
        except Invalid as error:
            raise self._explained(file, error) from error
        if urlsplit(url).scheme == "https" and target.scheme != "https":
            raise self._explained(file, Invalid("", log_message=f"from https on to {target.geturl()}"))
        return target.geturl()

    async def _bytes(self, file: Linked, answer: Stream) -> AsyncGenerator[bytes, None]:
        began, size = time.monotonic(), 0
        try:
            async for chunk in answer.chunks():
                size += len(chunk)
                if time.monotonic() - began > _SILENCE + size / _SLOWEST:
                    raise Unavailable("", log_message="It comes too slowly.")
                yield chunk
        except VaasError as error:
            raise self._explained(file, error) from error

    def _explained(self, file: Linked, error: VaasError) -> VaasError:
        """Return what is said of an error of the network: no names of hosts, which may be some inside the site."""
        log = f"{self.title}: {file.url}: {error.log_message}"
        if isinstance(error, TooLarge):
            return TooLarge(f"“{file.name}” is larger than {_FILE_BYTES // 1_000_000} MB.", log_message=log)
        if isinstance(error, Invalid):
            return Forbidden(f"“{file.name}” is at an address where this portal does not go.", log_message=log)
        return Unavailable(f"“{file.name}” does not come from where {self.title} says it is.", log_message=log)

    def _check(self, answer: Stream, file: Linked, good: set[int]) -> None:
        """Raise for what is not the file; for the page of one, too, which many answer in its place."""
        if answer.status not in good:
            other = (Unavailable, "“{name}” does not come as it should (status {status}).")
            kind, words = _ERRORS.get(answer.status, other)
            said = words.format(name=file.name, title=self.title, status=answer.status)
            raise kind(said, log_message=f"{self.title}: {file.url}: status {answer.status}")
        is_page = answer.headers.get("content-type", "").lower().startswith(_PAGES)
        if is_page and not file.name.lower().endswith(_PAGE_ENDS):
            raise NotFound(f"Where {self.title} says that “{file.name}” is, there is a web page in its place.")


def _named(files: Iterable[Linked]) -> dict[str, Linked]:
    """Return the files by names of their own, also where capital letters do not count; one address once."""
    found, taken, addresses = dict[str, Linked](), set[str](), set[str]()
    for file in files:
        if file.url in addresses:
            continue
        addresses.add(file.url)
        stem, dot, end = file.name.partition(".")
        name, number = file.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{dot}{end}"
        taken.add(name.casefold())
        found[name] = Linked(name, file.url, file.size, file.checksum)
    return found


def _entry(name: str, file: Linked) -> Entry:
    known = hashlib.sha256(f"{file.url}\n{file.size}\n{file.checksum}".encode()).hexdigest()[:32]
    return Entry(name, folder=False, size=file.size or 0, etag=known, checksum=file.checksum)


def _etag(file: Linked, answer: Stream) -> str:
    said = answer.headers.get("etag", "") or answer.headers.get("last-modified", "")
    return hashlib.sha256(f"{file.url}\n{file.checksum}\n{said}".encode()).hexdigest()[:32]


def _range(answer: Stream) -> tuple[int, int | None]:
    """Return where an answer begins in the file, and how large that is."""
    if answer.status == 200:
        length = answer.headers.get("content-length", "")
        return 0, int(length) if length.isdecimal() and len(length) < 19 else None
    said, _, total = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    begins = said.partition("-")[0]
    size = int(total) if total.isdecimal() and len(total) < 19 else None
    # A part that does not say where it begins is of no use.
    return (int(begins) if begins.isdecimal() and len(begins) < 19 else 1 << 62), size


def _new(kind: str) -> hashlib._Hash:
    return hashlib.new(kind, usedforsecurity=False)
