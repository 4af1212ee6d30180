"""Looking into files from the hub environment: the app environment reads them, in a process that is started here.

Nothing of it is believed: what comes back is rebuilt field by field (:mod:`vaas.insides.answers`), a process that does
not answer is ended, and the next file begins another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vaas.errors import Unavailable, Unreadable
from vaas.insides.answers import clean_inside, clean_preview, parse_answer
from vaas.insides.base import Inside, Looker
from vaas.insides.limits import Limits

__all__ = ["AppLooker"]

_log = logging.getLogger("vaas")
#: Seconds that the process may take to be there, and beyond a file's own to answer, for it may begin a
#: worker meanwhile; and that it may take to end.
_START, _MORE, _LAST = 60.0, 75.0, 10.0
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VAAS_SANDBOX", "VAAS_SANDBOX_PATHS")
#: JSON in JSON is longer, by what has to be escaped.
_LONGER = 7
#: What an exchange with a process that is broken, ended or hostile ends in.
_BROKEN = (TimeoutError, OSError, ValueError, RecursionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class AppLooker(Looker):
    """Looks into one file at a time.

    Parameters
    ----------
    python:
        The Python of the app environment.
    environ:
        The environment of the portal; what says whether there is to be a sandbox is taken from it (VAAS_SANDBOX).
    limits:
        What one file may take.
    """

    def __init__(self, python: Path, *, environ: Mapping[str, str], limits: Limits | None = None) -> None:
        self._python, self._limits = python, limits or Limits()
        self._environ = {name: environ[name] for name in _KEPT if name in environ}
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._count = 0
        self._asking: set[asyncio.Task[str]] = set()
        self._reading: asyncio.Task[str] | None = None
        #: Whether files are read in a sandbox, None while nothing was read, and why not.
        self.isolated: bool | None = None
        self.why = ""

    async def look(self, path: Path, *, name: str) -> Inside:
        """Return what the file tells of itself."""
        return clean_inside(parse_answer(await self._ask("look", path, name)))

    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        """Return what is shown of the file."""
        return clean_preview(parse_answer(await self._ask("preview", path, name)))

    async def close(self) -> None:
        """End the process."""
        for task in self._asking:
            task.cancel()
        async with self._turn:
            await self._end()

    async def _ask(self, verb: str, path: Path, name: str) -> str:
        # Who asked may go away. Before it is their turn they leave the line; after that the answer is taken all the
        # same, so that the next one gets their own.
        asked = {"verb": verb, "path": str(path), "name": name}
        asking = asyncio.create_task(self._ask_in_turn(asked))
        self._asking.add(asking)
        asking.add_done_callback(self._forget)
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if asking is not self._reading:
                asking.cancel()
            raise

    def _forget(self, asking: asyncio.Task[str]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()

    async def _ask_in_turn(self, asked: Mapping[str, str]) -> str:
        async with self._turn:
            self._count += 1
            self._reading = asyncio.current_task()
            try:
                process = await self._started()
                answer = await self._exchange(process, {"id": self._count, **asked})
            except _BROKEN as error:
                await self._end()
                raise Unreadable("Reading it ended what reads the files. It is left out.") from error
            except asyncio.CancelledError:
                await self._end()
                raise
        if isinstance(answer.get("unreadable"), str):
            return json.dumps({"unreadable": answer["unreadable"]})
        if "unavailable" in answer:
            _log.warning("Files cannot be looked into: %.500s", answer.get("why", ""))
            raise Unavailable("Files cannot be looked into at the moment.")
        return str(answer.get("said", ""))

    async def _exchange(self, process: asyncio.subprocess.Process, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        async with asyncio.timeout(self._limits.seconds + _MORE):
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            await process.stdin.drain()
            answer = json.loads(await process.stdout.readuntil(b"\n"))
        if not isinstance(answer, dict) or answer.get("id") != asked["id"]:
            raise ValueError("This answers another question.")
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._end()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._python), "-P", "-m", "vaas.insides", json.dumps(asdict(self._limits))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGER * self._limits.answer + (1 << 16),
                env=self._environ,
                cwd="/",
                start_new_session=True,
            )
            assert self._process.stdout is not None
            async with asyncio.timeout(_START):
                said = json.loads(await self._process.stdout.readuntil(b"\n"))
        except _BROKEN as error:
            await self._end()
            raise Unavailable(
                "Files cannot be looked into at the moment.", log_message=f"No reader: {error}"
            ) from error
        if "unavailable" in said:
            await self._end()
            raise Unavailable(str(said["unavailable"]), log_message=str(said.get("why", "")))
        self.isolated, self.why = said.get("isolated") is True, str(said.get("why", ""))
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # One that waits for a disk that is gone cannot be ended; nobody waits for it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                await process.wait()
