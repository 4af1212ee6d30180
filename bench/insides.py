"""How many files are looked into in a second: small CSVs, one after the other, each by a process of its own.

Beside it, by turns in the same run, the plain way to the same isolation: a new sandbox with a new Python for each file.
``ratio_new_sandbox`` = how many times as many files; ``worker_mb`` is what the waiting worker has of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.insides import looking
from vaas.catalogs.looking import AppLooker

ROWS = 50


def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    print(json.dumps({"bench": "insides", "files": args.files, **asyncio.run(_measure(args.files, args.rounds))}))


async def _measure(count: int, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [_written(Path(folder) / f"{number}.csv", number) for number in range(count)]
        async with looking() as looker:
            await looker.look(paths[0], name=paths[0].name)
            warm, cold = [], []
            for _ in range(rounds):
                cold.append(await _anew(paths[0]))
                began = time.perf_counter()
                for path in paths:
                    inside = await looker.look(path, name=path.name)
                    assert inside.details["rows"] == ROWS
                warm.append(count / (time.perf_counter() - began))
            memory = _memory(looker)
    rate = statistics.median(warm)
    return {
        "files_per_s": round(rate, 1),
        "ratio_new_sandbox": round(rate * statistics.median(cold), 1),
        "first_s": round(statistics.median(cold), 3),
        "worker_mb": round(memory / 1e6, 1),
    }


def _written(path: Path, number: int) -> Path:
    rows = (f"2020-01-{day % 28 + 1:02},{number % 90},{day},{number * day}\n" for day in range(ROWS))
    path.write_text("time,lat,lon,value\n" + "".join(rows))
    return path


async def _anew(path: Path) -> float:
    """Return the seconds that one file takes with everything made for it alone."""
    began = time.perf_counter()
    async with looking() as looker:
        await looker.look(path, name=path.name)
    return time.perf_counter() - began


def _memory(looker: AppLooker) -> int:
    assert looker._process is not None
    first = psutil.Process(looker._process.pid)
    return sum(each.memory_full_info().uss for each in (first, *first.children(recursive=True)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="prove that it works, in some seconds")
    args = parser.parse_args()
    if args.short:
        args.files, args.rounds = 20, 1
    return args


if __name__ == "__main__":
    main()
