"""What a launch has placed already, kept in the home: a launch that is started again places nothing twice."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["Kept"]


class Kept:
    """The note of one launch under ``.vaas/launches/`` in the home."""

    def __init__(self, home: Path, launch_id: str) -> None:
        name = re.sub(r"[^a-z0-9]", "", launch_id) or "none"
        self._path = home / ".vaas" / "launches" / f"{name}.json"
        try:
            said = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            said = {}
        self._said: dict[str, Any] = said if isinstance(said, dict) else {}

    def get(self, name: str) -> str:
        """Return what was noted, or ""."""
        return str(self._said.get(name, ""))

    def thing(self, id: str) -> str:
        """Return where a thing was put, from the home on; "" for one that was not."""
        things = self._said.get("things")
        return str(things.get(id, "")) if isinstance(things, dict) else ""

    def note(self, **said: str) -> None:
        """Note this."""
        self._said |= said
        self._write()

    def sha256(self, id: str) -> str:
        """Return the checksum of a thing that was put somewhere; "" where it is no single file, or is not known."""
        sums = self._said.get("sums")
        return str(sums.get(id, "")) if isinstance(sums, dict) else ""

    def note_thing(self, id: str, path: str, *, sha256: str = "") -> None:
        """Note where a thing was put, and its checksum."""
        for name, value in (("things", path), ("sums", sha256)):
            known = self._said.get(name)
            self._said[name] = {**(known if isinstance(known, dict) else {}), id: value}
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            draft.write_text(json.dumps(self._said))
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
