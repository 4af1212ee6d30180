"""Asking the launch environment which parameters a notebook has: a process of its own, with little time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaas.errors import Invalid, Unavailable

__all__ = ["Inspector"]

_SECONDS = 30.0
_MOST = 2_000_000
#: So many at once.
_AT_ONCE = 2


class Inspector:
    """Inspects notebooks with the Python of the launch environment."""

    def __init__(self, python: Path, *, environ: Mapping[str, str] | None = None, seconds: float = _SECONDS) -> None:
        self._python, self._environ, self._seconds = python, dict(environ or {}), seconds
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, data: bytes) -> list[Mapping[str, Any]]:
        """Return what :mod:`vaas.lab.inspect` says of each. Raises Invalid for no notebook, and what takes too long."""
        async with self._room:
            said = await self._asked(data)
        if "error" in said:
            raise Invalid(str(said["error"])[:500])
        found = said.get("parameters")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    async def _asked(self, data: bytes) -> Mapping[str, Any]:
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(self._python), "-P", "-m", "vaas.lab.inspect"),
                env=self._environ,
                cwd="/",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                "Notebooks cannot be read for this at the moment. Tell the people who run this portal.",
                log_message=f"The launch environment cannot be started: {error}",
            ) from error
        try:
            async with asyncio.timeout(self._seconds):
                text, _ = await process.communicate(data)
        except TimeoutError as error:
            raise Invalid("Its parameters take too long to be read. Write them one a line.") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            said = json.loads(text[:_MOST])
        except ValueError as error:
            raise Invalid("Its parameters cannot be read. Write them one a line.") from error
        return said if isinstance(said, dict) else {}
