"""Whether app servers hold out: visitors come and go on several apps for half an hour, while processes are killed.

One of the apps cannot be forked; the kernels that are kept ready for it have to go as well.

Each of ``--visitors`` opens an app, moves its slider a few times (and sees their own values, or it is a failure), and
goes: with the farewell of a page that closes, without a word, or to load the page once more. Every ``--kill-every``
seconds a random process below a random app server gets SIGKILL: a kernel, a template, a helper. The app servers
themselves are spared; the portal, which would start them again, is not here.

- ``openings`` and ``failures``: an opening that fails while its app lost a process is tried once more, as the page
  does, and counted in ``retried``; all others that fail are failures, and so is what breaks off without a kill.
  ``cut`` are visits that had begun and broke off after a kill in their app, ``killed`` says for each kind of process
  how many were killed and what broke off at most after one of them;
- ``leaked_processes``: more than before the visitors came, once all have left and after the servers' patience (5 s
  here), and what is left when the servers have ended. ``leaked_files`` counts the same for their temporary folders,
  ``leaked_fds`` for the files that they have open;
- ``rss_mb_per_hour``: the trend of the app servers' own memory, after a quarter of the time. ``rest_mb`` is the
  proportional memory of everything, at rest before and after.

``failures`` and ``leaked_processes`` have to be 0. JSON is the last line.

    make bench BENCH=bench/soak.py
    .venvs/test/bin/python bench/soak.py --minutes 5
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import processes
from bench.apps import LAST_ROW, App, kept, plots, simple, table
from bench.processes import Counting
from bench.sides import app_server
from bench.visiting import Failed, JupyterPage, PortalDoor, Wrong, move
from tests.service.portal_stub import AppProcess

_LIMITS = {"heartbeat": 1.0, "lost_after": 5.0, "connect_within": 5.0, "ahead": 1}
#: How long it may take until all is as before when everybody has left, in seconds.
_CLEANED = 60.0
_SAMPLE = 5.0
_SAY = 60.0
#: How visitors leave: with the farewell, without a word, by loading the page again.
_WAYS_OUT = ("farewell", "silent", "reload")
_CHANCES = (7, 2, 1)


@dataclass(frozen=True)
class Held:
    """What an app server holds at one moment."""

    processes: int
    files: int
    fds: int


@dataclass
class Kill:
    """A process that was killed, and how many openings and visits broke off after it."""

    kind: str
    at: float
    broke: int = 0


class Unexcused(Failed):
    """An opening failed that had no reason to."""


@dataclass
class Place:
    """One app, and when something in it was killed."""

    name: str
    door: PortalDoor
    server: AppProcess
    folder: Path
    kills: list[Kill] = field(default_factory=list)

    def blame(self, *, since: float) -> bool:
        """Put something that broke off down to the last kill here; False where there was none since then."""
        if not self.kills or self.kills[-1].at < since:
            return False
        self.kills[-1].broke += 1
        return True

    def held(self) -> Held:
        """Count what it holds now."""
        pid = self.server.process.pid
        running = [process for process in processes.below(pid) if process.state != "Z"]
        return Held(len(running), _files(self.folder), len(os.listdir(f"/proc/{pid}/fd")))


@dataclass
class Soak:
    """The visitors, who kills, and what came of it."""

    places: list[Place]
    random: random.Random
    until: float
    counted: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    #: Seconds and MB of the app servers themselves.
    samples: list[tuple[float, float]] = field(default_factory=list)

    async def visitor(self) -> None:
        """Come and go until the time is over."""
        while time.monotonic() < self.until:
            place = self.random.choice(self.places)
            began = time.monotonic()
            try:
                await self._visit(place)
            except Failed as error:
                self._note(place, error, began=began)
            await asyncio.sleep(self.random.uniform(0.1, 2))

    async def killer(self, every: float) -> None:
        """Kill something now and then."""
        while time.monotonic() < self.until - every:
            await asyncio.sleep(every)
            place = self.random.choice(self.places)
            victims = [process for process in processes.below(place.server.process.pid) if process.state != "Z"]
            if victims:
                victim = self.random.choice(victims)
                kill = Kill(_kind(victim.command), time.monotonic())
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(victim.pid, signal.SIGKILL)
                    place.kills.append(kill)

    async def watcher(self) -> None:
        """Sample memory, and say how it goes."""
        said = time.monotonic()
        while time.monotonic() < self.until:
            self.samples.append((time.monotonic(), sum(_rss_mb(place.server.process.pid) for place in self.places)))
            if time.monotonic() - said > _SAY:
                said = time.monotonic()
                left = (self.until - said) / 60
                print(f"{left:.0f} min left: {dict(self.counted)}, killed {self.killed()}", file=sys.stderr)
            await asyncio.sleep(_SAMPLE)

    async def _visit(self, place: Place) -> None:
        cookie = await place.door.enter()
        opened = await self._open(place, cookie)
        way_out = self.random.choices(_WAYS_OUT, _CHANCES)[0]
        try:
            await self._play(opened)
            if way_out == "reload":
                await opened.leaves()
                opened = await self._open(place, cookie)
                await self._play(opened)
            if way_out != "silent":
                await opened.leaves()
        finally:
            await opened.hangs_up()

    async def _open(self, place: Place, cookie: str) -> JupyterPage:
        began = time.monotonic()
        self.counted["openings"] += 1
        try:
            return await place.door.load(cookie)
        except Failed as error:
            if not place.blame(since=began):
                raise Unexcused(str(error)) from error
            self.counted["retried"] += 1
        began = time.monotonic()
        try:
            return await place.door.load(cookie)
        except Failed as error:
            if not place.blame(since=began):
                raise Unexcused(f"Once more: {error}") from error
            raise

    async def _play(self, opened: JupyterPage) -> None:
        for row in self.random.sample(range(1, LAST_ROW), self.random.randrange(4)):
            await asyncio.sleep(self.random.uniform(0.1, 2))
            await move(opened, row=row)
            self.counted["moves"] += 1

    def killed(self) -> dict[str, dict[str, int]]:
        """Return for each kind of process how many were killed, and what broke off after one of them at most."""
        kinds: dict[str, dict[str, int]] = {}
        for kill in (kill for place in self.places for kill in place.kills):
            kind = kinds.setdefault(kill.kind, {"times": 0, "broke_at_most": 0})
            kind["times"] += 1
            kind["broke_at_most"] = max(kind["broke_at_most"], kill.broke)
        return kinds

    def _note(self, place: Place, error: Failed, *, began: float) -> None:
        if not isinstance(error, Wrong | Unexcused) and place.blame(since=began):
            self.counted["cut"] += 1
            return
        self.counted["failures"] += 1
        self.told.append(f"{place.name}: {error}"[:300])
        print(self.told[-1], file=sys.stderr)


async def main() -> None:
    """Soak, and print JSON."""
    args = _arguments()
    apps = [simple(), kept(), table(megabytes=args.megabytes), *([] if args.short else [plots()])]
    with processes.counting() as counting, tempfile.TemporaryDirectory(prefix="vaas-soak-") as folder:
        async with AsyncExitStack() as stack:
            places = [await _start(stack, app, Path(folder) / app.name) for app in apps]
            found = await soak(places, counting, args=args)
        left = [process for process in processes.below() if process.state != "Z"]
        files = sum(_files(place.folder) for place in places)
    found["left_after_the_end"] = {"processes": [_kind(each.command) for each in left], "files": files}
    found["leaked_processes"] += len(left)
    found["leaked_files"] += files
    print(json.dumps(found))


async def _start(stack: AsyncExitStack, app: App, folder: Path) -> Place:
    folder.mkdir()
    door, server = await stack.enter_async_context(app_server(app, folder=folder, limits=_LIMITS))
    # What is there once and for all is there after the first visits.
    for _ in range(2):
        opened = await door.open()
        await move(opened, row=1)
        await opened.leaves()
    return Place(app.name, door, server, folder)


async def soak(places: list[Place], counting: Counting, *, args: argparse.Namespace) -> dict[str, Any]:
    """Let visitors come for the time that was asked for, and count."""
    await counting.settled()
    before, at_rest = [place.held() for place in places], _pss_mb()
    began = time.monotonic()
    work = Soak(places, random.Random(args.seed), began + 60 * args.minutes)
    await asyncio.gather(work.killer(args.kill_every), work.watcher(), *(work.visitor() for _ in range(args.visitors)))
    elapsed = time.monotonic() - began
    after = await _cleaned(places, before, counting)
    leaks = {name: _excess(before, after, name) for name in ("processes", "files", "fds")}
    counts = {name: work.counted[name] for name in ("openings", "failures", "retried", "cut", "moves")}
    return {
        "bench": "soak",
        "minutes": round(elapsed / 60, 2),
        **counts,
        **{f"leaked_{name}": count for name, count in leaks.items()},
        "rss_mb_per_hour": round(_trend(work.samples, since=began + elapsed / 4), 2),
        "rest_mb": [round(at_rest), round(_pss_mb())],
        "killed": work.killed(),
        "told": work.told[:10],
    }


async def _cleaned(places: list[Place], before: list[Held], counting: Counting) -> list[Held]:
    """Wait until everything is as before, but not for ever; return how it is."""
    deadline = time.monotonic() + _CLEANED
    while True:
        after = [place.held() for place in places]
        if not _excess(before, after, "processes") and not _excess(before, after, "files"):
            await counting.settled()
            return [place.held() for place in places]
        if time.monotonic() > deadline:
            return after
        await asyncio.sleep(1)


def _excess(before: list[Held], after: list[Held], name: str) -> int:
    pairs = zip(before, after, strict=True)
    return sum(max(0, getattr(later, name) - getattr(earlier, name)) for earlier, later in pairs)


def _trend(samples: list[tuple[float, float]], *, since: float) -> float:
    """Return the slope of the samples in MB an hour."""
    later = [sample for sample in samples if sample[0] >= since]
    if len(later) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*later, strict=True)).slope * 3600


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def _pss_mb() -> float:
    return sum(each.proportional for each in processes.memory().values())


def _files(folder: Path) -> int:
    """Count all files but the server's log."""
    return sum(not name.endswith(".log") for _, _, names in os.walk(folder) for name in names)


def _kind(command: str) -> str:
    """Name a process by what it runs, without what differs each time."""
    words = command.split()
    modules = [word for before, word in zip(words, words[1:], strict=False) if before == "-m"]
    return modules[0] if modules else os.path.basename(words[0]) if words else "?"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--visitors", type=int, default=6, help="how many are there at the same time")
    parser.add_argument("--kill-every", type=float, default=15, help="seconds from one kill to the next")
    parser.add_argument("--megabytes", type=int, default=200, help="the size of one app's table")
    parser.add_argument("--seed", type=int, default=1, help="of who goes where, and who is killed")
    parser.add_argument("--short", action="store_true", help="prove that it works, in less than a minute")
    args = parser.parse_args()
    if args.short:
        args.minutes, args.visitors, args.kill_every, args.megabytes = 0.3, 2, 3.0, 20
    return args


if __name__ == "__main__":
    asyncio.run(main())
