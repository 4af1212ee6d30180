"""Which of a folder's files a piece of source is about: those that it mentions, and the modules that it imports."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
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


class FileIndex:
    """The files of a folder, by the ways in which source names them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {normpath(name): name for name in names}
        self._by_basename: dict[str, set[str]] = defaultdict(set)
        self._by_folder: dict[str, set[str]] = defaultdict(set)
        for path in self._names:
            self._by_basename[basename(path)].add(path)
            folder = dirname(path)
            while folder and folder not in {"/", ".."}:
                self._by_folder[folder].add(path)
                folder = dirname(folder)

    def mentioned(self, source: Source) -> set[str]:
        """Return the files that ``source`` names, those of the folders that it reads, and its local modules."""
        found: set[str] = set()
        for text in source.strings:
            for word in {text.strip(), *_WORD.findall(text[:_MAX_STRING])}:
                found |= self._called(word)
        for text in source.folders:
            found |= self._by_folder.get(normpath(text) if text else "", set())
        for module in source.imports | source.optional:
            found |= self._modules(module, source.strings)
        for path in list(found):
            stem, ending = splitext(path)
            found |= {stem + other for other in _TOGETHER.get(ending.lower(), ())} & self._names.keys()
        return {self._names[path] for path in found}

    def _called(self, word: str) -> set[str]:
        if not word or len(word) > 1_000 or "\n" in word or "://" in word:
            return set()
        path = normpath(unquote(word.replace("\\", "/")))
        if "*" in path:
            return {name for name in self._names if "." in path.strip("*./") and fnmatchcase(name, path)}
        if path in self._names:
            return {path}
        if path.startswith("/") or "." not in basename(path):
            return set()
        # What is put together from parts is known by its end.
        return {name for name in self._by_basename.get(basename(path), ()) if f"/{name}".endswith(f"/{path}")}

    def _modules(self, module: str, strings: Iterable[str]) -> set[str]:
        found = {path for path in self._by_folder.get(module, ()) if path.endswith((".py", ".pyi"))}
        places = {"", *(normpath(text) for text in strings if text and len(text) < 200)}
        for path in self._by_basename.get(f"{module}.py", ()):
            if dirname(path) in places:
                found.add(path)
        return found
