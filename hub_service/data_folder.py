"""The data folder: everything that is kept lies in it, nothing in it says where it lies, so it can be moved."""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path

from vaas.errors import Invalid

__all__ = ["FORMAT", "PRIVATE", "check_folder", "check_writable", "ensure_folder"]

#: Raised when an older program could not read what this one writes. Tables have migrations of their own.
FORMAT = 1
#: The umask of all that works with the folder: it holds what people may not see of each other.
PRIVATE = 0o077
_MARK = "vaas.json"
#: A full disk takes names for a while, but nothing in them.
_SOMETHING = bytes(16_384)
_OURS = frozenset({"secrets", "logs", "run", "hub.sqlite"})


def ensure_folder(folder: Path) -> None:
    """Make the data folder, or take the one that is there, and close it to the machine's other users.

    Raises
    ------
    Invalid
        It cannot be written, holds other things, or was written by a newer VaaS.
    """
    _check_not_foreign(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A folder that belongs to somebody else, who lets us write, is theirs to close.
        with contextlib.suppress(PermissionError):
            folder.chmod(0o700)
        for name in ("logs", "run", "secrets"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            check_writable(folder / name)
        check_writable(folder)
    except OSError as error:
        raise Invalid(
            f"The data folder {folder} cannot be written ({error.strerror}). Choose another one: vaas up --data FOLDER"
        ) from error
    _check_format(folder)


def _check_not_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Invalid(f"{folder} is a file. Choose a folder: vaas up --data FOLDER")
    found = {path.name for path in folder.iterdir()}
    if found and _MARK not in found and not found & _OURS:
        raise Invalid(
            f"{folder} holds other things, and no data of VaaS. Choose an empty or a new folder: vaas up --data FOLDER"
        )


def check_folder(folder: Path) -> None:
    """Find that the folder is none of ours, or of a newer VaaS; nothing is changed. Raises Invalid."""
    _check_not_foreign(folder)
    if (folder / _MARK).exists():
        _check_format(folder)


def check_writable(folder: Path) -> None:
    """Write something into the folder, and take it away again. Raises OSError."""
    probe = folder / f".probe-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(_SOMETHING)
    except OSError as error:
        # What was opened, but found no room, does not say where.
        raise OSError(error.errno, error.strerror, str(probe)) from error
    finally:
        probe.unlink(missing_ok=True)


def _check_format(folder: Path) -> None:
    mark = folder / _MARK
    if not mark.exists():
        mark.write_text(json.dumps({"format": FORMAT}) + "\n")
        return
    try:
        found = int(json.loads(mark.read_text())["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{mark} is damaged. Restore it from a backup, or choose another folder with --data.") from error
    if found > FORMAT:
        raise Invalid(
            f"The data folder {folder} was written by a newer VaaS (format {found}, this one knows {FORMAT}). "
            "Use that version, or choose another folder: vaas up --data FOLDER"
        )
