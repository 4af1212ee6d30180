"""``python -m vaas.insides``: takes paths as JSON lines, opens them for a locked-in worker, passes on what it says.

One line is asked, ``{"id", "verb", "path", "name"}``, and one answered, ``{"id", "said"}`` with what the worker
said as text, or ``{"id", "unreadable"}`` or ``{"id", "unavailable"}`` with a reason. It ends when nobody asks any more.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from vaas.errors import Unavailable, Unreadable
from vaas.insides.limits import Limits
from vaas.insides.opening import opened
from vaas.insides.workers import Worker

__all__ = ["main"]

_MOST_NAME = 4_000


def main() -> int:
    """Answer until standard input ends."""
    limits = Limits(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else Limits()
    try:
        worker = Worker(limits, os.environ)
    except Unavailable as error:
        print(json.dumps({"id": 0, "unavailable": error.message, "why": error.log_message}), flush=True)
        return 1
    print(json.dumps({"id": 0, "isolated": worker.isolation.sandbox, "why": worker.isolation.why}), flush=True)
    try:
        for line in sys.stdin.buffer:
            print(json.dumps(_answer(worker, json.loads(line))), flush=True)
    finally:
        worker.close()
    return 0


def _answer(worker: Worker, asked: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": asked["id"]}
    try:
        with opened(Path(asked["path"])) as found:
            said = worker.ask(asked["verb"], found, name=asked["name"][-_MOST_NAME:])
        return answer | {"said": said.decode(errors="replace")}
    except Unreadable as error:
        return answer | {"unreadable": error.message}
    except Unavailable as error:
        return answer | {"unavailable": error.message, "why": error.log_message}


if __name__ == "__main__":
    sys.exit(main())
