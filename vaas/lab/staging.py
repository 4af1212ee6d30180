"""Fetching the things of a basket beside a running JupyterLab: each by itself, checked, and whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from vaas.errors import Conflict, Invalid, Unavailable, VaasError
from vaas.lab.kept import Kept
from vaas.lab.manifest import Thing, safe_path
from vaas.lab.portal import PortalClient
from vaas.lab.progress import Progress
from vaas.lab.working import explained
from vaas.parcels import DAMAGED

__all__ = ["Staging", "where_mounted"]

_PIECE = 2_000_000
#: A portal that does not answer is asked again so often, with pauses that grow to so many seconds.
_TRIES, _LONGEST_PAUSE = 6, 8.0
#: What comes in one go begins anew each time.
_PARCELS = 3
_DAMAGED = "It is not what its checksum says, and was not kept. Its owner may have changed it: look at the basket."


def where_mounted(thing: Thing, *, home: Path, shared: Path | None) -> Path | None:
    """Return where the thing can be read without being fetched; None where it cannot."""
    root = {"home": home, "shared": shared}.get(thing.mounted[0]) if thing.mounted else None
    if thing.mounted is None or root is None:
        return None
    path = root / thing.mounted[1]
    return path if os.access(path, os.R_OK) else None


class Staging:
    """Puts things into one folder; what goes wrong with one is said of that one."""

    def __init__(self, folder: Path, *, home: Path, portal: PortalClient, progress: Progress, kept: Kept) -> None:
        self._folder, self._home = folder, home
        self._portal, self._progress, self._kept = portal, progress, kept
        self._names: set[str] = set()

    def choose(self, thing: Thing) -> Path:
        """Return where the thing is put: as before, or where nothing is."""
        if placed := self._kept.thing(thing.id):
            return self._home / placed
        stem, dot, ending = thing.name.partition(".")
        for number in range(1, 1000):
            name = thing.name if number == 1 else f"{stem}-{number}{dot}{ending}"
            if name not in self._names and not os.path.lexists(self._folder / name):
                self._names.add(name)
                return self._folder / name
        raise Conflict("There are too many files of this name.")

    def stage(self, thing: Thing, path: Path) -> str:
        """Fetch the thing unless it is there; return why it is not, or ""."""
        if self._kept.thing(thing.id) and path.exists():
            self._progress.thing(thing.id, done=thing.size, state="done")
            return ""
        part = path.with_name(f".{path.name}.part")
        try:
            with explained(f"“{thing.title}”"):
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                size, sha256 = self._fetch_parcel(thing, part) if thing.whole else self._fetch(thing, part)
                if os.path.lexists(path):
                    raise Conflict(f"There is a file called “{path.name}” now. Start the launch again.")
                part.rename(path)
                self._note(thing, path, sha256)
        except VaasError as error:
            self._progress.thing(thing.id, state="failed", message=error.message)
            return error.message
        finally:
            _remove(part)
        self._progress.thing(thing.id, done=size, of=size, state="done")
        return ""

    def _note(self, thing: Thing, path: Path, sha256: str) -> None:
        """Note that it is there; what cannot be noted is not kept, as it would be fetched again beside itself."""
        try:
            self._kept.note_thing(thing.id, path.relative_to(self._home).as_posix(), sha256=sha256)
        except OSError:
            _remove(path)
            raise

    def _fetch(self, thing: Thing, part: Path) -> tuple[int, str]:
        """Write the thing's bytes; of one that changes meanwhile, the new ones from the beginning, once.

        Return how many they are, and their SHA-256.
        """
        for last in (False, True):
            try:
                return self._fetch_one(thing, part)
            except Conflict:
                if last:
                    raise
        raise AssertionError("not reached")

    def _fetch_one(self, thing: Thing, part: Path) -> tuple[int, str]:
        came, done, etag = _Came(thing.checksum), 0, ""
        with part.open("wb") as file:
            while True:
                data, size, now = self._piece(thing.id, done)
                if done and now != etag:
                    raise Conflict("It was changed while it was fetched. Start the launch again.")
                done, etag = done + len(data), now
                file.write(data)
                came.update(data)
                self._progress.thing(thing.id, done=done, of=size, state="running")
                if done >= size or not data:
                    break
        if done != size:
            raise Unavailable("It did not come whole. Start the launch again.")
        # The checksum is of one state of the file, and says nothing of another.
        if not thing.etag or thing.etag == etag:
            came.check()
        return done, came.sha256

    def _fetch_parcel(self, thing: Thing, part: Path) -> tuple[int, str]:
        """Write what comes in one go, a file or a folder; what does not come whole is begun anew.

        Return how many bytes it is, and the SHA-256 of what is one file.
        """
        for _ in range(_PARCELS - 1):
            with suppress(Unavailable):
                return self._unpack(thing, part)
            time.sleep(0.5)
        return self._unpack(thing, part)

    def _unpack(self, thing: Thing, part: Path) -> tuple[int, str]:
        done, size = 0, 0
        _remove(part)  # what another time left behind, or a launch that was killed
        with _Opened() as opened, closing(self._portal.parcel(thing.id)) as parcel:
            for said, data in parcel:
                if "error" in said:
                    raise (Unavailable if said.get("again") else Invalid)(str(said["error"]))
                if type(said.get("size")) is int:
                    size = said["size"]
                if "file" in said:
                    opened.next(_within(part, said["file"]), str(said.get("checksum") or ""))
                if data:
                    opened.write(data)
                    done += len(data)
                if "sum" in said:
                    opened.check(said["sum"])
                self._progress.thing(thing.id, done=done, of=size, state="running")
            opened.end()
        if not part.exists():
            part.mkdir(mode=0o700)  # an empty folder
        return done, opened.came.sha256 if part.is_file() else ""

    def _piece(self, thing: str, offset: int) -> tuple[bytes, int, str]:
        pause = 0.5
        for _ in range(_TRIES):
            try:
                return self._portal.piece(thing, offset, _PIECE)
            except Unavailable:
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
        return self._portal.piece(thing, offset, _PIECE)


class _Came:
    """What came of a file: its SHA-256, and whether it is what its owner's ``checksum`` says ("": they say none)."""

    def __init__(self, checksum: str) -> None:
        self._said, self._kind = checksum.lower(), checksum.partition(":")[0]
        kinds = {"sha256", self._kind} & (hashlib.algorithms_guaranteed - {"shake_128", "shake_256"})
        self._digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    def update(self, data: bytes) -> None:
        """Count these in."""
        for digest in self._digests.values():
            digest.update(data)

    @property
    def sha256(self) -> str:
        """The checksum of it all."""
        return self._digests["sha256"].hexdigest()

    def check(self) -> None:
        """Raise Invalid when it is not what its checksum says; of a kind that nobody knows it says nothing."""
        digest = self._digests.get(self._kind)
        if digest is not None and f"{self._kind}:{digest.hexdigest()}" != self._said:
            raise Invalid(_DAMAGED)


class _Opened:
    """The file of a parcel that is being written: one after the other, each checked at its end."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        #: What came of it, and whether it was heard what was sent.
        self.came, self._summed = _Came(""), False

    def __enter__(self) -> _Opened:
        """Begin with none."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def next(self, path: Path, checksum: str) -> None:
        """Go on with the next file."""
        self.end()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file, self.came, self._summed = path.open("xb"), _Came(checksum), False

    def write(self, data: bytes) -> None:
        """Write some of it."""
        if self._file is None or self._summed:
            raise Unavailable("It did not come as it should. Start the launch again.")
        self._file.write(data)
        self.came.update(data)

    def check(self, sent: object) -> None:
        """Hear what was sent of it. Raises Unavailable where something else came."""
        if sent != f"sha256:{self.came.sha256}":
            raise Unavailable(DAMAGED)
        self._summed = True

    def end(self) -> None:
        """Close it, and raise Invalid when it is not what its checksum says."""
        if self._file is not None:
            self._file.close()
            self.came.check()
        self._file = None


def _within(part: Path, path: object) -> Path:
    """Return where a file of a parcel goes: below the folder, or in its place where there is only one."""
    return part / safe_path(path) if path else part


def _remove(path: Path) -> None:
    """Remove a file or a folder, whatever it is; no-op when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
