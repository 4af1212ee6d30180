"""What a reader is handed: a file that is open, or a few files of a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import PurePosixPath

from vaas.errors import Unreadable

__all__ = ["Handed", "Part"]

#: What is looked at to find out what a file is.
_HEAD = 4096


@dataclass(frozen=True)
class Part:
    """One open file and its name: in a folder its path there."""

    name: str
    file: BufferedReader

    @cached_property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self.file.fileno()).st_size

    @cached_property
    def head(self) -> bytes:
        """Its first bytes."""
        return self.start(_HEAD)

    def start(self, length: int) -> bytes:
        """Return its first ``length`` bytes, or what there is."""
        self.file.seek(0)
        return self.file.read(length)

    def whole(self, *, most: int) -> bytes:
        """Return all of it. Raises Unreadable when it is longer than ``most`` bytes."""
        if self.size > most:
            raise Unreadable(f"It is larger than {most // 1_000_000 or 1} MB, the most that is read of such files.")
        return self.start(most)


@dataclass(frozen=True)
class Handed:
    """A file (one part) or a folder (those of its files that tell of it), and the name it has in its store."""

    name: str
    parts: tuple[Part, ...]
    folder: bool = False

    @property
    def part(self) -> Part:
        """The file, where it is one."""
        return self.parts[0]

    @cached_property
    def suffix(self) -> str:
        """What its name ends with, in small letters, without the dot."""
        return PurePosixPath(self.name.lower()).suffix.lstrip(".")

    @cached_property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return PurePosixPath(self.name).stem

    def named(self, name: str) -> Part | None:
        """Return the folder's file of that path, None when it was not handed over."""
        return next((part for part in self.parts if part.name == name), None)
