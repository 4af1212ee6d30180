"""Sealing of secrets that the database keeps, with a key that lies outside of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from vaas.errors import Invalid, Unavailable

__all__ = ["Seal", "ensure_secret"]


def ensure_secret(path: Path, *, size: int = 32) -> bytes:
    """Return the secret that the file holds; make the file (0600) with ``size`` random bytes when there is none.

    Raises
    ------
    Invalid
        The file is there, but does not hold that much.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        # Whole or not at all: what a full disk cut short would be a key that anybody can guess.
        pending = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
        try:
            with os.fdopen(os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(os.urandom(size).hex())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # somebody else was quicker: theirs counts
                os.link(pending, path)
        finally:
            pending.unlink(missing_ok=True)
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError:
        secret = b""
    if len(secret) < size:
        raise Invalid(f"The key file “{path.name}” is damaged. Restore it from a backup of the data folder.")
    return secret


class Seal:
    """Close and open short texts (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, secret: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret).digest()))

    def close(self, text: str) -> str:
        """Return ``text`` sealed."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed; Unavailable when the key is another one now."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Unavailable("A kept password cannot be read any more. Connect the account again.") from error
