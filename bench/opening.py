"""How many visitors an app server takes in: this portal's, plain Voilà, Voilà with a pool of warm kernels, and Panel.

One side after the other in one run, each with the same app: "plots" (pandas, a plotly FigureWidget, ipyvuetify, and a
slider whose callback changes a label), and "table", the same with a table of 200 MB. An *opening* is the same for all:
the page's HTML has come completely, and what computes for this very visitor has answered over the websocket (see
bench/visiting.py). For each side:

- ``opens_per_s``: in a closed loop of ``--clients``, after a warm-up in which each has opened once, and while those who
  are in leave as a closing page does; ``open_s`` and ``interactive_s`` are the medians of one visitor alone, until the
  opening is done and until a move of the slider has changed the label;
- ``cpu_s_per_open``: computing time of all processes of the server during the loop, those that ended too, from a
  control group where there may be one (``cpu_from``; see bench/processes.py for elsewhere). ``client_cpu_s_per_open``
  is that of the visitors, who take it from the same processors, and ``others_cpu`` says how many processors anything
  else on this machine had meanwhile;
- ``burst10``, ``burst50``: so many come at the same moment: seconds until each is in;
- ``private_mb_per_visit`` and ``pss_mb_per_visit``: memory while ``--visits`` are open that have moved the slider.
  Private is what processes have alone that are new since the server was at rest, and by how much the others grew;
  proportional is the growth of the whole server, each shared page in parts. ``server_mb`` is the server at rest.

Keys: ``opens_per_s_ratio`` (to plain Voilà), ``opens_per_s_ratio_panel``, ``burst50_p95_s`` and ``burst50_p95_voila_s``
of "plots", ``private_mb_per_visit`` of "table". The table is on stderr, JSON is the last line of stdout.

    make bench BENCH=bench/opening.py
    .venvs/test/bin/python bench/opening.py --sides vaas,panel --apps plots
    .venvs/test/bin/python bench/opening.py --short
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import processes
from bench.apps import LAST_ROW, App, plots, table
from bench.processes import Counting
from bench.sides import PANEL, SIDES, Side
from bench.visiting import Door, Failed, Opened, move

#: The loop goes on until so many were in, but no longer than so many seconds.
_LEAST, _LONGEST = 40, 160.0
#: So many come at the same moment; fifty kernels with the table are more than a small machine has memory for.
_BURSTS = {"plots": (10, 50), "table": (10,)}
_COLUMNS = {
    "opens_per_s": "open/s",
    "cpu_s_per_open": "CPU s",
    "client_cpu_s_per_open": "client CPU s",
    "open_s": "open s",
    "interactive_s": "moved s",
    "burst10": "10 at once",
    "burst50": "50 at once",
    "private_mb_per_visit": "private MB",
    "pss_mb_per_visit": "PSS MB",
    "server_mb": "server MB",
    "failures": "failed",
}


@dataclass
class Tally:
    """What happened to visitors of one side."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    leaving: set[asyncio.Task[None]] = field(default_factory=set)

    async def comes(self, door: Door) -> Opened | None:
        """Open the app once; None where that failed."""
        began = time.perf_counter()
        try:
            opened = await door.open()
        except Failed as error:
            self.failures.append(str(error)[:300])
            return None
        self.seconds.append(time.perf_counter() - began)
        return opened

    def goes(self, opened: Opened | None) -> None:
        """Leave, without anybody who waits for it: a browser's farewell is a beacon."""
        if opened is not None:
            task = asyncio.ensure_future(self.noting(opened.leaves()))
            self.leaving.add(task)
            task.add_done_callback(self.leaving.discard)

    async def noting(self, work: Awaitable[object]) -> None:
        """Do it, and note a failure."""
        try:
            await work
        except Failed as error:
            self.failures.append(str(error)[:300])

    async def gone(self) -> None:
        """Wait until all that are leaving have left."""
        await asyncio.gather(*self.leaving)


async def sustained(door: Door, counting: Counting, *, clients: int, seconds: float, least: int) -> dict[str, Any]:
    """Let visitors come, one after the other for each of ``clients``."""
    tally, over = Tally(), asyncio.Event()
    warm = [asyncio.Event() for _ in range(clients)]

    async def come_and_go(first: asyncio.Event) -> None:
        while not over.is_set():
            tally.goes(await tally.comes(door))
            first.set()

    work = [asyncio.ensure_future(come_and_go(first)) for first in warm]
    await asyncio.gather(*(first.wait() for first in warm))
    skipped, failed = len(tally.seconds), len(tally.failures)
    clocks = (counting.cpu_seconds, time.process_time, processes.machine_seconds, time.perf_counter)
    before = [clock() for clock in clocks]
    began = before[-1]
    while time.perf_counter() < began + _LONGEST:
        await asyncio.sleep(0.05)
        if time.perf_counter() > began + seconds and len(tally.seconds) - skipped >= least:
            break
    cpu, client, machine, elapsed = (clock() - since for clock, since in zip(clocks, before, strict=True))
    count = len(tally.seconds) - skipped
    over.set()
    await asyncio.gather(*work)
    await tally.gone()
    return {
        "opens_per_s": count / elapsed,
        "cpu_s_per_open": cpu / max(1, count),
        "client_cpu_s_per_open": client / max(1, count),
        "processors": cpu / elapsed,
        "others_cpu": (machine - cpu - client) / elapsed,
        "loop": {"openings": count, "seconds": elapsed, "clients": clients, **_times(tally.seconds[skipped:])},
        "failures": len(tally.failures) - failed,
        "failed": tally.failures[failed:][:3],
    }


async def alone(door: Door, counting: Counting, *, times: int, rest: float) -> dict[str, float]:
    """Return the medians of one visitor who has the server alone."""
    opening, moving = [], []
    for number in range(times):
        await counting.settled(seconds=rest)
        began = time.perf_counter()
        opened = await door.open()
        opening.append(time.perf_counter() - began)
        await move(opened, row=number + 1)
        moving.append(time.perf_counter() - began)
        await opened.leaves()
    return {"open_s": statistics.median(opening), "interactive_s": statistics.median(moving)}


async def burst(door: Door, counting: Counting, *, visitors: int, rest: float) -> dict[str, Any]:
    """Let so many come at the same moment."""
    await counting.settled(seconds=rest)
    tally = Tally()
    opened = await asyncio.gather(*(tally.comes(door) for _ in range(visitors)))
    for each in opened:
        tally.goes(each)
    await tally.gone()
    failed = {"failures": len(tally.failures), "failed": tally.failures[:3]}
    return {"visitors": visitors, **_times(tally.seconds), **failed}


async def memory(door: Door, counting: Counting, *, visits: int, rest: float) -> dict[str, float]:
    """Return what each of so many visits takes, and the server without them."""
    await counting.settled(seconds=rest)
    before = processes.memory()
    opened = [await door.open() for _ in range(visits)]
    for number, each in enumerate(opened, start=1):
        await move(each, row=number % LAST_ROW)
    await counting.settled(seconds=rest)
    after = processes.memory()
    nothing = processes.Memory()
    private = sum(max(0.0, now.private - before.get(key, nothing).private) for key, now in after.items())
    at_rest, with_visits = (sum(each.proportional for each in found.values()) for found in (before, after))
    for each in opened:
        await each.leaves()
    return {
        "private_mb_per_visit": private / visits,
        "pss_mb_per_visit": (with_visits - at_rest) / visits,
        "server_mb": at_rest,
        "visits": visits,
    }


async def measure(side: Side, app: App, counting: Counting, *, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one side with one app."""
    rest = args.rest
    with tempfile.TemporaryDirectory(prefix="vaas-bench-") as folder:
        async with side(app, folder=Path(folder)) as door:
            await (await door.open()).leaves()  # nobody measures how long a server needs for its very first visitor
            found: dict[str, Any] = await memory(door, counting, visits=args.visits, rest=rest)
            if args.times:
                found |= await alone(door, counting, times=args.times, rest=rest)
            for visitors in _BURSTS[app.name][-1:] if args.short else _BURSTS[app.name]:
                found[f"burst{visitors}"] = await burst(door, counting, visitors=min(visitors, args.most), rest=rest)
            await counting.settled(seconds=rest)
            found |= await sustained(door, counting, clients=args.clients, seconds=args.seconds, least=args.least)
    processes.reap()
    return dict(_rounded(found))


async def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    apps = {"plots": plots(), "table": table(megabytes=args.megabytes)}
    began, found = time.monotonic(), {name: dict[str, Any]() for name in args.apps}
    with processes.counting() as counting:
        for name in args.apps:
            for side in ["vaas"] if args.short and name == "table" else args.sides:
                found[name][side] = await measure(SIDES[side], apps[name], counting, args=args)
                _say(name, side, found[name][side])
    facts = {"seconds": round(time.monotonic() - began), "cpu_from": counting.how, "short": args.short}
    print(json.dumps({"bench": "opening", **_headline(found), **facts, "apps": found}))


def _headline(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, float | None]:
    plain, big = found.get("plots", {}), found.get("table", {})

    def value(*path: str, of: Mapping[str, Any] = plain) -> float | None:
        inner: Any = of
        for name in path:
            inner = inner.get(name, {})
        return None if inner == {} else inner

    def ratio(other: str) -> float | None:
        ours, theirs = value("vaas", "opens_per_s"), value(other, "opens_per_s")
        return round(ours / theirs, 3) if ours and theirs else None

    return {
        "opens_per_s_ratio": ratio("voila"),
        "opens_per_s_ratio_panel": ratio("panel"),
        "burst50_p95_s": value("vaas", "burst50", "p95_s"),
        "burst50_p95_voila_s": value("voila", "burst50", "p95_s"),
        "private_mb_per_visit": value("vaas", "private_mb_per_visit", of=big),
    }


def _times(seconds: list[float]) -> dict[str, float | None]:
    if not seconds:
        return {"median_s": None, "p95_s": None}
    ordered = sorted(seconds)
    return {"median_s": statistics.median(ordered), "p95_s": ordered[math.ceil(0.95 * len(ordered)) - 1]}


def _rounded(found: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield name, dict(_rounded(value))
        else:
            yield name, round(value, 4) if isinstance(value, float) else value


def _say(app: str, side: str, found: Mapping[str, Any]) -> None:
    """Print one row of the table; its head before the first."""
    if not _say.__dict__.setdefault("begun", False):
        _say.__dict__["begun"] = True
        print(f"{'':24}" + "".join(f"{title:>13}" for title in _COLUMNS.values()), file=sys.stderr)
    cells = []
    for name in _COLUMNS:
        value = found.get(name, "")
        if isinstance(value, Mapping):
            value = "nobody" if value["p95_s"] is None else f"{value['median_s']:.1f} / {value['p95_s']:.1f}"
        cells.append(f"{value:>13.3f}" if isinstance(value, float) else f"{value:>13}")
    print(f"{app + ' ' + side:24}" + "".join(cells), file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--apps", type=_names, default=["plots", "table"], help="plots,table")
    parser.add_argument("--sides", type=_names, default=list(SIDES), help=",".join(SIDES))
    parser.add_argument("--seconds", type=float, default=40, help="how long visitors come and go, at least")
    parser.add_argument("--clients", type=int, default=8, help="how many come and go at the same time")
    parser.add_argument("--visits", type=int, default=10, help="how many are open while memory is measured")
    parser.add_argument("--times", type=int, default=5, help="how often one comes alone")
    parser.add_argument("--megabytes", type=int, default=200, help="the size of the table")
    parser.add_argument("--short", action="store_true", help="prove that it works, in less than a minute")
    args = parser.parse_args()
    args.least, args.most, args.rest = _LEAST, 50, 60.0
    if args.short:
        args.seconds, args.clients, args.visits, args.times, args.megabytes = 1.0, 2, 1, 0, 20
        args.least, args.most, args.rest = 2, 2, 1.0
        args.sides = [side for side in args.sides if side != "panel" or PANEL.exists()]
    elif "panel" in args.sides and not PANEL.exists():
        parser.error("There is no Panel here: make bench BENCH=bench/opening.py installs it; --sides can leave it out.")
    return args


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    asyncio.run(main())
