"""Which of a folder's files a piece of source is about: those that it mentions, and the modules that it imports."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Set
from fnmatch import fnmatchcase
from posixpath import basename, dirname, normpath, splitext
from urllib.parse import unquote

from vaas.source import Source

__all__ = ["FileIndex"]

_WORD = re.compile(r"[^\s\"'<>()\[\]{},;|=]+")
#: Files that are one data set only together.
_TOGETHER = {".shp": (".shx", ".dbf", ".prj", ".cpg"), ".hdr": (".img", ".dat")}
#: A longer string is a document; its first part tells enough.
_MAX_STRING = 100_000
#: More than a person writes: so many strings of one source, different words, and matches of patterns are tried.
_MAX_STRINGS = 10_000
_MAX_WORDS = 100_000
_MAX_MATCHES = 500_000


class FileIndex:
    """The files of a folder, by the ways in which source names them.

    What it tries has a limit for all its sources together; words after that name nothing.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {normpath(name): name for name in names}
        self._by_end: dict[str, set[str]] = defaultdict(set)
        self._by_folder: dict[str, set[str]] = defaultdict(set)
        for path in self._names:
            parts = path.split("/")
            for i in range(len(parts)):
                self._by_end["/".join(parts[i:])].add(path)
            folder = dirname(path)
            while folder and folder not in {"/", ".."}:
                self._by_folder[folder].add(path)
                folder = dirname(folder)
        self._words: dict[str, set[str]] = {}
        self._matches_left = _MAX_MATCHES

    def mentioned(self, source: Source) -> set[str]:
        """Return the files that ``source`` names, those of the folders that it reads, and its local modules."""
        found: set[str] = set()
        strings = source.strings[:_MAX_STRINGS]
        for text in strings:
            for word in dict.fromkeys((text.strip(), *_WORD.findall(text[:_MAX_STRING]))):
                found |= self._meant(word)
        for text in source.folders:
            found |= self._by_folder.get(normpath(text) if text else "", set())
        places = {"", *(normpath(text) for text in strings if text and len(text) < 200)}
        for module in source.imports | source.optional:
            found |= self._modules(module, places)
        for path in list(found):
            stem, ending = splitext(path)
            found |= {stem + other for other in _TOGETHER.get(ending.lower(), ())} & self._names.keys()
        return {self._names[path] for path in found}

    def _meant(self, word: str) -> set[str]:
        """Return the files that the word names, tried once."""
        if word not in self._words:
            if len(self._words) >= _MAX_WORDS:
                return set()
            self._words[word] = self._called(word)
        return self._words[word]

    def _called(self, word: str) -> set[str]:
        if not word or len(word) > 1_000 or "\n" in word or "://" in word:
            return set()
        path = normpath(unquote(word.replace("\\", "/")))
        if "*" in path:
            return self._matching(path) if "." in path.strip("*./") else set()
        if path in self._names:
            return {path}
        if path.startswith("/") or "." not in basename(path):
            return set()
        # What is put together from parts is known by its end.
        return self._by_end.get(path, set())

    def _matching(self, pattern: str) -> set[str]:
        if self._matches_left <= 0:
            return set()
        self._matches_left -= len(self._names)
        return {name for name in self._names if fnmatchcase(name, pattern)}

    def _modules(self, module: str, places: Set[str]) -> set[str]:
        found = {path for path in self._by_folder.get(module, ()) if path.endswith((".py", ".pyi"))}
        return found | {path for path in self._by_end.get(f"{module}.py", ()) if dirname(path) in places}
