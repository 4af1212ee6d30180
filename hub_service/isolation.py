"""Whether kernels are kept apart from the machine that they run on: asked of the app environment and of app servers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping

from hub_service.settings import Settings
from vaas.errors import Invalid
from vaas.model import Isolation, ServerName

__all__ = ["KernelIsolation", "probe", "require", "sandbox_environ", "warning"]

_PATIENCE = 40.0
_MOST_NAMED = 5


class KernelIsolation:
    """What is known now: of this machine, where app servers run on it, and of every server that has said."""

    def __init__(self, settings: Settings, servers: Callable[[], Mapping[ServerName, Isolation]]) -> None:
        self._settings, self._servers = settings, servers
        #: What this machine was found to do; None where app servers run elsewhere, and until it is known.
        self.here: Isolation | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing is known to run without."""
        return not self.open_places

    @property
    def known(self) -> bool:
        """Whether anything is known at all."""
        return self.here is not None or bool(self._servers())

    @property
    def open_places(self) -> dict[str, str]:
        """Where kernels run without isolation, and why."""
        here = {"On this machine": self.here.why} if self.here and not self.here.isolated else {}
        found = ((f"{server.account}/{server.name}", told) for server, told in self._servers().items())
        return here | {place: told.why for place, told in found if not told.isolated}

    @property
    def text(self) -> str:
        """A sentence for everybody."""
        if not self.holds:
            return "Kernels are not isolated: apps are not kept apart from the machine that they run on."
        if not self.known:
            return "No app server has said yet whether kernels are isolated."
        return "Kernels are isolated: apps see nothing of the machine that they run on."

    @property
    def details(self) -> str:
        """The same with reasons, for admins."""
        places = [f"{place}: {why or 'no reason given.'}" for place, why in self.open_places.items()]
        more = [f"and {len(places) - _MOST_NAMED} more."] if len(places) > _MOST_NAMED else []
        return " ".join([self.text, *places[:_MOST_NAMED], *more])

    def look(self) -> bool:
        """Look at this machine, for up to a minute; return whether it is another answer than before."""
        before = self.here
        if self._settings.local_apps:
            self.here = probe(self._settings, os.environ)
        return self.here != before


def probe(settings: Settings, environ: Mapping[str, str], *, seconds: float = _PATIENCE) -> Isolation:
    """Ask the app environment whether kernels on this machine are isolated; anything unexpected means that not."""
    if settings.sandbox == "off":
        return Isolation(False, "VAAS_SANDBOX is “off”.")
    command = [str(settings.app_python), "-P", "-m", "vaas.runtime.sandbox"]
    env = {"PATH": environ.get("PATH", os.defpath), **sandbox_environ(settings, environ)}
    try:
        answer = subprocess.run(
            command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return Isolation(False, f"Looking for a sandbox took more than {seconds:.0f} seconds.")
    except OSError as error:
        return Isolation(False, f"The app environment cannot be started: {error.strerror}.")
    try:
        said = json.loads(answer.stdout)
        isolated, why = said["isolated"], said["why"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Isolation(False, "The app environment does not say whether it has a sandbox.")
    if answer.returncode != 0 or isolated is not True or not isinstance(why, str):
        return Isolation(False, why if isinstance(why, str) and why else "The app environment has no sandbox.")
    return Isolation(True)


def require(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise Invalid when the site wants nothing to run without isolation and this machine has none."""
    if settings.sandbox == "required" and not (found := probe(settings, environ)).isolated:
        raise Invalid(
            f"VAAS_SANDBOX=required, and kernels would not be isolated here. {found.why} Or set VAAS_SANDBOX=auto."
        )


def sandbox_environ(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say how app servers isolate their kernels."""
    more = {name: value for name, value in environ.items() if name.startswith("VAAS_SANDBOX_")}
    return more | {"VAAS_SANDBOX": settings.sandbox}


def warning(found: Isolation) -> str:
    """Say what it means that kernels are not isolated, and what to do; "" when they are."""
    if found.isolated:
        return ""
    why = f"{found.why.rstrip('.')}. " if found.why else ""  # programs end their words without a stop
    told = "apt install" in found.why or "VAAS_SANDBOX" in found.why
    cure = "" if told else "It takes Linux with bubblewrap (apt install bubblewrap). "
    return (
        f"Kernels are not isolated: apps are not kept apart from this machine. {why}{cure}"
        "Let only people publish whom you trust."
    )
