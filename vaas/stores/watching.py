"""What happens in folders of this machine, as it happens: by the kernel's own notices, and only where they lie."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

__all__ = ["touched_below"]

_log = logging.getLogger("vaas")
#: Not when something is opened or read; and what a folder tells of its files, they tell themselves.
_EVENTS: list[type[FileSystemEvent]] = [DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileCreatedEvent]
_EVENTS += [FileDeletedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent]
#: What comes within so many seconds is one: a file is written piece by piece.
_TOGETHER = 0.5
#: More that is touched at once is as if the whole were.
_MOST = 2_000


@asynccontextmanager
async def touched_below(roots: Mapping[str, Path]) -> AsyncIterator[AsyncIterator[frozenset[tuple[str, str]]]]:
    """Yield what tells, again and again, what was touched: the root's name and a path below it.

    ``roots``: name → folder. No link is followed. Where the system can watch no more folders it says so in the log,
    and tells what it can.
    """
    loop, basket = asyncio.get_running_loop(), _Basket()
    observer = Observer()
    for name, root in roots.items():
        put = _putting(basket, name, root, loop)
        try:
            await asyncio.to_thread(observer.schedule, _Told(put), str(root), recursive=True, event_filter=_EVENTS)
        except OSError as error:
            _log.warning(
                "Changes in %s are found by the next sweep only: it cannot be watched (%s). "
                "The system's limit is in /proc/sys/fs/inotify/max_user_watches.",
                root,
                error.strerror or error,
            )
    await asyncio.to_thread(observer.start)
    try:
        yield basket.emptied()
    finally:
        observer.stop()
        await asyncio.to_thread(observer.join, 10.0)


class _Basket:
    """What was touched and not told yet."""

    def __init__(self) -> None:
        self._touched: set[tuple[str, str]] = set()
        self._something = asyncio.Event()

    def put(self, name: str, path: str) -> None:
        self._touched.add((name, path))
        if len(self._touched) > _MOST:
            self._touched = {(each, "") for each, _ in self._touched}
        self._something.set()

    async def emptied(self) -> AsyncIterator[frozenset[tuple[str, str]]]:
        while True:
            await self._something.wait()
            await asyncio.sleep(_TOGETHER)
            self._something.clear()
            touched, self._touched = frozenset(self._touched), set()
            yield touched


class _Told(FileSystemEventHandler):
    """Hears of each event, in the thread of the observer."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Put down where it was, and where it is now."""
        for path in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            if path:
                self._put(path)


def _putting(basket: _Basket, name: str, root: Path, loop: asyncio.AbstractEventLoop) -> Callable[[str], None]:
    def put(path: str) -> None:
        below = os.path.relpath(path, root)
        if not below.startswith(os.pardir):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(basket.put, name, "" if below == os.curdir else below)

    return put
