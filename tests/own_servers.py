"""People's own servers as small real ones: they are up when a test says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from vaas.backends.base import Lent, OwnServer, OwnServers
from vaas.errors import Forbidden, Unavailable
from vaas.launching import Environment, Facility, Offering, Size

__all__ = ["OFFERING", "Labs"]

#: A place for everybody, and one for a group, each with an environment of its own.
OFFERING = Offering(
    (
        Facility("here", "This machine", "local", ("apps", "deep"), ("small", "large"), stores=("home", "shared")),
        Facility(
            "cluster",
            "The cluster",
            "slurm",
            ("slurm-py",),
            ("large",),
            groups=("physics",),
            about={"profile": "waves"},
        ),
        Facility("nights", "Nights", "slurm", ("apps",), ("large",), interactive=False),
    ),
    (
        Environment("apps", "As in apps", "python", "/opt/apps/bin/python"),
        Environment(
            "deep", "Deep learning", "python", "/opt/deep/bin/python", state="broken", why="It is not mounted."
        ),
        Environment("slurm-py", "Python there", "python", "/cvmfs/python"),
    ),
    (Size("small", "Small", 1, 2_000_000_000), Size("large", "Large", 8, 16_000_000_000, 1, 7200)),
)
_USED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


class Labs(OwnServers):
    """Servers by person and name; ``down`` and ``refused`` say that the Hub does not answer, or does not allow it."""

    def __init__(self) -> None:
        self.servers: dict[tuple[str, str], OwnServer] = {}
        self.plans: list[tuple[str, str, str]] = []
        self.tokens: set[str] = set()
        self.down = self.refused = False

    def put(self, owner: str, name: str, phase: str, message: str = "", **more: float | datetime) -> None:
        """Let a server be so."""
        url = f"http://{owner}.vaas.localhost/user/{owner}/{name}/"
        server = OwnServer(phase, message=message, url=url, used=_USED)
        self.servers[owner, name] = replace(server, **more)  # type: ignore[arg-type]

    async def start(self, lent: Lent, name: str, *, title: str, plan: str) -> None:
        self._heard(lent)
        self.plans.append((name, title, plan))
        if (lent.user.name, name) not in self.servers or self._of(lent, name).phase in {"stopped", "failed"}:
            self.put(lent.user.name, name, "starting")

    async def state(self, lent: Lent, name: str) -> OwnServer:
        self._heard(lent)
        return self._of(lent, name)

    async def all(self, lent: Lent) -> Mapping[str, OwnServer]:
        self._heard(lent)
        mine = {name: server for (owner, name), server in self.servers.items() if owner == lent.user.name}
        # As the Hub: the list does not tell why one did not start.
        return {n: replace(s, phase="stopped", message="") if s.phase == "failed" else s for n, s in mine.items()}

    async def stop(self, lent: Lent, name: str) -> None:
        self._heard(lent)
        if (lent.user.name, name) in self.servers:
            self.put(lent.user.name, name, "stopped")

    async def remove(self, lent: Lent, name: str) -> None:
        self._heard(lent)
        self.servers.pop((lent.user.name, name), None)

    def _of(self, lent: Lent, name: str) -> OwnServer:
        return self.servers.get((lent.user.name, name), OwnServer())

    def _heard(self, lent: Lent) -> None:
        self.tokens.add(lent.token)
        if self.down:
            raise Unavailable("The Hub does not answer. Try again in a moment.")
        if self.refused:
            raise Forbidden("The portal may not do this with your servers.")
