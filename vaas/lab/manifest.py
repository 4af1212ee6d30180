"""What is to be placed for a launch, as the portal says it; no path in it leads out of the home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from vaas.errors import Invalid
from vaas.model import File

__all__ = ["Manifest", "Thing", "read_manifest", "safe_name", "safe_path"]

#: A name on a disk has 255 bytes at most; ours leave room for a number.
_LONGEST = 200


@dataclass(frozen=True)
class Thing:
    """One thing of the basket.

    Parameters
    ----------
    name:
        What its file or folder is called; "" for what is not fetched, and is only told of.
    whole:
        Whether it is fetched in one go, as a parcel: a folder, or what lies at another site.
    why:
        Why it is not fetched, where it could be; "" for what is no file anyway.
    mounted:
        Where it lies already: "home" or "shared", and the path in there; None: it is fetched.
    written:
        How a table that is a text is written, as :func:`vaas.loading.written` has it.
    uri, code:
        Where it is, and the lines that load it, for what is not fetched.
    """

    id: str
    title: str
    name: str
    whole: bool = False
    why: str = ""
    size: int = 0
    checksum: str = ""
    etag: str = ""
    mounted: tuple[str, str] | None = None
    written: Mapping[str, Any] = field(default_factory=dict)
    uri: str = ""
    code: str = ""


@dataclass(frozen=True)
class Manifest:
    """What is placed: files into a folder of the home, things beside them.

    Parameters
    ----------
    folder:
        Where; without files, the folder in which the notebook lies already.
    notebook:
        Which file is opened; "": there is none, and one is begun.
    given:
        What travels along from a running app.
    modules:
        What can be imported in the environment, of all that reads data; None: nobody knows.
    publish:
        What the address of the page that publishes a file of the home begins with; "": none does.
    """

    id: str
    title: str
    folder: str
    notebook: str
    files: tuple[File, ...] = ()
    things: tuple[Thing, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] | None = None
    portal: str = ""
    publish: str = ""

    @property
    def language(self) -> str:
        """That of the environment's kernel."""
        return str(self.environment.get("language") or "python")

    @property
    def in_place(self) -> bool:
        """Whether the notebook lies in the home already."""
        return bool(self.notebook) and not self.files


def read_manifest(said: Mapping[str, Any]) -> Manifest:
    """Return the manifest. Raises Invalid for one that cannot be used, and for paths that lead elsewhere."""
    try:
        files = tuple(File(safe_path(f["path"]), str(f["sha256"]), int(f["size"])) for f in said["files"])
        things = tuple(_thing(each) for each in said["things"])
        words: dict[str, Any] = {name: str(said.get(name) or "") for name in ("id", "title", "portal", "publish")}
        folder, notebook = safe_path(said["folder"], root=True), safe_path(said["notebook"], root=True)
        given, environment = dict(said.get("given") or {}), dict(said.get("environment") or {})
        there = said.get("modules")
        modules = frozenset(map(str, there)) if there is not None else None
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid("What the portal says of this launch cannot be understood.") from error
    made = Manifest(**words, folder=folder, notebook=notebook, files=files, things=things)
    return replace(made, given=given, environment=environment, modules=modules)


def safe_path(path: object, *, root: bool = False) -> str:
    """Return a relative path that stays where it begins; "" alone where the ``root`` itself may be meant.

    Raises Invalid.
    """
    text = str(path)
    parts = PurePosixPath(text).parts
    odd = any(part in {"/", "..", "."} or part.startswith("\0") for part in parts)
    if odd or "\\" in text or any(ord(c) < 32 for c in text) or not (parts or (root and not text)):
        raise Invalid("What is to be placed has a name that leads elsewhere.", log_message=f"path {text!r}")
    return "/".join(parts)


def safe_name(name: str) -> str:
    """Return a name for a file of that name: the last part of a path, without what no name can have; never ""."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if ord(c) >= 32 and not "\ud800" <= c <= "\udfff").strip().lstrip(".")
    stem, dot, ending = kept.rpartition(".")
    short = kept.encode()[:_LONGEST].decode(errors="ignore") if len(kept.encode()) > _LONGEST else kept
    if short != kept and dot and len(ending) < 20:
        short = stem.encode()[: _LONGEST - 20].decode(errors="ignore") + dot + ending
    return short or "file"


def _thing(said: Mapping[str, Any]) -> Thing:
    where = said.get("mounted")
    mounted = (str(where["store"]), safe_path(where["path"])) if where else None
    words = {name: str(said.get(name) or "") for name in ("id", "title", "checksum", "etag", "uri", "code", "why")}
    name = safe_name(str(said["name"])) if said.get("name") else ""
    written = dict(said.get("written") or {})
    size, whole = int(said.get("size") or 0), said.get("whole") is True
    return Thing(**words, name=name, whole=whole, size=size, mounted=mounted, written=written)
