"""What is in the environments that the site names: looked at in processes of their own, kept, and renewed by age.

The portal's own process never touches where an environment lies: a mount that hangs there would hang the portal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hub_service.probe import ANSWER
from vaas.catalogs import foreign
from vaas.errors import Unavailable
from vaas.launching import Environment, Offering
from vaas.portal import Core
from vaas.slug import slugify

__all__ = ["Probe", "Probing", "assembled", "rebuilt"]

_log = logging.getLogger("vaas")
_SCRIPT = Path(__file__).with_name("probe.py")
#: So many of the file's are looked at beside each other, and each answer may take so many seconds.
_AT_ONCE, _SECONDS = 6, 30.0
#: So many of a pattern's in a row may say nothing until its others are not asked.
_GIVEN_UP = 2
#: After how many seconds it is looked at again: what can be used, and what cannot.
_GOOD, _BAD = 900.0, 60.0
#: Seconds that a process may take to end.
_LAST = 2.0
_MOST_PACKAGES, _MOST_MODULES, _NAME = 5_000, 20_000, 100
#: Raised when another answer is wanted of what was looked at already.
_FORMAT = 1
_AWAY = "It does not answer: the place where it lies may be away."
_WHY: Mapping[str, str] = {
    "no spec": "Its kernel is not there.",
    "odd spec": "The description of its kernel cannot be read.",
    "no program": "The program that it begins with is not there.",
    "no start": "The program that it begins with cannot be started.",
    "no answer": "Its Python does not say what is in it.",
    "no sandbox": "It is looked at in a sandbox alone, and there is none here.",
    "no kernel": "It has no ipykernel, without which no notebook runs in it.",
}


class Probe:
    """Asks one question at a time of each environment, in a new process.

    Parameters
    ----------
    seconds:
        How long an answer may take.
    sandbox:
        "auto", "required" or "off": whether an environment's own code runs in one.
    hidden:
        Folders that it sees nothing of, but for itself.
    """

    def __init__(self, *, seconds: float = _SECONDS, sandbox: str = "auto", hidden: Sequence[Path] = ()) -> None:
        self._seconds, self._more = seconds, {"sandbox": sandbox, "hidden": [str(each) for each in hidden]}
        #: What could not be ended: it sits in the system, on a mount that does not answer.
        self._stuck: dict[str, asyncio.subprocess.Process] = {}

    async def ask(self, name: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer. Raises Unavailable when none comes, or the process of before still hangs."""
        if name in self._stuck:
            if self._stuck[name].returncode is None:
                raise Unavailable(_AWAY, log_message=f"{name}: process {self._stuck[name].pid} still hangs")
            del self._stuck[name]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_SCRIPT)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # None of what the portal knows: an environment's own code runs below it.
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
            limit=ANSWER,
        )
        try:
            async with asyncio.timeout(self._seconds):
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps({**question, **self._more}).encode() + b"\n")
                process.stdin.close()
                answer = json.loads(await process.stdout.readuntil(b"\n"))
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Unavailable(_AWAY, log_message=f"{name}: {question.get('path')}: {error!r}") from error
        finally:
            await self._end(name, process)
        return answer if isinstance(answer, Mapping) else {}

    async def _end(self, name: str, process: asyncio.subprocess.Process) -> None:
        """End the process with all that it started; one that the system holds is left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_LAST):
                await process.wait()
        except TimeoutError:
            self._stuck[name] = process
            _log.warning("Looking at the environment %s hangs: process %d cannot be ended.", name, process.pid)


@dataclass(frozen=True)
class _Looked:
    """What became of one environment of the file: the environments that it stands for, and when they were looked at."""

    when: float
    members: tuple[Environment, ...] = ()
    #: Why there are none.
    why: str = ""

    @property
    def well(self) -> bool:
        return not self.why and all(each.state == "ready" for each in self.members)


@dataclass
class Probing:
    """Keeps ``core.offering`` as the environments are.

    Parameters
    ----------
    declared:
        What the site's file says.
    kept:
        The file in which answers outlive the portal; it can be lost.
    own:
        The Python that Jupyter takes for a kernel that names none.
    """

    core: Core
    declared: Offering
    kept: Path
    own: Path
    probe: Probe = field(default_factory=Probe)
    good: float = _GOOD
    bad: float = _BAD
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._looked = _read(self.kept)
        self._room, self._turn = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()
        self._publish()

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while self._probed:
            try:
                await self.look()
            except Exception:
                _log.exception("Looking at environments")
            await asyncio.sleep(max(1.0, min(self._due(each) for each in self._probed) - self.now()))

    async def look(self) -> None:
        """Look at all that it is time for."""
        due = [each for each in self._probed if self._due(each) <= self.now()]
        async with asyncio.TaskGroup() as group:
            for environment in due:
                group.create_task(self._look_at(environment))

    @property
    def _probed(self) -> list[Environment]:
        return [each for each in self.declared.environments if each.state == "unknown"]

    def _due(self, environment: Environment) -> float:
        looked = self._looked.get(_key(environment))
        return looked.when + (self.good if looked.well else self.bad) if looked else 0.0

    async def _look_at(self, declared: Environment) -> None:
        before = self._looked.get(_key(declared), _Looked(0.0))
        async with self._room:
            try:
                found, why = await self._members(declared), ""
                members = await self._all(found, {each.id: each for each in before.members})
            except Unavailable as error:
                # What was there is still what is meant, but nobody can use it.
                members, why = tuple(_broken(each, error) for each in before.members), error.message
                _note(declared.id, error, known=before.why == error.message)
        looked = self._looked[_key(declared)] = _Looked(self.now(), members, why)
        _tell(before, looked)
        self._publish()
        kept = {_key(each): self._looked[_key(each)] for each in self._probed if _key(each) in self._looked}
        async with self._turn:
            await asyncio.to_thread(_write, self.kept, kept)

    async def _members(self, declared: Environment) -> list[Environment]:
        """Return the environments that it stands for. Raises Unavailable where there are none."""
        if declared.kind == "python" and "*" not in declared.where:
            return [declared]
        found = await self.probe.ask(declared.id, {"verb": "list", "kind": declared.kind, "path": declared.where})
        members: dict[str, Environment] = {}
        for said in foreign.each(found.get("found")):
            match, where = foreign.text(foreign.get(said, "match"), _NAME), foreign.get(said, "path")
            member = replace(declared, where=where if isinstance(where, str) else "")
            if match:
                # No id in the file has two hyphens in a row.
                member = replace(member, id=f"{declared.id}--{slugify(match)}", title=f"{declared.title} {match}")
            members.setdefault(member.id, member)
        if not members:
            raise Unavailable("It is not there.", log_message=f"{declared.where}: nothing is there")
        return list(members.values())

    async def _all(self, found: Sequence[Environment], before: Mapping[str, Environment]) -> tuple[Environment, ...]:
        """Look at one after the other: what hangs would hang for all of them."""
        members: list[Environment] = []
        silent = 0
        for member in found:
            question = {"verb": "look", "kind": member.kind, "path": member.where, "own": str(self.own)}
            try:
                if silent >= _GIVEN_UP:
                    raise Unavailable(_AWAY, log_message="not asked, for those before said nothing")
                members.append(rebuilt(member, await self.probe.ask(member.id, question)))
                silent = 0
            except Unavailable as error:
                known = before.get(member.id, member)
                _note(member.id, error, known=known.why == error.message)
                members.append(_broken(known, error))
                silent += 1
        return tuple(members)

    def _publish(self) -> None:
        found = {each.id: looked for each in self._probed if (looked := self._looked.get(_key(each)))}
        self.core.offering = assembled(
            self.declared,
            {name: looked.members for name, looked in found.items()},
            {name: looked.why for name, looked in found.items()},
        )


def assembled(declared: Offering, members: Mapping[str, tuple[Environment, ...]], why: Mapping[str, str]) -> Offering:
    """Return the offering with what the environments of the file stand for in their places.

    One of which nothing was found stays as it is: broken, with why, or unknown while nobody has looked.
    """
    environments: dict[str, tuple[Environment, ...]] = {}
    for each in declared.environments:
        broken = replace(each, state="broken", why=why[each.id]) if why.get(each.id) else each
        environments[each.id] = members.get(each.id) or (broken,)
    facilities = tuple(
        replace(each, environments=tuple(member.id for name in each.environments for member in environments[name]))
        for each in declared.facilities
    )
    return Offering(facilities, tuple(each for found in environments.values() for each in found), declared.sizes)


def rebuilt(member: Environment, said: Mapping[str, Any]) -> Environment:
    """Return the environment as it was found to be: foreign code has spoken, so all of it is bounded."""
    why = _WHY.get(str(said.get("broken")), "It cannot be used.") if "broken" in said else ""
    return replace(
        member,
        language=foreign.text(said.get("language"), 40) or member.language,
        version=foreign.text(said.get("version"), 40),
        packages=_words(said.get("packages"), _MOST_PACKAGES),
        modules=_words(said.get("modules"), _MOST_MODULES),
        state="broken" if why else "ready",
        why=why,
    )


def _words(said: object, most: int) -> dict[str, str]:
    found = list(said.items())[:most] if isinstance(said, Mapping) else []
    return {
        name: value[:_NAME]
        for name, value in found
        if isinstance(name, str) and isinstance(value, str) and 0 < len(name) <= _NAME and name.isprintable()
    }


def _broken(environment: Environment, error: Unavailable) -> Environment:
    return replace(environment, state="broken", why=error.message)


def _note(name: str, error: Unavailable, *, known: bool) -> None:
    """Write into the log why there was no answer, once: it is asked again each minute."""
    _log.log(logging.DEBUG if known else logging.WARNING, "Environment %s: %s", name, error.log_message)


def _tell(before: _Looked, now: _Looked) -> None:
    """Write into the log what is another state than before."""
    known = {each.id: each.state for each in before.members}
    for member in now.members:
        if known.get(member.id) != member.state:
            level = logging.INFO if member.state == "ready" else logging.WARNING
            _log.log(level, "Environment %s (%s) is %s. %s", member.id, member.where, member.state, member.why)


def _key(environment: Environment) -> str:
    return "\n".join((str(_FORMAT), environment.id, environment.title, environment.kind, environment.where))


def _read(kept: Path) -> dict[str, _Looked]:
    """Return what was kept; nothing where it cannot be read."""
    try:
        said = json.loads(kept.read_bytes())
        return {
            name: _Looked(float(one["when"]), tuple(Environment(**member) for member in one["members"]), one["why"])
            for name, one in said.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write(kept: Path, looked: Mapping[str, _Looked]) -> None:
    said = {name: asdict(one) for name, one in looked.items()}
    new = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(said))
        new.replace(kept)
    except OSError as error:
        _log.warning("What is in the environments cannot be kept: %s", error)
