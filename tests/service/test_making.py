"""Environments made for real: uv, an index on loopback, and the apps' own Python."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal_fixture import free_ports
from tests.wheels import Packages, maker, packages, wheel
from vaas.environments.base import Bounds
from vaas.environments.files import CACHE
from vaas.environments.uv import UvMaker
from vaas.errors import Invalid, TooLarge, Unavailable, VaasError
from vaas.locks import Lock, Pin, python_in, read_lock
from vaas.requirements import Requirements, read_requirements

pytestmark = pytest.mark.app


@pytest.fixture(scope="module")
def index() -> Iterator[Packages]:
    with packages() as found:
        found.add_kernel()
        for version in ("1.0", "1.1", "2.0"):
            found.add(wheel("tiny", version, {"tiny.py": f"VERSION = {version!r}"}))
        found.add(wheel("wants-tiny", "1.0", {"wants.py": ""}, requires=("tiny<2",)))
        found.add(wheel("elsewhere", "1.0", {"elsewhere.py": ""}, tag="cp311-cp311-win_amd64"))
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, index: Packages) -> UvMaker:
    """Return a maker that all tests share with what it has fetched."""
    return maker(tmp_path_factory.mktemp("making") / "environments", index)


def asking(*lines: str) -> Requirements:
    return read_requirements("\n".join(lines).encode(), path="requirements.txt")


def ran(python: Path, source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-P", "-c", source], capture_output=True, text=True, env={}, cwd="/")


async def locked(made: UvMaker, *lines: str, before: Lock | None = None) -> Lock:
    return await made.lock(asking(*lines), before=before)


async def test_what_is_asked_for_is_locked_with_the_kernel_and_its_checksums(made: UvMaker) -> None:
    lock = await locked(made, "tiny<2")
    assert lock.packages["tiny"] == "1.1"
    assert lock.packages["ipykernel"] == "7.4.0" and lock.packages["tornado"] == "6.6.1"
    assert all(pin.hashes for pin in lock.pins) and read_lock(lock.text) == lock
    assert (await locked(made, "tiny < 2 # as before")).digest == lock.digest


async def test_a_lock_changes_no_more_than_it_has_to(made: UvMaker) -> None:
    old = await locked(made, "tiny==1.0")
    assert (await locked(made, "tiny", "wants-tiny", before=old)).packages["tiny"] == "1.0"
    assert (await locked(made, "tiny>1", before=old)).packages["tiny"] == "2.0"


async def test_what_is_said_of_the_kernel_does_not_count(made: UvMaker) -> None:
    lock = await locked(made, "ipykernel==6.29.5", "tornado<6", "tiny")
    assert (lock.packages["ipykernel"], lock.packages["tornado"]) == ("7.4.0", "6.6.1")


async def test_an_environment_is_made_once_for_all_who_want_it(made: UvMaker) -> None:
    lock = await locked(made, "tiny==2.0")
    assert made.find(lock.digest) is None
    told: list[str] = []
    found = await asyncio.gather(*(made.make(lock, told=told.append) for _ in range(5)))
    assert len(set(found)) == 1 and told.count("putting it together") == 1
    python = python_in(made.folder, lock.digest)
    assert python
    said = ran(python, "import tiny, vaas; print(tiny.VERSION)")
    assert said.stdout == "2.0\n", said.stderr
    # Nothing of the apps' own is in it, and of what lies beside our package neither.
    for module in ("voila", "pandas", "hub_service"):
        assert ran(python, f"import {module}").returncode == 1
    second = await locked(made, "tiny==1.0")
    began = time.monotonic()
    await made.make(second)
    assert time.monotonic() - began < 30
    # What was fetched before is linked, not copied.
    folders = (made.folder / each.digest for each in (lock, second))
    one, other = (next(folder.glob("lib/*/site-packages/zmq/__init__.py")) for folder in folders)
    assert one.samefile(other)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("nosuchpackage",), "Line 1 of requirements.txt (“nosuchpackage”): there is no package “nosuchpackage”"),
        (("# more", "tiny==7"), "Line 2 of requirements.txt (“tiny==7”): there is no such version of “tiny”."),
        (("tiny>1.5", "tiny<1.5"), "This does not go together: line 1 of requirements.txt (“tiny>1.5”), line 2 of"),
        (("tiny==2.0", "wants-tiny"), "This does not go together: line 2 of requirements.txt (“wants-tiny”)"),
        (("elsewhere",), "Line 1 of requirements.txt (“elsewhere”)"),
        (("tiny~=1",), "Line 1 of requirements.txt (“tiny~=1”) cannot be read."),
    ],
)
async def test_what_cannot_be_had_is_said_plainly(made: UvMaker, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(Invalid) as raised:
        await locked(made, *lines)
    assert raised.value.message.startswith(said), raised.value.message
    assert "\n" not in raised.value.message and "unsatisfiable" not in raised.value.message


async def test_a_project_for_another_python_is_told_so(made: UvMaker) -> None:
    text = b"[project]\nname='x'\nrequires-python='>=3.99'\ndependencies=['tiny']"
    with pytest.raises(Invalid, match=r"pyproject.toml asks for Python >=3.99, and notebooks run with 3\.\d+ here."):
        await made.lock(read_requirements(text, path="pyproject.toml"))


async def test_what_is_not_what_was_locked_is_not_installed(made: UvMaker) -> None:
    lock = await locked(made, "tiny==1.0")
    pins = tuple(Pin(p.name, p.version, ("0" * 64,)) if p.name == "tiny" else p for p in lock.pins)
    with pytest.raises(VaasError):
        await made.make(Lock(lock.python, lock.wanted, pins))
    assert [path.name for path in (made.folder / ".making").iterdir()] == ["cache"]


async def test_one_that_is_too_large_or_takes_too_long_is_not_made(tmp_path: Path, index: Packages) -> None:
    small = maker(tmp_path / "small", index, bounds=Bounds(bytes=5_000_000))
    lock = await locked(small, "tiny")
    with pytest.raises(TooLarge):
        await small.make(lock)
    hasty = maker(tmp_path / "hasty", index, bounds=Bounds(seconds=0))
    with pytest.raises(Unavailable, match="longer than 0 s"):
        await hasty.make(lock)
    assert small.find(lock.digest) is None and hasty.find(lock.digest) is None


async def test_what_was_made_runs_where_the_index_and_what_was_fetched_are_gone(made: UvMaker) -> None:
    lock = await locked(made, "tiny==2.0")
    await made.make(lock)
    shutil.rmtree(made.folder / CACHE)
    (nobody,) = free_ports(1)
    later = maker(made.folder, f"http://127.0.0.1:{nobody}/simple")
    assert later.sweep(keep=[lock.digest]) == 0
    assert (await later.make(lock)).digest == lock.digest
    python = python_in(later.folder, lock.digest)
    assert python and ran(python, "import tiny, ipykernel; print(tiny.VERSION)").stdout == "2.0\n"
