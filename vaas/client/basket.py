"""A basket that an app was handed, or one's own: things that can be opened as files."""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload
from urllib.parse import unquote, urlsplit

from vaas.client.client import Client
from vaas.client.errors import PortalError
from vaas.client.tables import need_pandas
from vaas.client.ways import by_visit, here
from vaas.facts import Way
from vaas.loading import table_options
from vaas.runtime import asking

if TYPE_CHECKING:
    import pandas

__all__ = ["Basket", "Thing", "basket"]

#: Bytes of one piece; and what is left free on the disk, since the notebook needs some, too.
_PIECE, _ROOM = 2_000_000, 20_000_000
#: Who asks for too much at once is patient for so long (seconds), with pauses.
_PATIENCE, _PAUSE = 30.0, 0.3
#: Bytes of a file's name, which are fewer than any disk allows; and of its end, as in "csv.gz".
_LONGEST, _END = 200, 20
_NAME = re.compile(r"[^\w.,()\[\] -]+")
_CHANGED = "“{title}” was changed while it was read. Try again."


@dataclass(frozen=True)
class Thing:
    """One thing of a basket: ``kind`` is "app", "file", "share", "doi" or "url".

    ``uri`` is where people find it, "" where that is not known; ``name`` is that of its file. ``size`` is in bytes, or
    None; ``checksum`` begins with its kind, as in "sha256:…", or is "".
    """

    id: str
    title: str
    kind: str
    uri: str
    size: int | None = None
    checksum: str = ""
    format: str = ""
    name: str = ""
    _basket: str = field(default="", repr=False)
    _etag: str = field(default="", repr=False, compare=False)
    #: How a table that is a text is written, as the index found it.
    _written: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _client: Client | None = field(default=None, repr=False, compare=False)
    _folder: Path | None = field(default=None, repr=False, compare=False)

    def path(self) -> Path:
        """Return the file, which is fetched when it is first asked for, into this visit's own temporary folder.

        Raises
        ------
        PortalError
            It is no file that can be read here, it is too large, or it has come to be another one; in words for people.
        """
        if self._folder is None:
            raise PortalError("This thing came from nowhere: take it out of vaas.basket().")
        target = self._folder / self.id / self.name
        if not target.exists():
            self._fetch(target)
        return target

    def open(self) -> IO[bytes]:
        """Return the file, opened for reading bytes. Raises PortalError, as :meth:`path` does."""
        return self.path().open("rb")

    def read(self) -> bytes:
        """Return all of its bytes. Raises PortalError."""
        return self.path().read_bytes()

    @property
    def is_table(self) -> bool:
        """Whether :meth:`table` can read it, by its name and by what the index found in it."""
        return table_options(self.name, self._written) is not None

    def table(self, **options: Any) -> pandas.DataFrame:
        """Return it as a pandas table; ``options`` are for pandas' function. Raises PortalError for what is none."""
        found = table_options(self.name, self._written)
        if found is None:
            raise PortalError(f"“{self.title}” is no table that can be read: {self.name}.")
        library, (function, told) = need_pandas(), found
        if "delimiter" in options:  # pandas' other word for it
            told.pop("sep", None)
        path = self.path()
        try:
            read: pandas.DataFrame = getattr(library, function)(path, **{**told, **options})
        except Exception as error:
            raise PortalError(f"“{self.title}” cannot be read as a table: {error}") from error
        return read

    def _fetch(self, target: Path) -> None:
        """Write all of it, under another name until it is whole."""
        part, digest, etag = target.parent.with_name(f"{self.id}.part-{os.getpid()}"), hashlib.sha256(), None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                while True:
                    data, size, now = self._piece(file.tell())
                    etag = now if etag is None else etag
                    if now != etag or (not data and file.tell() < size):
                        raise PortalError(_CHANGED.format(title=self.title))
                    if not file.tell():
                        self._check_room(target.parent, size)
                    file.write(data)
                    digest.update(data)
                    if file.tell() >= size:
                        break
            if etag and etag == self._etag:  # the checksum of another state says nothing about this one
                self._check_sum(digest.hexdigest())
            part.replace(target)
        except OSError as error:
            raise PortalError(f"“{self.title}” cannot be written here: {error.strerror}.") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _piece(self, offset: int) -> tuple[bytes, int, str]:
        assert self._client is not None
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                said = self._client.read(self._basket, self.id, offset=offset, size=_PIECE)
                break
            except PortalError as error:
                if error.status != 429 or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)  # too many pieces at once
        return base64.b64decode(said["data"]), int(said["size"]), str(said["etag"])

    def _check_room(self, folder: Path, size: int) -> None:
        free = shutil.disk_usage(folder).free
        if size + _ROOM > free:
            raise PortalError(
                f"“{self.title}” has {size / 1e6:,.0f} MB, and there is room for {max(0, free - _ROOM) / 1e6:,.0f} MB."
            )

    def _check_sum(self, found: str) -> None:
        kind, _, said = self.checksum.partition(":")
        if kind == "sha256" and said and said != found:
            raise PortalError(f"“{self.title}” did not arrive as it was when the portal looked at it. Try again.")


class Basket(Sequence[Thing]):
    """The things of a basket, in its order; ``name`` is "" for one without, and where nobody handed one over."""

    def __init__(self, things: Sequence[Thing] = (), *, name: str = "") -> None:
        self._things, self.name = tuple(things), name

    @overload
    def __getitem__(self, index: int) -> Thing: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Thing]: ...

    def __getitem__(self, index: int | slice) -> Thing | Sequence[Thing]:
        return self._things[index]

    def __len__(self) -> int:
        return len(self._things)

    def __repr__(self) -> str:
        return f"Basket({list(self._things)!r}, name={self.name!r})"

    @property
    def tables(self) -> list[Thing]:
        """The things that can be read as tables."""
        return [thing for thing in self._things if thing.is_table]


def basket(basket: str = "") -> Basket:
    """Return the basket that the visitor handed over, or elsewhere the one of this id: see :func:`vaas.basket`."""
    way = asking.handed()
    if way is not None:
        client, basket = by_visit(way), ""
    elif os.environ.get("VAAS_URL") or (basket and not asking.in_app()):
        client = here()  # as whom the token is, which is the same for all who look
    else:
        return Basket()
    told = client.basket(basket)
    there = [each for each in told["things"] if each.get("state", "there") == "there"]
    folder = (_new_folder() if way is None else _folder_of(way)) if there else None
    return Basket([_thing(each, told["id"], client, folder) for each in there], name=told["name"])


def _thing(told: dict[str, Any], basket: str, client: Client, folder: Path | None) -> Thing:
    said = {name: told[name] for name in ("id", "title", "kind", "uri", "size", "checksum")}
    form = told.get("format") or (told.get("shown") or {}).get("format", "")
    access = told.get("access") or {}
    via = access.get("via", {})
    name = _file_name(told.get("name") or via.get("path", "") or unquote(urlsplit(told["uri"]).path)) or told["id"]
    etag, written = told.get("etag") or "", told.get("written") or access.get("written") or {}
    own: dict[str, Any] = {"_basket": basket, "_etag": etag, "_written": written, "_client": client, "_folder": folder}
    return Thing(**said, format=form, name=name, **own)


def _file_name(path: str) -> str:
    """Return a name that a file here can have, with the end by which it is known what it is."""
    name = _NAME.sub("_", path.rstrip("/").rpartition("/")[2]).strip(". ")
    stem, dot, end = name.partition(".") if len(name.partition(".")[2].encode()) <= _END else name.rpartition(".")
    end = f"{dot}{end}" if stem and len(end.encode()) <= _END else ""
    stem = name.removesuffix(end)
    return stem.encode()[: _LONGEST - len(end.encode())].decode(errors="ignore") + end


@lru_cache(maxsize=2)
def _folder_of(way: Way) -> Path:
    """Return where the files of a visit go, however often it asks for its basket: each is fetched once."""
    return _new_folder()


def _new_folder() -> Path:
    """Return where the files of one basket go; it is gone when the notebook ends."""
    folder = Path(tempfile.mkdtemp(prefix="basket-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
