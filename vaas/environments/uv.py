"""Environments made with uv: wheels alone, of one index, under the names of their locks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.specifiers import SpecifierSet

from vaas.environments import files
from vaas.environments.base import Bounds, Made, Maker, Told, nobody
from vaas.environments.explaining import explain
from vaas.environments.pinned import pinned
from vaas.environments.process import Confined, find_bubblewrap
from vaas.errors import Invalid, StorageFull, TooLarge, Unavailable
from vaas.locks import Lock, Pin, python_in, read_lock
from vaas.packages import normal
from vaas.requirements import Requirements

__all__ = ["WAY", "UvMaker"]

#: So many are made at once.
_AT_ONCE = 2
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
#: The variables that say by which way an index is reached, and whom to trust on it.
WAY = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))
_ASK = (
    "import json,os,sys,vaas;"
    "print(json.dumps(['%d.%d'%sys.version_info[:2],sys.base_prefix,os.path.dirname(os.path.abspath(vaas.__file__))]))"
)
_COMMENT = re.compile(r"\s*#.*")
#: For so many seconds the same that is asked for is the same that is had.
_LATELY = 600.0


@dataclass(frozen=True)
class _Apps:
    """The apps' Python: its version, the folder that it is from, and the package that it has of ours."""

    python: str
    base: Path
    package: Path


class UvMaker(Maker):
    """Makes environments below a folder.

    Parameters
    ----------
    uv, python:
        The program, and the Python of apps, whose version environments have.
    core:
        What every environment has in these versions, whatever is asked for: lines of requirements.
    known:
        A lock of the apps' own environment: its versions are taken wherever they fit.
    index:
        The address of the index; "": uv's own default. It may hold a password, and is in no command and no log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        uv: Path,
        python: Path,
        core: str,
        known: str = "",
        index: str = "",
        environ: Mapping[str, str],
        bounds: Bounds | None = None,
    ) -> None:
        self.folder, self._uv, self._python = folder, uv, python
        lines = (_COMMENT.sub("", line).strip() for line in core.splitlines())
        self._core = {normal(re.split(r"[<>=!~ ]", line)[0]): line for line in lines if line}
        self._known, self._index, self._environ = known, index, environ
        self._bounds = bounds or Bounds()
        self._making: dict[str, asyncio.Task[Made]] = {}
        #: What was locked lately, and when: by what was wanted.
        self._lately: dict[str, tuple[float, Lock]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._apps: _Apps | None = None
        self._bubblewrap: str | None = None

    def wanted(self, asked: Requirements) -> str:
        """Return the digest of what is asked for and what every environment has."""
        return asked.digest(*sorted(self._core.values()))

    async def lock(self, asked: Requirements, *, before: Lock | None = None, told: Told = nobody) -> Lock:
        """Return exact packages for what is asked, of the apps' own versions wherever they fit.

        Who asks for the same soon after gets the same: all runs over one table have one environment.
        """
        wanted, now = self.wanted(asked), time.monotonic()
        if before is None and (known := self._lately.get(wanted)) and now < known[0] + _LATELY:
            return known[1]
        lock = await self._lock(asked, before, told)
        self._lately = {name: each for name, each in self._lately.items() if now < each[0] + _LATELY}
        self._lately[wanted] = (now, lock)
        return lock

    async def _lock(self, asked: Requirements, before: Lock | None, told: Told) -> Lock:
        apps = await self._ask()
        if asked.python and not SpecifierSet(asked.python).contains(f"{apps.python}.99"):
            raise Invalid(f"{asked.file} asks for Python {asked.python}, and notebooks run with {apps.python} here.")
        told("finding versions that go together")
        async with self._turns:
            with _Folder(self.folder / files.WORKSHOP) as work:
                (work / "asked.txt").write_text("\n".join([*self._core, *(each.text for each in asked.asked), ""]))
                (work / "core.txt").write_text("\n".join([*self._core.values(), ""]))
                (work / "lock.txt").write_text(self._preferred(before))
                command = ["pip", "compile", "--quiet", "--only-binary", ":all:", "--generate-hashes", "--no-header"]
                command += ["--no-annotate", "--no-emit-index-url", "--overrides", "core.txt", "--no-sources"]
                command += ["--python", str(self._python), "--output-file", "lock.txt", "asked.txt"]
                await self._run(command, work, asked=asked, apps=apps)
                return self._locked((work / "lock.txt").read_text(), asked=asked, apps=apps)

    async def make(self, lock: Lock, *, told: Told = nobody) -> Made:
        """Return the environment of the lock, which is made unless it is there or is being made."""
        if found := self.find(lock.digest):
            return found
        if lock.digest not in self._making:
            task = asyncio.create_task(self._make(read_lock(lock.text), told))
            self._making[lock.digest] = task
            task.add_done_callback(lambda done: self._made(lock.digest, done))
        # Shielded: who goes away does not end it for the others.
        return await asyncio.shield(self._making[lock.digest])

    def find(self, digest: str) -> Made | None:
        """Return the environment of that name, if it is there, and note that it is used."""
        made = files.noted(self.folder, digest) if python_in(self.folder, digest) else None
        if made is not None:
            files.touched(self.folder, digest)
            if self._apps is not None:
                files.teach(self.folder / digest, self._apps.package)
        return made

    def sweep(self, *, keep: Collection[str]) -> int:
        """Remove what nobody has used for long, or what is too much, but nothing of ``keep``."""
        if not self.folder.is_dir() or self._making:
            return 0
        older = time.time() - 86_400 * self._bounds.kept_days
        return files.clear(self.folder, keep=keep, older=older, most=self._bounds.kept_bytes)

    def _made(self, digest: str, task: asyncio.Task[Made]) -> None:
        self._making.pop(digest, None)
        if not task.cancelled():
            task.exception()  # who asked may be gone

    async def _make(self, lock: Lock, told: Told) -> Made:
        apps = await self._ask()
        told("waiting for its turn")
        async with self._turns:
            with _Folder(self.folder / files.WORKSHOP) as work:
                environment = work / "environment"
                python = str(self._python) if lock.python == apps.python else lock.python
                told(f"fetching {len(lock.pins)} packages")
                command = ["venv", "--quiet", "--relocatable", "--no-project", "--python", python, "environment"]
                await self._run(command, work, apps=apps)
                # Now, since a package can say otherwise.
                base = (environment / "bin" / "python").resolve().parent.parent
                (work / "lock.txt").write_text(lock.text)
                command = ["pip", "install", "--quiet", "--only-binary", ":all:", "--require-hashes", "--no-deps"]
                command += ["--python", "environment/bin/python", "--requirement", "lock.txt", "--no-sources"]
                await self._run(command, work, apps=apps)
                told("putting it together")
                size = await asyncio.to_thread(self._finish, environment, lock, apps, base)
                return Made(lock.digest, lock.python, size)

    def _finish(self, environment: Path, lock: Lock, apps: _Apps, base: Path) -> int:
        """Look the new environment over, and put it in its place."""
        size = files.look_over(environment)
        if size > self._bounds.bytes:
            raise TooLarge(f"The environment would be larger than {self._bounds.bytes // 1_000_000} MB. Ask for less.")
        files.teach(environment, apps.package)
        target = self.folder / lock.digest
        if not python_in(self.folder, lock.digest):
            shutil.rmtree(target, ignore_errors=True)  # one that was not finished
            environment.rename(target)
            files.note(self.folder, Made(lock.digest, lock.python, size), sees=(base, apps.package))
        return size

    async def _run(
        self, command: list[str], work: Path, *, asked: Requirements | None = None, apps: _Apps | None = None
    ) -> None:
        """Run uv in the folder. Raises what its failure means."""
        apps = apps or await self._ask()
        cache, workshop = self.folder / files.CACHE, self.folder / files.WORKSHOP
        began = time.time() - 1
        free = shutil.disk_usage(self.folder).free
        confined = replace(await self._confined(), written=(workshop,), read=self._read(apps))

        def grown() -> int:
            # Walking takes long; that the disk has as much less tells that there may be something to see.
            less = free - shutil.disk_usage(self.folder).free
            return files.size_of(work, cache, since=began) if less > self._bounds.bytes else 0

        code, said = await confined.run([str(self._uv), *command], cwd=work, grown=grown)
        if code != 0:
            raise explain(said, asked, core=tuple(self._core))

    async def _confined(self) -> Confined:
        if self._bubblewrap is None:
            self._bubblewrap = await asyncio.to_thread(find_bubblewrap, self._environ)
        environ = {name: self._environ[name] for name in ("PATH", "LANG", *WAY) if name in self._environ}
        environ |= {
            "HOME": "/nowhere",
            "UV_CACHE_DIR": str(self.folder / files.CACHE),
            "UV_HTTP_TIMEOUT": "30",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            # A site may have an authority of its own.
            "UV_SYSTEM_CERTS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
        }
        if self._index:
            environ["UV_DEFAULT_INDEX"] = self._index
        return Confined(self._bubblewrap, seconds=self._bounds.seconds, bytes=self._bounds.bytes, environ=environ)

    def _read(self, apps: _Apps) -> tuple[Path, ...]:
        """Return what uv needs to see: itself, the Python, and the file of certificates that is named."""
        named = (Path(self._environ[name]) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in self._environ)
        return (self._uv, apps.base, self._python.parent.parent, *named)

    def _preferred(self, before: Lock | None) -> str:
        """Return versions to take wherever they fit, as uv reads them from a lock that is there already."""
        own = before.packages if before else {}
        known = {name: version for name, version, _ in pinned(self._known)}
        return "\n".join([*(f"{name}=={version}" for name, version in {**known, **own}.items()), ""])

    def _locked(self, text: str, *, asked: Requirements, apps: _Apps) -> Lock:
        """Return uv's lock as one of ours."""
        pins = tuple(Pin(*each) for each in pinned(text))
        lock = Lock(apps.python, self.wanted(asked), pins)
        bare = next((pin.name for pin in pins if not pin.hashes), "")
        if bare:
            raise Unavailable("The index of packages tells no checksums, so nothing can be locked.", log_message=bare)
        return read_lock(lock.text)

    async def _ask(self) -> _Apps:
        """Ask the apps' Python who it is, once."""
        if self._apps is None:
            self._apps = await asyncio.to_thread(_ask, self._python)
            (self.folder / files.CACHE).mkdir(parents=True, exist_ok=True)
        return self._apps


class _Folder:
    """A new folder beside the environments, gone at the end."""

    def __init__(self, parent: Path) -> None:
        self._path = parent / secrets.token_hex(8)

    def __enter__(self) -> Path:
        try:
            self._path.mkdir(mode=0o755, parents=True)
        except OSError as error:
            raise StorageFull("The portal cannot keep environments at the moment.", log_message=str(error)) from error
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _ask(python: Path) -> _Apps:
    try:
        env = {"PATH": os.defpath}
        answer = subprocess.run(
            [str(python), "-P", "-c", _ASK], env=env, cwd="/", capture_output=True, timeout=60, check=True
        )
        version, base, package = json.loads(answer.stdout)
        return _Apps(str(version), Path(base), Path(package))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Unavailable("The apps' Python cannot be asked.", log_message=f"{python}: {error}") from error
