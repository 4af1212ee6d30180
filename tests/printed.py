"""What a command that runs in a thread beside the test has printed."""

from __future__ import annotations

import asyncio

import pytest

__all__ = ["until_said"]


async def until_said(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """Wait until that was printed, and return all that was."""
    said = ""
    async with asyncio.timeout(30):
        while words not in said:
            await asyncio.sleep(0.02)
            said += capsys.readouterr().out
    return said
