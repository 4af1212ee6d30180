"""What happens in folders of this machine, as it happens: by the kernel's own notices, and only where they lie."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

__all__ = ["touched_below"]

_log = logging.getLogger("vaas")
#: Not when something is opened or read, and not each piece of a file that is still being written. No link is followed.
_HEARD = Mask.CREATE | Mask.CLOSE_WRITE | Mask.DELETE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.ATTRIB
_HOW = Mask.ONLYDIR | Mask.DONT_FOLLOW | Mask.EXCL_UNLINK
_NO_ROOM = frozenset({errno.ENOSPC, errno.ENOMEM})
#: What comes within so many seconds is one: files come in groups.
_TOGETHER = 0.4
#: More that is touched at once is as if all that is in the same folder of a root were, and then all of the root.
_MOST = 2_000
#: Where not all can be watched, all is told as touched again after so many seconds.
_UNSURE = 300.0


@asynccontextmanager
async def touched_below(roots: Mapping[str, Path]) -> AsyncIterator[AsyncIterator[frozenset[tuple[str, str]]]]:
    """Yield what tells, again and again, what was touched: the root's name and a path below it, "" for all of it.

    ``roots``: name → folder. Hidden folders are not watched. Where the system can watch no more folders it says so in
    the log, tells what it can, and now and then that all may be touched.
    """
    try:
        inotify = Inotify()
    except OSError as error:
        raise RuntimeError(f"Changes in folders cannot be heard: {error.strerror}.") from error
    with inotify:
        watched = _Watched(inotify, roots)
        await asyncio.to_thread(watched.add_all)
        pump = asyncio.create_task(watched.hear())
        try:
            yield watched.told(pump)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)


class _Watched:
    """The folders below the roots that the kernel watches for us, and what was touched and not told yet."""

    def __init__(self, inotify: Inotify, roots: Mapping[str, Path]) -> None:
        # Where a root itself is a link, whoever runs the site has made it.
        self._inotify, self._roots = inotify, {name: Path(os.path.realpath(root)) for name, root in roots.items()}
        #: By the kernel's number, and by where they are now: the kernel does not say when a folder gets another name.
        self._places: dict[int, tuple[str, str]] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._touched: set[tuple[str, str]] = set()
        self._something = asyncio.Event()
        self._is_full = False

    def add_all(self) -> None:
        """Watch all that is there. Runs in a thread."""
        for name in self._roots:
            self._add(name, "")

    async def hear(self) -> None:
        """Put down what happens, until cancelled."""
        async for event in self._inotify:
            await self._heed(event)

    async def told(self, pump: asyncio.Task[None]) -> AsyncIterator[frozenset[tuple[str, str]]]:
        """Yield what was touched since the last time; raises what ended the pump."""
        pump.add_done_callback(lambda _: self._something.set())
        while True:
            try:
                async with asyncio.timeout(_UNSURE):
                    await self._something.wait()
            except TimeoutError:
                if self._is_full:
                    yield frozenset((name, "") for name in self._roots)
                continue
            if pump.done():
                pump.result()
                return
            await asyncio.sleep(_TOGETHER)
            self._something.clear()
            touched, self._touched = frozenset(self._touched), set()
            yield touched

    async def _heed(self, event: Event) -> None:
        if Mask.Q_OVERFLOW in event.mask:
            # More happened than the kernel could remember.
            for name in self._roots:
                self._put(name, "")
            await asyncio.to_thread(self.add_all)
            return
        watch = event.watch
        place = self._places.get(watch.wd) if watch else None
        if watch is None or place is None:
            return
        if Mask.IGNORED in event.mask:
            self._drop(watch, place)
        elif event.name is not None:
            await self._heed_child(event.mask, place[0], f"{place[1]}/{event.name}".lstrip("/"))

    async def _heed_child(self, mask: Mask, name: str, path: str) -> None:
        if path.rpartition("/")[2].startswith("."):
            return
        if Mask.ISDIR in mask:
            if mask & Mask.MOVED_FROM:
                self._leave(name, path)
            elif mask & (Mask.CREATE | Mask.MOVED_TO):
                # Before it is looked at: what comes later is heard.
                await asyncio.to_thread(self._add, name, path)
        self._put(name, path)

    def _put(self, name: str, path: str) -> None:
        self._touched.add((name, path))
        if len(self._touched) > _MOST:
            self._touched = {(root, each.partition("/")[0]) for root, each in self._touched}
        if len(self._touched) > _MOST:
            self._touched = {(root, "") for root, _ in self._touched}
        self._something.set()

    def _add(self, name: str, top: str) -> None:
        """Watch a folder with all that are in it. Runs in a thread, of which there is one at a time."""
        root, folders = self._roots[name], deque([top])
        while folders and not self._is_full:
            path = folders.popleft()
            folder = root / path if path else root
            try:
                watch = self._inotify.add_watch(folder, _HEARD | _HOW)
                self._places[watch.wd], self._watches[name, path] = (name, path), watch
                with os.scandir(folder) as entries:
                    inner = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
            except OSError as error:
                self._explain(error, folder)
                continue
            folders.extend(f"{path}/{each}".lstrip("/") for each in inner if not each.startswith("."))

    def _explain(self, error: OSError, folder: Path) -> None:
        if error.errno in _NO_ROOM:
            self._is_full = True
            _log.warning(
                "No more than %d folders can be watched here; changes in the others are found after minutes. Raise "
                "fs.inotify.max_user_watches to hear of all. The first that is not watched is %s.",
                len(self._places),
                folder,
            )
        elif error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:  # gone meanwhile, or a link now
            _log.info("%s is not watched: %s", folder, error.strerror)

    def _leave(self, name: str, top: str) -> None:
        """Watch nothing any more that was in that folder: it has another name now, or lies elsewhere."""
        for place in [each for each in self._watches if each[0] == name and _is_in(each[1], top)]:
            watch = self._watches.pop(place)
            self._places.pop(watch.wd, None)
            with contextlib.suppress(OSError):  # a folder that is gone is watched no more
                self._inotify.rm_watch(watch)

    def _drop(self, watch: Watch, place: tuple[str, str]) -> None:
        self._is_full = False
        self._places.pop(watch.wd, None)
        if (known := self._watches.get(place)) and known.wd == watch.wd:
            del self._watches[place]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
