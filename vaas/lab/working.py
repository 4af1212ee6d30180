"""The working copy of a launch: files in a folder of the home, checked by their hashes, never over existing work."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vaas.errors import Conflict, NotFound, StorageFull, Unavailable, VaasError
from vaas.lab.cell import first_cell, language_of, with_cells
from vaas.lab.given import lay_beside
from vaas.lab.kept import Kept
from vaas.lab.kernelspec import kernel_name
from vaas.lab.manifest import Manifest
from vaas.lab.portal import PortalClient
from vaas.model import File

__all__ = ["Copy", "begin_notebook", "explained", "place_copy", "whole"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_MOST_COPIES = 100
_CHUNK = 1 << 20
#: What is opened where only data were asked for.
_BEGUN = "Notebook.ipynb"
_EMPTY = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


class Copy:
    """Where a launch works: ``folder`` and ``notebook``, both from the home and from the folder on."""

    def __init__(self, home: Path, folder: str, notebook: str, *, new: bool) -> None:
        self.home, self.folder, self.notebook, self.new = home, folder, notebook, new

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.home / self.folder


def place_copy(home: Path, manifest: Manifest, portal: PortalClient, *, kept: Kept) -> Copy:
    """Place the working copy, and return where it is; one that this launch has placed before is left as it is.

    Raises
    ------
    StorageFull
        There is no room for it.
    Unavailable
        It does not come, or not as it should.
    NotFound
        It is to lie here already, and does not.
    """
    notebook = manifest.notebook or _BEGUN
    if manifest.in_place:
        if not (home / manifest.folder / notebook).is_file():
            raise NotFound(
                f"“{notebook}” is not in your home there. Launch it elsewhere, or tell those who run this site.",
                log_message=f"{home / manifest.folder / notebook} is no file.",
            )
        return Copy(home, manifest.folder, notebook, new=False)
    if (placed := kept.get("folder")) and (home / placed).is_dir():
        return Copy(home, placed, kept.get("notebook") or notebook, new=False)
    with explained("the notebook"):
        folder = _new_folder(home, manifest.folder)
        copy = Copy(home, folder.relative_to(home).as_posix(), notebook, new=True)
        with whole(copy):
            if manifest.files:
                _unpack(portal.content(), manifest.files, folder)
            else:
                (folder / notebook).write_bytes(_EMPTY)
            kept.note(folder=copy.folder, notebook=notebook)
    return copy


@contextmanager
def whole(copy: Copy) -> Iterator[None]:
    """Remove the copy when what is done to it fails: half a copy is none, and would be taken for one later."""
    try:
        yield
    except BaseException:
        shutil.rmtree(copy.path, ignore_errors=True)
        raise


def begin_notebook(copy: Copy, manifest: Manifest, places: Mapping[str, str], *, overview: str) -> None:
    """Put the generated cells into the copy's notebook, and its kernel; what came along is laid beside it.

    ``overview`` is what the file will be called that says where everything is.
    """
    path = copy.path / copy.notebook
    said = {name: str(manifest.environment.get(name) or "") for name in ("title", "kind", "where")}
    with explained("the notebook"):
        before = path.read_bytes()
        # An empty one is in no language yet.
        language = manifest.language if before == _EMPTY else language_of(before)
        given = lay_beside(path.parent, manifest.given, language=language)
        cells = [first_cell(manifest, places, overview=overview), given]
        # What the kernels of an image are called is known there alone.
        unknown = said["kind"] == "image" and manifest.language != "python"
        kernel = "" if unknown else kernel_name(said["kind"], manifest.language, said["where"])
        made = with_cells(before, cells, kernel=kernel, title=said["title"], language=language)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_bytes(made)
        draft.replace(path)


class explained:
    """A context in which errors of the disk become words about ``what``."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        """Raise StorageFull or Unavailable in place of an OSError."""
        if isinstance(error, OSError):
            raise _explain(error, self._what) from error


def _explain(error: OSError, what: str) -> VaasError:
    if error.errno in _FULL:
        return StorageFull(f"There is no room left for {what}. Remove what you no longer need, then start it again.")
    return Unavailable(f"{what[0].upper()}{what[1:]} cannot be written here.", log_message=f"{what}: {error}")


def _new_folder(home: Path, wanted: str) -> Path:
    """Make a folder that was not there."""
    (home / wanted).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(1, _MOST_COPIES):
        path = home / (wanted if number == 1 else f"{wanted}-{number}")
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise Conflict("There are too many copies of this notebook here. Remove some of them.")


def _unpack(chunks: Iterator[bytes], files: tuple[File, ...], folder: Path) -> None:
    """Write the files that were announced, and nothing else that comes."""
    wanted = {file.path: file for file in files}
    with tarfile.open(fileobj=io.BufferedReader(_Stream(chunks), _CHUNK), mode="r|") as tar:
        for member in tar:
            source, file = tar.extractfile(member), wanted.pop(member.name, None)
            if source is None or file is None or member.size != file.size:
                raise Unavailable("The notebook did not come as it was published. Start it again.")
            _write(source, file, folder / file.path)
    if wanted:
        raise Unavailable("The notebook did not come whole. Start it again.")


def _write(source: IO[bytes], file: File, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    with path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise Unavailable("A file of the notebook was damaged on its way. Start it again.")


class _Stream(io.RawIOBase):
    """What comes in chunks, read like a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Put the next bytes into the buffer, none at the end."""
        while not self._left and (chunk := next(self._chunks, b"")):
            self._left = chunk
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)
