"""Something that looks into files for tests, and files of every format for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.portal_fixture import ROOT, app_python
from vaas.catalogs.looking import AppLooker
from vaas.insides.limits import Limits

__all__ = ["looking", "write_samples"]


@asynccontextmanager
async def looking(*, limits: Limits | None = None, sandbox: str = "") -> AsyncIterator[AppLooker]:
    """Return a looker that is closed afterwards; ``sandbox`` is what VAAS_SANDBOX says."""
    environ = {**os.environ, **({"VAAS_SANDBOX": sandbox} if sandbox else {})}
    # A busy machine is slow, and that is not what is tested.
    looker = AppLooker(app_python(), environ=environ, limits=limits or Limits(seconds=60, cpu=40))
    try:
        yield looker
    finally:
        await looker.close()


def write_samples(folder: Path) -> Path:
    """Write a file of each format into the folder, by the libraries of the app environment."""
    command = [str(app_python()), "-m", "tests.insides_samples", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return folder
