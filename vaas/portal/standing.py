"""How a launch is doing: what was noted of it, what the Hub says of its server, and what both mean in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from vaas.backends.base import OwnServer
from vaas.launching import Launch
from vaas.portal.ends import ENDS, UNTOLD, End

__all__ = ["ALIVE", "COPYING", "INTERRUPTED", "ON_THE_WAY", "Standing", "asked_to_stop", "settled", "standing"]

#: The states in which there is a server, or there will be one in a moment.
ALIVE = frozenset({"asked", "queued", "starting", "placing", "ready"})
#: Those of them in which one still waits for it.
ON_THE_WAY = ALIVE - {"ready"}
#: So long the Hub may not know of what was just asked for, or still run what was just stopped.
_GRACE = timedelta(seconds=30)
#: So long nothing may be heard of a launch that is putting into place what is to be there when it is opened.
_PLACING = timedelta(minutes=2)
#: So long nothing may be heard of what is copied and made before the Hub is asked: who does it says so all the time.
_PREPARING = timedelta(minutes=1)
#: state → of the whole way to JupyterLab, what is behind, and how much of it this state is.
_WAY = {"asked": (2, 3), "queued": (5, 10), "starting": (15, 45), "placing": (60, 35), "ready": (100, 0)}
_WORDS = {
    "asked": "The server is asked for.",
    "queued": "It waits in the queue of the batch system.",
    "starting": "The server is being started.",
    "placing": "Your notebook is put into place.",
    "ready": "JupyterLab is ready.",
    "stopping": "It is being stopped.",
    "failed": "It did not start.",
}
#: The states of a thing of the data that is there.
_THERE = frozenset({"done", "mounted"})
#: What one waits for while what belongs to a result is copied, though it is no state of the launch's.
COPYING = "copying"
INTERRUPTED = "The portal was restarted while this was prepared. Nothing of it was kept. Try again: it begins anew."
_VANISHED = (
    "It ended before JupyterLab was ready, and nobody can tell why. Perhaps it waited while the Hub began anew. "
    "Start it again."
)


@dataclass(frozen=True)
class Standing:
    """How a launch is doing at this moment.

    Parameters
    ----------
    phase:
        One of vaas.launching.LAUNCH_STATES, or "stopping".
    percent, message:
        How far it is, and in words.
    url:
        Where JupyterLab is, with the notebook open; "" while it does not run.
    used:
        When something was last done in it.
    starts_in:
        The batch system's estimate in seconds, None where there is none.
    serves:
        Whether the Hub has a server of it, whatever the launch says of itself.
    """

    launch: Launch
    phase: str
    percent: int = 0
    message: str = ""
    url: str = ""
    used: datetime | None = None
    starts_in: float | None = None
    serves: bool = False

    @property
    def alive(self) -> bool:
        """Whether there is a server, or there will be one in a moment."""
        return self.phase in ALIVE

    @property
    def copies(self) -> bool:
        """Whether what belongs to a result is copied before it starts, or was."""
        return bool(self.launch.progress.keys() & {COPYING, "copied"})

    @property
    def step(self) -> str:
        """What it is at: its phase, or what is done before its server is asked for."""
        return COPYING if self.phase == "asked" and COPYING in self.launch.progress else self.phase

    @property
    def memory(self) -> int:
        """Bytes of memory that it uses, as it said last; 0 where that is not known."""
        use = self.launch.progress.get("use")
        memory = use.get("memory") if self.phase == "ready" and isinstance(use, Mapping) else 0
        return memory if isinstance(memory, int) and memory > 0 else 0

    @property
    def end(self) -> End | None:
        """Why it does not run any more; None for one that runs, starts or never did."""
        return ENDS.get(str(self.launch.progress.get("ended")), UNTOLD) if self.phase == "stopped" else None

    @property
    def notice(self) -> str:
        """What went wrong while it ran, in words."""
        return str(self.launch.progress.get("notice") or "") if self.phase == "ready" else ""

    @property
    def staged(self) -> tuple[int, int]:
        """How many things of the data lie there, and how many there are to be."""
        states = self._states
        return sum(state in _THERE for state in states), len(states)

    @property
    def missed(self) -> int:
        """How many things of the data could not be fetched."""
        return self._states.count("failed")

    @property
    def _states(self) -> list[object]:
        things = self.launch.progress.get("things")
        return [each.get("state") for each in things.values()] if isinstance(things, Mapping) else []


def settled(launch: Launch, server: OwnServer, *, now: datetime) -> Launch:
    """Return the launch in the state in which it is by what the Hub says of its server."""
    preparing = launch.state == "asked" and bool(launch.progress.get("preparing"))
    fresh = now - launch.changed < (_PREPARING if preparing else _GRACE)
    if server.phase in {"ready", "queued", "starting"}:
        if launch.state == "stopped" and fresh:  # the Hub is still about to stop it
            return launch
        if server.phase == "ready" and _still_copies(launch) and now - launch.changed < _PLACING:
            return launch
        return _running(launch, server.phase)
    if server.phase == "stopping" or launch.state not in ALIVE or (launch.state == "asked" and fresh):
        if server.phase == "failed" and launch.state == "asked":
            return _failed(launch, server.message)
        return launch
    if preparing:
        return _failed(launch, INTERRUPTED)
    if launch.error or server.phase == "failed":
        return _failed(launch, launch.error or server.message)
    return replace(launch, state="stopped") if launch.state == "ready" else _failed(launch, _VANISHED)


def asked_to_stop(launch: Launch) -> Launch:
    """Return the launch as its person has stopped it; the same when it does not run."""
    if launch.state not in ALIVE:
        return launch
    return replace(launch, state="stopped", progress={**launch.progress, "ended": "asked"})


def standing(launch: Launch, server: OwnServer) -> Standing:
    """Return how the launch is doing, which is settled by this server already."""
    runs = server.phase in {"ready", "queued", "starting"}
    phase = "stopping" if server.phase == "stopping" or (runs and launch.state == "stopped") else launch.state
    begins, part = _WAY.get(phase, (0, 0))
    percent = begins + part * _done(launch.progress if phase == "placing" else {"percent": server.progress}) // 100
    if phase in ALIVE and "copied" in launch.progress:  # it took the first half
        percent = 50 + percent // 2
    elif phase == "asked" and COPYING in launch.progress:
        percent = _done({"percent": launch.progress[COPYING]}) // 2
    url = f"{server.url}lab{_opened(launch)}" if phase == "ready" and server.url else ""
    return Standing(launch, phase, percent, _message(launch, phase, server), url, server.used, server.starts_in, runs)


def _running(launch: Launch, phase: str) -> Launch:
    if launch.state == "failed" and launch.error and phase == "ready":
        return launch  # it said itself that it cannot go on
    if phase != "ready" and launch.state in {"placing", "ready"}:  # what is in it knows better than the Hub
        return replace(launch, state="placing")  # but nobody gets there before the Hub leads there
    if launch.state == phase:
        return launch
    said = {name: value for name, value in launch.progress.items() if name != "ended"}
    return replace(launch, state=phase, error="", progress=said)


def _still_copies(launch: Launch) -> bool:
    """Tell whether the notebook or its data are not there yet, though JupyterLab may be."""
    return launch.state == "placing" and launch.progress.get("step") in {"copying", "starting", "fetching"}


def _failed(launch: Launch, why: str) -> Launch:
    return replace(launch, state="failed", error=why[:2000])


def _message(launch: Launch, phase: str, server: OwnServer) -> str:
    said = str(launch.progress.get("message") or "")
    end = ENDS.get(str(launch.progress.get("ended")), UNTOLD).why
    own = {
        "stopped": end,
        "asked": said,
        "failed": launch.error,
        "placing": said,
        "queued": server.message,
        "starting": server.message,
    }
    return own.get(phase) or _WORDS.get(phase, "")


def _done(progress: Mapping[str, Any]) -> int:
    percent = progress.get("percent")
    return max(0, min(100, int(percent))) if isinstance(percent, int | float) else 0


def _opened(launch: Launch) -> str:
    path = "/".join(filter(None, (launch.folder, launch.notebook)))
    return f"/tree/{quote(path)}" if path else ""
