"""Unpack a version's files into a folder and make sure that they are what the manifest says."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from vaas.errors import Invalid
from vaas.model import File

__all__ = ["SERVED", "discard", "open_up", "served", "unpack"]

#: Suffixes of files that a page may show; everything else in a version stays on the server.
SERVED = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".png", ".svg", ".webp"),
        *(".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"),
        *(".m4v", ".mov", ".mp4", ".ogv", ".webm"),
        *(".otf", ".ttf", ".woff", ".woff2", ".css", ".pdf"),
    }
)
_CHUNK = 1 << 20


def unpack(stream: IO[bytes], folder: Path, *, files: tuple[File, ...]) -> None:
    """Write the files of the tar into ``folder`` (which exists and is empty), readable and not writable.

    Raises
    ------
    Invalid
        The tar holds something that the manifest does not list, lacks something, or a file differs from its hash.
    """
    expected = {_safe(file.path): file for file in files}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    continue
                file = expected.pop(member.name, None)
                if file is None or not member.isreg() or member.size != file.size:
                    raise Invalid(f"The content holds something that was not announced: {member.name!r}.")
                source = archive.extractfile(member)
                assert source is not None  # a regular file always has data
                _write(source, folder / file.path, file=file)
    except tarfile.TarError as error:
        raise Invalid("The content did not arrive whole. Start the app again.") from error
    if expected:
        raise Invalid(f"The content lacks {min(expected)!r}. Start the app again.")
    open_up(folder)


def served(path: str, files: tuple[File, ...]) -> bool:
    """Tell whether a page may show the file at ``path``: it is listed as exactly this, and of a kind to show."""
    return PurePosixPath(path).suffix.lower() in SERVED and any(file.path == path for file in files)


def _safe(path: str) -> str:
    """Return the path if it leads to one place inside the folder on every system, and there by one spelling only."""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or set("\\\0") & set(path) or str(pure) != path:
        raise Invalid(f"The content has a file with an impossible name: {path!r}.")
    return path


def _write(source: IO[bytes], target: Path, *, file: File) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    # "x": a file whose name is taken already, by a folder or in another case, is an error and never overwritten.
    with target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != file.sha256:
        target.unlink()
        raise Invalid(f"The content of {file.path!r} is damaged. Start the app again.")


def open_up(folder: Path) -> None:
    """Let every system user read the files and list the folders: what keeps them out is the folder around this one.

    A kernel in its sandbox may be another system user than the server, and sees this folder alone.
    """
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o444)


def discard(folder: Path) -> None:
    """Remove a folder with all it holds; no-op when it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
