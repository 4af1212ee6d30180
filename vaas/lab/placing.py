"""Placing what belongs to a launch: the working copy, then its data, with a word to the portal about each step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from vaas.errors import StorageFull, Unavailable, VaasError
from vaas.housekeeping import OVERVIEW
from vaas.lab.becoming import SHARED_AT
from vaas.lab.cell import overview
from vaas.lab.kept import Kept
from vaas.lab.manifest import Manifest, Thing, read_manifest
from vaas.lab.portal import PortalClient
from vaas.lab.progress import Progress
from vaas.lab.staging import Staging, where_mounted
from vaas.lab.working import Copy, begin_notebook, explained, place_copy, whole

__all__ = ["Placing", "place_launch"]

_FETCHING = "Fetching the data."
#: So often a portal is asked that does not answer, with so many seconds between.
_TRIES, _PAUSE = 5, 2.0
#: So long (seconds) JupyterLab may take until it answers; where many start at once, the Hub's patience ends before.
_START = 600.0
#: So long (seconds) data are waited for before JupyterLab is opened; what takes longer comes while one works.
_DATA_FIRST = 60.0


class Placing:
    """One launch's placing, step by step."""

    def __init__(self, portal: PortalClient, *, home: Path, shared: Path | None) -> None:
        self._portal, self._home, self._shared = portal, home, shared
        self._progress = Progress(portal)
        self._manifest: Manifest | None = None
        self._copy: Copy | None = None
        self._fetched: list[tuple[Thing, Path]] = []
        self._staging: Staging | None = None
        self._kept: Kept | None = None
        #: How the fetching went, in words, and whether the file is written that says where everything is.
        self._went, self._written = "", False
        #: Where each thing is or will be, from the notebook's folder on.
        self._found: dict[str, str] = {}

    def copy(self) -> None:
        """Place the working copy, with what says where everything is. Raises VaasError."""
        self._manifest = manifest = self._read()
        self._progress.expect(manifest.things)
        self._progress.say(step="copying", message="Copying the notebook.")
        kept = Kept(self._home, manifest.id)
        self._copy = copy = place_copy(self._home, manifest, self._portal, kept=kept)
        self._staging = Staging(
            copy.path / "data", home=self._home, portal=self._portal, progress=self._progress, kept=kept
        )
        self._kept, self._found = kept, self._places(manifest, copy)
        if copy.new:
            with whole(copy):
                overview = self._overview() or Path(OVERVIEW)
                begin_notebook(copy, manifest, self._found, overview=overview.name)
        if manifest.things or copy.new:
            self._write_overview(coming=[thing.id for thing, _ in self._fetched if not kept.thing(thing.id)])
        where = {"folder": copy.folder, "notebook": copy.notebook}
        self._progress.say(step="starting", message="JupyterLab is starting.", **where)

    def ready(self) -> None:
        """Say that JupyterLab may be opened, and where."""
        assert self._copy is not None
        where = {"folder": self._copy.folder, "notebook": self._copy.notebook}
        for _ in range(_TRIES):
            message = self._went or (_FETCHING if self._fetched else self._words(0))
            if self._progress.say(state="ready", step="ready", message=message, **where):
                break
            time.sleep(_PAUSE)  # nothing else would say it

    def fetch(self) -> None:
        """Fetch what has to be fetched."""
        assert self._staging is not None
        if not self._fetched:
            return
        self._progress.say(step="fetching", message=_FETCHING)
        said = {thing.id: self._staging.stage(thing, path) for thing, path in self._fetched}
        failed = {id: why for id, why in said.items() if why}
        with contextlib.suppress(StorageFull, Unavailable):  # the portal says it all the same
            self._write_overview(failed)
        self._went = self._words(len(failed))
        self._progress.say(step="done", message=self._went)

    def _words(self, failed: int) -> str:
        """Say how it went, when so many could not be fetched that were asked for."""
        assert self._manifest is not None
        away = sum(bool(each.why) for each in self._manifest.things if each.id not in self._found)
        missing, whole = failed + away, len(self._fetched) + away
        return f"{missing} of {whole} could not be fetched." if missing else "Everything is there."

    def fail(self, why: str) -> None:
        """Say why there will be no launch."""
        self._progress.say(state="failed", message=why, error=why)

    def _read(self) -> Manifest:
        for _ in range(_TRIES):
            try:
                return read_manifest(self._portal.manifest())
            except Unavailable:
                time.sleep(_PAUSE)
        return read_manifest(self._portal.manifest())

    def _places(self, manifest: Manifest, copy: Copy) -> dict[str, str]:
        """Return where each thing is or will be, from the notebook's folder on."""
        assert self._staging is not None
        found = {}
        for thing in manifest.things:
            path = where_mounted(thing, home=self._home, shared=self._shared)
            if path is not None:
                self._progress.thing(thing.id, of=thing.size, state="mounted")
                path = self._linked(path)
            elif thing.name:
                path = self._staging.choose(thing)
                self._fetched.append((thing, path))
            if path is not None:
                inside = path.is_relative_to(self._home)
                found[thing.id] = os.path.relpath(path, (copy.path / copy.notebook).parent) if inside else str(path)
        return found

    def _linked(self, path: Path) -> Path:
        """Return the path by the link in the home, where it leads to the shared folders."""
        link = self._home / "Shared"
        if self._shared and path.is_relative_to(self._shared) and os.path.realpath(link) == str(self._shared.resolve()):
            return link / path.relative_to(self._shared)
        return path

    def _write_overview(self, failed: Mapping[str, str] = MappingProxyType({}), *, coming: Sequence[str] = ()) -> None:
        """Write it where nothing is, or where this launch has written it and nobody has changed it."""
        assert self._manifest is not None and self._copy is not None and self._kept is not None
        path = self._overview()
        if path is None:
            return
        at = f"{self._copy.folder}/{self._copy.notebook}".strip("/")
        there = [thing.id for thing, _ in self._fetched if thing.id not in failed and thing.id not in coming]
        sums = {id: self._kept.sha256(id) for id in there}
        text = overview(self._manifest, self._found, failed=failed, coming=coming, sums=sums, notebook=at)
        draft = path.with_name(f".{path.name}.tmp")
        with explained(f"“{path.name}”"):
            try:
                draft.write_text(text, encoding="utf-8")
                draft.replace(path)
                self._kept.note(overview=_digest(path), overview_name=path.name)
                self._written = True
            finally:
                draft.unlink(missing_ok=True)

    def _overview(self) -> Path | None:
        """Return where it is written: beside that of another launch under a name with a number; None for nowhere."""
        assert self._copy is not None and self._kept is not None
        noted, folder = self._kept.get("overview"), self._copy.path
        path = folder / (self._kept.get("overview_name") or OVERVIEW)
        if not os.path.lexists(path):
            return None if self._written else path  # taken away meanwhile
        if noted:  # "Data.md" by launches of before
            return path if noted in {OVERVIEW, _digest(path)} else None
        stem, dot, ending = OVERVIEW.partition(".")
        names = (f"{stem}-{number}{dot}{ending}" for number in range(2, 1000))
        return next((folder / name for name in names if not os.path.lexists(folder / name)), None)


def place_launch(environ: Mapping[str, str], *, runs: Callable[[], bool], ends: Callable[[], bool]) -> str:
    """Place everything for the launch whose variables these are; return why there can be no launch, or "".

    ``runs`` tells whether its JupyterLab does, ``ends`` whether somebody has stopped it, so that nothing is wrong.
    """
    portal = PortalClient(environ["VAAS_PORTAL_URL"], token=environ["JUPYTERHUB_API_TOKEN"])
    shared = Path(said) if (said := environ.get(SHARED_AT)) else None
    placing = Placing(portal, home=Path(environ["HOME"]), shared=shared)
    try:
        placing.copy()
        _wait(environ["JUPYTERHUB_SERVICE_URL"], runs)
        fetching = _Fetching(placing)
        fetching.join(_DATA_FIRST)
        if not fetching.is_alive():
            fetching.ended()
        placing.ready()
        fetching.ended()
    except (VaasError, OSError, ValueError) as error:
        if ends():
            return ""
        print(f"Placing failed: {error!r}", file=sys.stderr, flush=True)
        failed = error.message if isinstance(error, VaasError) else "The notebook could not be placed."
        placing.fail(failed)
        return failed
    return ""


class _Fetching(threading.Thread):
    """The data on their way, beside what else there is to do."""

    def __init__(self, placing: Placing) -> None:
        super().__init__(daemon=True)
        self._placing = placing
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Fetch them."""
        try:
            self._placing.fetch()
        except Exception as error:  # whoever waits for it hears of it
            self._error = error

    def ended(self) -> None:
        """Wait until all are there. Raises what went wrong."""
        self.join()
        if self._error is not None:
            raise self._error


def _digest(path: Path) -> str:
    """Return the file's SHA-256, "" for what cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _wait(url: str, runs: Callable[[], bool]) -> None:
    """Wait until JupyterLab listens. Raises Unavailable when it ends before, or takes too long."""
    parts, deadline = urlsplit(url), time.monotonic() + _START
    while runs() and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((parts.hostname or "", parts.port or 80), 1):
            return
        time.sleep(0.05)
    raise Unavailable("JupyterLab did not start. Try again, or choose another size or environment.")
