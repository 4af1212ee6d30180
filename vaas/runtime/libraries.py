"""What a page needs of Voilà's scripts and of the widget libraries, in a few bundles instead of a hundred files.

Voilà's front end and each library are built in many small files, which a page asks for as it comes upon them, and
Voilà loads all libraries that are installed. Here, what every page needs is sent in one piece, a library in another
one, and only where a page has widgets of it; `static/libraries.js` puts them in place and loads the others when a
widget asks for them. Nothing is built anew: a file of a bundle is what is installed, and what no bundle has is still
found under its own address.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["BASE", "Bundle", "Libraries", "Library"]

#: The name of the bundle that starts every page.
BASE = "base"
#: What it builds upon is in so many others: a browser reads several scripts at the same time, each in a thread.
_CORES = 3
#: Without these there are no widgets at all.
_ESSENTIAL = ("@jupyter-widgets/", "@voila-dashboards/")
#: The libraries as Voilà sees them: one extension, which `libraries.js` defines, and a script that does nothing.
_ALL = {"name": "vaas", "load": "static/entry.js", "extension": "./extension", "mimeExtension": "./mimeExtension"}
_STYLE = {"style": "./style"}
_MODULES = ("extension", "mimeExtension", "style")
#: How the bundlers' output names the files (chunks) that something needs.
_CHUNK = r"\w+\.e\((\d+)\)"
_CHUNKS = rf"(?:Promise\.all\(\[(?:{_CHUNK},?)+\]\)|{_CHUNK})"
_ENTRY = re.compile(rf"({_CHUNKS})\.then\(\w+\.bind\(\w+,\d+\)\)")
_SHARED = re.compile(rf"(\d+):\(\)=>\w+\(\"default\",\"([^\"]+)\"[^()]*\(\(\)=>({_CHUNKS})\.then")
_OFFERED = re.compile(rf"\"([^\"]+)\",\"[^\"]+\",\(\(\)=>({_CHUNKS})\.then")
_CONSUMES = re.compile(r"(\d+):\[(\d+(?:,\d+)*)\]")
#: A library within a library's script, wrapped by its own bundler so that it works everywhere, as plotly is.
_WRAPPED = re.compile(
    r"(\{\d+:)(\w)=>\{(var (\w);self,)\4=function\(\)\{return function\(\)\{"
    r"(.*)\}\(\)\},\2\.exports=\4\(\)\}\}\]\);",
    re.DOTALL,
)
_BRACKETED = r"\1(function(\2){\3\4=(function(){return(function(){\5})()}),\2.exports=\4()})}]);"
#: The beginning of a script that others extend, which has to stay outside of any function.
_GLOBAL = "var _JUPYTERLAB;"


@dataclass(frozen=True)
class Bundle:
    """Some scripts to be sent as one."""

    name: str
    parts: tuple[tuple[str, Path], ...]

    @cached_property
    def digest(self) -> str:
        """What changes when one of the files does."""
        found = sha256(_BRACKETED.encode())
        for before, path in self.parts:
            status = path.stat()
            found.update(f"{before}:{path.name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
        return found.hexdigest()[:12]

    def text(self) -> bytes:
        """Return the script. Each file is a function of its own, so that none is strict because another one is."""
        pieces = [_GLOBAL]
        for before, path in self.parts:
            script = _to_be_read_once(path.read_text(encoding="utf-8").removeprefix(_GLOBAL))
            # One that fails is not to take the others with it.
            runs = f"{before}(function () {{{script}\n}}).call(globalThis);"
            pieces.append(f"try {{{runs}}} catch (error) {{console.error(error);}}")
        return "\n".join(pieces).encode()


def _to_be_read_once(script: str) -> str:
    """Put functions that are called at once into brackets, by which browsers know to compile them where they stand.

    The others they skim, and read again when they are called: plotly, three deep, four times.
    """
    return _WRAPPED.sub(_BRACKETED, script)


@dataclass(frozen=True)
class Library:
    """An installed extension of JupyterLab, as Voilà's page configuration tells of it."""

    told: Mapping[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """Its name, which may have a scope: ``@scope/name``."""
        return str(self.told["name"])

    @property
    def entry(self) -> Path:
        """The script that knows its other scripts."""
        return self.folder / str(self.told["load"])

    @cached_property
    def chunks(self) -> dict[str, Path]:
        """Its other scripts, by the numbers that the bundler gave them."""
        scripts = sorted(self.entry.parent.rglob("*.js"))
        found = {path.name.split(".")[0]: path for path in scripts if path != self.entry and path.name != "style.js"}
        return {number: path for number, path in found.items() if number.isdigit()}

    @cached_property
    def is_lazy(self) -> bool:
        """Whether it registers widgets, so that a page without any of them need not load it."""
        if self.name.startswith(_ESSENTIAL) or "extension" not in self.told:
            return False
        return any(b"registerWidget(" in path.read_bytes() for path in self.chunks.values())

    def needed(self) -> list[Path]:
        """Return the scripts that are loaded with any page."""
        if self.name.startswith(_ESSENTIAL[0]):
            return list(self.chunks.values())
        text = self.entry.read_text(encoding="utf-8")
        wanted = [name for name in _MODULES if name in self.told and not (name == "extension" and self.is_lazy)]
        found: list[Path] = []
        for name in wanted:
            module = re.escape(json.dumps(self.told[name]))
            match = re.search(rf"{module}:\(\)=>({_CHUNKS})", text)
            numbers = re.findall(_CHUNK, match[1]) if match else []
            found += [self.chunks[number] for number in numbers if number in self.chunks]
        return found


class Libraries:
    """All that the pages of one server may load, in bundles.

    Parameters
    ----------
    extensions:
        What Voilà's page configuration says of the installed extensions.
    roots:
        The folders that they may be in; the first that has one counts.
    static:
        The folder of Voilà's own scripts.
    ours:
        The folder of our template's files.
    """

    def __init__(
        self, extensions: Iterable[Mapping[str, Any]], *, roots: Sequence[str], static: Path, ours: Path
    ) -> None:
        found = [(told, _find(str(told["name"]), str(told["load"]), roots=roots)) for told in extensions]
        self._all = [Library(told, folder) for told, folder in found if folder is not None]
        self._main = static / "voila.js"
        self._ours = ours
        self.stamp = _stamp(self._all)

    @cached_property
    def bundles(self) -> dict[str, Bundle]:
        """All bundles by name."""
        bundles = [*self._cores(), self._base(), *(self._bundle(library) for library in self._all if library.is_lazy)]
        return {bundle.name: bundle for bundle in bundles}

    def extensions(self) -> list[dict[str, Any]]:
        """Return what Voilà is to be told of the extensions."""
        styled = any("style" in library.told for library in self._all)
        return [_ALL | (_STYLE if styled else {})]

    def facts(self, *, base_url: str) -> dict[str, Any]:
        """Return what `libraries.js` needs to know."""
        return {
            "folder": f"{base_url}voila/labextensions/v-{self.stamp}/",
            "scripts": [self.address(name, base_url=base_url) for name in self._every_page()],
            "libraries": [
                {name: library.told[name] for name in ("name", "load", *_MODULES) if name in library.told}
                | ({"bundle": self.address(library.name, base_url=base_url)} if library.is_lazy else {})
                for library in self._all
            ],
        }

    def address(self, name: str, *, base_url: str) -> str:
        """Return where a bundle is."""
        return f"{base_url}voila/bundles/v-{self.bundles[name].digest}/{name}.js"

    def used(self, modules: Iterable[str]) -> list[str]:
        """Return the libraries that widgets of these modules need, each with those that it builds upon."""
        lazy = {library.name: library for library in self._all if library.is_lazy}
        found: list[str] = []
        waiting = [name for name in modules if name in lazy]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.append(name)
                text = lazy[name].entry.read_text(encoding="utf-8")
                waiting += [other for other in lazy if other != name and f'"default","{other}"' in text]
        return sorted(found)

    def _base(self) -> Bundle:
        parts = [("", self._ours / "libraries.js")]
        for library in self._all:
            place = json.dumps(f"{library.name}/{library.told['load']}")
            parts.append((f"vaasLibraries.enter({place});", library.entry))
        return Bundle(BASE, (*parts, ("vaasLibraries.leave();", self._main)))

    def _cores(self) -> list[Bundle]:
        """What Voilà and the essential extensions consist of, in pieces of about one size."""
        needed = [path for library in self._all for path in library.needed()]
        found = {path: path.stat().st_size for path in [*_closure(self._main), *needed]}
        pieces: list[list[Path]] = [[] for _ in range(_CORES)]
        for path in sorted(found, key=lambda path: (-found[path], path)):
            min(pieces, key=lambda piece: sum(found[each] for each in piece)).append(path)
        return [Bundle(f"core-{n}", tuple(("", path) for path in piece)) for n, piece in enumerate(pieces, 1)]

    def _every_page(self) -> list[str]:
        """Return the bundles that every page loads, in the order in which they run."""
        return [*(f"core-{n}" for n in range(1, _CORES + 1)), BASE]

    def _bundle(self, library: Library) -> Bundle:
        already = set(library.needed())
        return Bundle(library.name, tuple(("", path) for path in library.chunks.values() if path not in already))


def _find(name: str, load: str, *, roots: Sequence[str]) -> Path | None:
    """Return the folder of a library; what it calls itself may be a stranger's, and leads nowhere else."""
    folders = ((root, os.path.normpath(f"{root}/{name}")) for root in roots)
    within = (folder for root, folder in folders if folder.startswith(os.path.normpath(root) + os.sep))
    scripts = ((folder, os.path.normpath(f"{folder}/{load}")) for folder in within)
    found = (folder for folder, script in scripts if script.startswith(folder + os.sep) and os.path.isfile(script))
    return next(map(Path, found), None)


def _closure(main: Path) -> list[Path]:
    """Return the files that Voilà's script will ask for before the page is there.

    It is read from the bundler's tables in the script. Where they look different some day, nothing is found, and the
    browser asks for one file after the other.
    """
    script = main.read_text(encoding="utf-8")
    entry = _ENTRY.search(script)
    if entry is None:
        return []
    offered = {found[1]: found[2] for found in _OFFERED.finditer(script)}
    shared = {found[1]: re.findall(_CHUNK, found[3] + offered.get(found[2], "")) for found in _SHARED.finditer(script)}
    consumes = {found[1]: found[2].split(",") for found in _CONSUMES.finditer(script)}
    waiting, seen = re.findall(_CHUNK, entry[1]), set()
    while waiting:
        chunk = waiting.pop()
        if chunk not in seen:
            seen.add(chunk)
            waiting += [needed for module in consumes.get(chunk, ()) for needed in shared.get(module, ())]
    files = (main.parent / f"{chunk}.voila.js" for chunk in sorted(seen, key=int))
    return [path for path in files if path.is_file()]


def _stamp(libraries: Iterable[Library]) -> str:
    """Return what changes when a file of a library does."""
    digest = sha256()
    for library in libraries:
        for path in sorted(library.folder.rglob("*")):
            status = path.stat()
            digest.update(f"{library.name}/{path.name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]
