"""Outlines of pages as the portal keeps them: rebuilt block by block, for they come from where foreign code runs.

One is kept for each version, named after the app and the version's content: a check makes it before there is a version.
They can all be made again, so a disk that takes none is only a line in the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaas import pictures
from vaas.prose import clean_text

__all__ = ["Outlines", "clean_outline"]

Block = dict[str, Any]

_log = logging.getLogger("vaas")
_BLOCKS, _WORDS, _TEXT = 120, 20_000, 2_000
_ROWS, _CELLS, _CELL = 16, 12, 120
_PICTURE, _PICTURES, _SIDE = 400_000, 900_000, 5_000
_LEAST_HEIGHT, _MOST_HEIGHT = 24, 2_000
_DEPTH = 8
#: kind → how many blocks such a block holds.
_HOLD = {"row": 8, "column": 40}
#: kind → the fields of text that such a block has.
_SAID = {"heading": 300, "markdown": _TEXT, "words": _TEXT, "printed": _TEXT, "control": 80}


def clean_outline(said: Mapping[str, Any]) -> list[Block]:
    """Return the blocks with what blocks may hold and nothing else, up to a few screens of them."""
    return list(_Budget().blocks(said.get("blocks"), depth=_DEPTH))


class _Budget:
    """Rebuilds blocks until there are enough."""

    def __init__(self) -> None:
        self._blocks, self._words, self._pictures = _BLOCKS, _WORDS, _PICTURES

    def blocks(self, said: object, *, depth: int) -> Iterator[Block]:
        for entry in said[:_BLOCKS] if isinstance(said, list) else ():
            if self._blocks <= 0 or self._words <= 0:
                return
            self._blocks -= 1
            if isinstance(entry, Mapping) and (block := self._block(entry, depth=depth)):
                yield block

    def _block(self, said: Mapping[str, Any], *, depth: int) -> Block | None:
        kind = said.get("kind")
        if not isinstance(kind, str):
            return None
        if kind in _SAID:
            return self._text(kind, said)
        if kind == "table":
            return self._table(said)
        if kind == "picture":
            return self._picture(said)
        if kind == "box":
            height = max(_LEAST_HEIGHT, _number(said.get("height"), _MOST_HEIGHT))
            return {"kind": "box", "height": height, "text": self._spend(said.get("text"), _CELL)}
        if kind in _HOLD and depth:
            held = list(self.blocks(said.get("blocks"), depth=depth - 1))[: _HOLD[kind]]
            return {"kind": kind, "blocks": held} if held else None
        return None

    def _text(self, kind: str, said: Mapping[str, Any]) -> Block | None:
        text = self._spend(said.get("text"), _SAID[kind])
        level = {"level": min(6, max(1, _number(said.get("level"), 6)))} if kind == "heading" else {}
        return {"kind": kind, **level, "text": text} if text or kind == "control" else None

    def _table(self, said: Mapping[str, Any]) -> Block | None:
        rows = said.get("rows")
        rows = [row[:_CELLS] for row in rows if isinstance(row, list)][:_ROWS] if isinstance(rows, list) else []
        kept = [[self._spend(cell, _CELL) for cell in row] for row in rows if row]
        return {"kind": "table", "rows": kept, "more": _number(said.get("more"), 10**9)} if kept else None

    def _picture(self, said: Mapping[str, Any]) -> Block | None:
        found = pictures.decode(said.get("mime"), said.get("data"), most=min(_PICTURE, self._pictures))
        # The size is read from the file: what would fill a browser's memory is left out, whatever it says of itself.
        width, height = pictures.dimensions(found[1]) if found else (0, 0)
        if found is None or not 0 < width <= _SIDE or not 0 < height <= _SIDE:
            return None
        self._pictures -= len(found[1])
        data = "".join(str(said["data"]).split())
        return {"kind": "picture", "mime": found[0], "data": data, "width": width, "height": height}

    def _spend(self, text: object, most: int) -> str:
        kept = clean_text(text[:most]) if isinstance(text, str) else ""
        self._words -= len(kept)
        return kept


def _number(value: object, most: int) -> int:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return int(value) if usable else 0  # type: ignore[call-overload]


class Outlines:
    """Keeps and gives back the outline of each version, in files under one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, app_id: str, version: str, blocks: list[Block]) -> None:
        """Keep the blocks in the place of an earlier outline; ``version`` is the hash of the version's content."""
        target = self._place(app_id, version)
        if target is None:
            return
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".pending-", delete=False) as file:
                try:
                    json.dump(blocks, file)
                    file.flush()
                    os.replace(file.name, target)
                except OSError:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            _log.warning("The outline of an app's page could not be kept: %s", error)

    def of(self, app_id: str, version: str) -> list[Block]:
        """Return what was kept; nothing when there is none."""
        target = self._place(app_id, version)
        with contextlib.suppress(OSError, ValueError):
            blocks: list[Block] = json.loads(target.read_text()) if target else []
            return blocks
        return []

    def forget(self, app_id: str) -> None:
        """Remove the outlines of all versions of the app; no-op when there are none."""
        if re.fullmatch(r"[a-z0-9]{1,20}", app_id):
            shutil.rmtree(self._root / app_id, ignore_errors=True)

    def _place(self, app_id: str, version: str) -> Path | None:
        named = re.fullmatch(r"[a-z0-9]{1,20}", app_id) and re.fullmatch(r"[0-9a-f]{64}", version)
        return self._root / app_id / f"{version}.json" if named else None
