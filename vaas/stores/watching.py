"""What happens in folders of this machine, as it happens: by the kernel's own notices, and only where they lie."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import threading
import time
from collections import defaultdict, deque
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
#: When more happens than the kernel can remember, and again within so many seconds, all is looked through after a
#: pause, which gets longer each time: who makes a noise must not keep us running around.
_SOON, _LONGEST_PAUSE = 60.0, 30.0


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
        pump = asyncio.create_task(watched.hear())
        try:
            await watched.is_there.wait()
            yield watched.told(pump)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            # What still runs in a thread must find the kernel's end open.
            await asyncio.to_thread(watched.end)


class _Watched:
    """The folders below the roots that the kernel watches for us, and what was touched and not told yet."""

    def __init__(self, inotify: Inotify, roots: Mapping[str, Path]) -> None:
        # Where a root itself is a link, whoever runs the site has made it.
        self._inotify, self._roots = inotify, {name: Path(os.path.realpath(root)) for name, root in roots.items()}
        #: By the kernel's number, and by where they are now: the kernel does not say when a folder gets another name.
        self._places: dict[int, tuple[str, str]] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        #: Of each folder the names of those in it that are watched.
        self._inner: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._touched: set[tuple[str, str]] = set()
        #: How coarse what was touched is told until it is: 0 as it is, 1 by the folder of the root, 2 by the root.
        self._coarse = 0
        self.is_there, self._something = asyncio.Event(), asyncio.Event()
        self._is_full = False
        #: Held while a thread changes what is watched.
        self._turn, self._is_over = threading.Lock(), False
        self._overflowed, self._pause = float("-inf"), 0.0

    def end(self) -> None:
        """Wait until no thread changes anything; none does any more. Runs in a thread."""
        self._is_over = True
        with self._turn:
            pass

    async def hear(self) -> None:
        """Watch all that is there, and put down what happens, until cancelled."""
        try:
            await asyncio.to_thread(self._add_all)
        finally:
            self.is_there.set()
        async for event in self._inotify:
            await self._heed(event)

    def _add_all(self) -> None:
        for name in self._roots:
            self._add(name, "")

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
            touched, self._touched, self._coarse = frozenset(self._touched), set(), 0
            yield touched

    async def _heed(self, event: Event) -> None:
        if Mask.Q_OVERFLOW in event.mask:
            await self._look_anew()
            return
        watch = event.watch
        place = self._places.get(watch.wd) if watch else None
        if watch is None or place is None:
            return
        if Mask.IGNORED in event.mask:
            self._drop(watch, place)
        elif event.name is not None:
            await self._heed_child(event.mask, place[0], f"{place[1]}/{event.name}".lstrip("/"))

    async def _look_anew(self) -> None:
        """Take all for touched: more happened than the kernel could remember."""
        is_soon = time.monotonic() - self._overflowed < _SOON
        self._pause = min(max(1.0, 2 * self._pause), _LONGEST_PAUSE) if is_soon else 0.0
        await asyncio.sleep(self._pause)
        await asyncio.to_thread(self._add_all)
        # Now: it may have taken long.
        self._overflowed = time.monotonic()
        for name in self._roots:
            self._put(name, "")

    async def _heed_child(self, mask: Mask, name: str, path: str) -> None:
        if path.rpartition("/")[2].startswith("."):
            return
        if Mask.ISDIR in mask:
            if mask & Mask.MOVED_FROM:
                await asyncio.to_thread(self._leave, name, path)
            elif mask & (Mask.CREATE | Mask.MOVED_TO):
                # Before it is looked at: what comes later is heard.
                await asyncio.to_thread(self._add, name, path)
        self._put(name, path)

    def _put(self, name: str, path: str) -> None:
        self._touched.add((name, _coarsened(path, self._coarse)))
        while len(self._touched) > _MOST and self._coarse < 2:
            self._coarse += 1
            self._touched = {(root, _coarsened(each, self._coarse)) for root, each in self._touched}
        self._something.set()

    def _add(self, name: str, top: str) -> None:
        """Watch a folder with all that are in it. Runs in a thread."""
        with self._turn:
            self._add_in_turn(name, top)

    def _add_in_turn(self, name: str, top: str) -> None:
        root, folders = self._roots[name], deque([top])
        while folders and not self._is_full and not self._is_over:
            path = folders.popleft()
            folder = root / path if path else root
            try:
                self._know(name, path, self._inotify.add_watch(folder, _HEARD | _HOW))
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
        """Watch nothing more of what was in that folder: it has another name, or lies elsewhere. Runs in a thread."""
        with self._turn:
            left = [top]
            while left and not self._is_over:
                path = left.pop()
                left += [f"{path}/{each}" for each in self._inner.get((name, path), ())]
                watch = self._forget(name, path)
                # It may be known under its new name already.
                if watch is not None and self._places.get(watch.wd) == (name, path):
                    del self._places[watch.wd]
                    with contextlib.suppress(OSError):  # a folder that is gone is watched no more
                        self._inotify.rm_watch(watch)

    def _know(self, name: str, path: str, watch: Watch) -> None:
        self._places[watch.wd], self._watches[name, path] = (name, path), watch
        above, _, last = path.rpartition("/")
        if path:
            self._inner[name, above].add(last)

    def _forget(self, name: str, path: str) -> Watch | None:
        above, _, last = path.rpartition("/")
        inner = self._inner.get((name, above), set())
        inner.discard(last)
        if not inner:
            self._inner.pop((name, above), None)
        return self._watches.pop((name, path), None)

    def _drop(self, watch: Watch, place: tuple[str, str]) -> None:
        self._is_full = False
        self._places.pop(watch.wd, None)
        if (known := self._watches.get(place)) and known.wd == watch.wd:
            self._forget(*place)


def _coarsened(path: str, coarse: int) -> str:
    return path if coarse == 0 else path.partition("/")[0] if coarse == 1 else ""
