"""A mark for tests of the sandbox: it needs Linux and bubblewrap."""

from __future__ import annotations

import shutil
import sys

import pytest

__all__ = ["NEEDS_SANDBOX"]

NEEDS_SANDBOX = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("bwrap") is None,
    reason="bubblewrap is not here: kernels are not isolated on this system, and the portal says so",
)
