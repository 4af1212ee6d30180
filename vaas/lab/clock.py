"""How long a launch may last: as its size says, and no longer than the job of Slurm that it is."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Mapping

from vaas.launching import Size

__all__ = ["seconds_left"]

#: A batch system ends by force what lasts until its end, so a launch ends so many seconds before.
_AHEAD = 15.0
#: So long (seconds) Slurm may take to say how long the job lasts; the launch waits for it.
_PATIENCE = 5.0
#: What squeue writes: days, hours and minutes only where there are any.
_LEFT = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)")


def seconds_left(size: Size, environ: Mapping[str, str], *, now: float) -> float:
    """Return how long a launch that begins now may last: as its size says, or until its job ends; inf for ever."""
    left, ends = float(size.seconds) or math.inf, environ.get("SLURM_JOB_END_TIME", "")
    if ends.isdecimal():
        return min(left, max(0.0, int(ends) - now - _AHEAD))
    # Before 23.02 Slurm sets no such variable. A size with a time has asked for that much; another gets what its
    # partition gives by default.
    number = environ.get("SLURM_JOB_ID", "")
    return left if size.seconds or not number.isdecimal() else max(0.0, _asked(number, environ) - _AHEAD)


def _asked(number: str, environ: Mapping[str, str]) -> float:
    """Return what Slurm says is left of the job's time; inf where it has no end, or Slurm does not say."""
    command = ["squeue", "--noheader", f"--jobs={number}", "--format=%L"]
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"Slurm does not say how long this job lasts: {error}", file=sys.stderr, flush=True)
        return math.inf
    found = _LEFT.fullmatch(done.stdout.strip())
    if found is None:  # UNLIMITED, NOT_SET, INVALID
        return math.inf
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
