"""Environments are looked at for real, in processes of their own; what hangs, lies or goes away hurts nobody."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_service.probing import Probe, Probing, assembled
from tests.portal_fixture import until
from tests.portal_parts import World
from vaas.errors import Unavailable
from vaas.launching import Environment, Facility, Offering, Size

SIZE = Size("small", "Small")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def python(path: Path) -> Path:
    """Return a small environment: this Python without anything but a package, its metadata, and ipykernel."""
    packages = path.parent.parent / "packages"
    (packages / "ipykernel").mkdir(parents=True)
    (packages / "ipykernel" / "__init__.py").touch()
    (packages / "sklearn.py").touch()
    (packages / "loose.py").touch()
    metadata = packages / "scikit_learn-1.7.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.7.2\n")
    (metadata / "RECORD").write_text("sklearn.py,,\nscikit_learn-1.7.2.dist-info/METADATA,,\n")
    return script(path, f'#!/bin/sh\nexport PYTHONPATH={packages}\nexec {sys.executable} -S "$@"\n')


def kernel(folder: Path, *argv: str, language: str = "python", **more: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"argv": argv, "language": language, "display_name": folder.name, **more}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return folder


def offering(*environments: Environment) -> Offering:
    ids = tuple(each.id for each in environments)
    return Offering((Facility("here", "Here", "local", ids, ("small",)),), environments, (SIZE,))


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def probing(world: World, tmp_path: Path) -> Callable[..., Probing]:
    def made(*environments: Environment, seconds: float = 10.0, sandbox: str = "off", **more: Any) -> Probing:
        kept, probe = tmp_path / "probed.json", Probe(seconds=seconds, sandbox=sandbox)
        return Probing(world.core, offering(*environments), kept, Path(sys.executable), probe, **more)

    return made


async def looked(probing: Probing) -> list[Environment]:
    await probing.look()
    return list(probing.core.offering.environments)


def env(kind: str, where: object, id: str = "e") -> Environment:
    return Environment(id, id.upper(), kind, str(where))


@pytest.mark.parametrize("sandbox", ["auto", "off"])
async def test_a_python_says_what_is_in_it_by_package_and_by_what_is_imported(
    probing: Callable[..., Probing], tmp_path: Path, sandbox: str
) -> None:
    one = probing(env("python", python(tmp_path / "env" / "bin" / "python")), sandbox=sandbox)
    assert [each.state for each in one.core.offering.environments] == ["unknown"]
    (found,) = await looked(one)
    assert (found.state, found.why) == ("ready", "") and found.version.startswith(f"3.{sys.version_info[1]}.")
    assert found.packages == {"scikit-learn": "1.7.2"}
    assert found.modules["sklearn"] == "scikit-learn" and found.modules["loose"] == "" and "json" in found.modules
    # Our own folder, in which the look lies, is not the environment's.
    assert "probing" not in found.modules and "facilities_file" not in found.modules
    assert found.id == "e" and one.core.offering.facilities[0].environments == ("e",)


async def test_the_environment_of_apps_is_ready(probing: Callable[..., Probing]) -> None:
    from tests.portal_fixture import app_python

    (found,) = await looked(probing(env("python", app_python()), sandbox="auto"))
    assert found.state == "ready" and found.modules["PIL"] == "pillow" and found.packages["voila"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "The program that it begins with is not there."),
        ("#!/no/such/program\n", "The program that it begins with cannot be started."),
        ("#!/bin/sh\nexit 3\n", "Its Python does not say what is in it."),
        ("#!/bin/sh\necho vaas-probe:nonsense\n", "Its Python does not say what is in it."),
        ("#!/bin/sh\necho 'vaas-probe:[1, 2]'\n", "Its Python does not say what is in it."),
        (f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', "It has no ipykernel, without which no notebook runs in it."),
    ],
)
async def test_what_cannot_be_used_is_broken_and_says_why_without_a_path(
    probing: Callable[..., Probing], tmp_path: Path, text: str | None, why: str
) -> None:
    where = tmp_path / "python"
    if text is not None:
        script(where, text)
    (found,) = await looked(probing(env("python", where)))
    assert (found.state, found.why) == ("broken", why)


async def test_a_tree_with_stars_becomes_an_environment_for_each_newest_first(
    probing: Callable[..., Probing], tmp_path: Path
) -> None:
    for view in ("LCG_99", "LCG_106", "LCG_105a"):
        kernel(tmp_path / "lcg" / view / "x86_64" / "python3", sys.executable, "-m", "ipykernel_launcher")
    (tmp_path / "lcg" / "LCG_1" / "arm64").mkdir(parents=True)
    one = probing(env("kernelspec", tmp_path / "lcg" / "*" / "x86_64" / "python3", "lcg"), env("image", "r:1", "r"))
    assert one.core.offering.facilities[0].environments == ("lcg", "r")
    one = probing(env("kernelspec", tmp_path / "lcg" / "*" / "x86_64" / "python3", "lcg"))
    found = await looked(one)
    assert [each.id for each in found] == ["lcg--lcg-106", "lcg--lcg-105a", "lcg--lcg-99"]
    assert [each.title for each in found] == ["LCG LCG_106", "LCG LCG_105a", "LCG LCG_99"]
    assert found[0].where == str(tmp_path / "lcg" / "LCG_106" / "x86_64" / "python3")
    assert one.core.offering.facilities[0].environments == tuple(each.id for each in found)
    # It goes, and another one comes.
    (tmp_path / "lcg" / "LCG_99").rename(tmp_path / "lcg" / "LCG_107")
    one.good = one.bad = 0.0
    assert [each.id for each in await looked(one)][:2] == ["lcg--lcg-107", "lcg--lcg-106"]


async def test_a_folder_of_kernels_is_all_of_them_and_other_languages_need_their_program(
    probing: Callable[..., Probing], tmp_path: Path
) -> None:
    ir = script(tmp_path / "R", "#!/bin/sh\nexit 1\n")
    kernel(tmp_path / "kernels" / "ir", str(ir), "--args", "{connection_file}", language="R")
    kernel(tmp_path / "kernels" / "julia", "/no/julia", language="julia")
    kernel(tmp_path / "kernels" / "odd").joinpath("kernel.json").write_text('{"argv": 3}')
    found = {each.id: each for each in await looked(probing(env("kernelspec", tmp_path / "kernels", "site")))}
    assert (found["site--ir"].state, found["site--ir"].language, found["site--ir"].packages) == ("ready", "r", {})
    assert found["site--julia"].why == "The program that it begins with is not there."
    assert found["site--odd"].why == "The description of its kernel cannot be read."


@pytest.mark.parametrize("shell", [False, True])
async def test_a_kernel_of_python_is_set_up_for_the_look_as_it_is_for_a_notebook(
    probing: Callable[..., Probing], tmp_path: Path, shell: bool
) -> None:
    own = python(tmp_path / "view" / "bin" / "python3")
    setup = script(tmp_path / "view" / "setup.sh", f"echo Welcome\nexport PATH={own.parent}:$PATH\n")
    line = f'. {setup} && exec python3 -m ipykernel_launcher -f "$0"'
    argv = (
        ["/bin/sh", "-c", line, "{connection_file}"]
        if shell
        else [str(own), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    )
    (found,) = await looked(probing(env("kernelspec", kernel(tmp_path / "spec", *argv))))
    assert (found.id, found.state, found.packages) == ("e", "ready", {"scikit-learn": "1.7.2"})


@pytest.mark.attack
async def test_the_look_gets_nothing_of_what_the_portal_knows(
    probing: Callable[..., Probing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret-token")
    monkeypatch.setenv("VAAS_DATABASE_URL", "postgresql://vaas:secret@db")
    spy = script(
        tmp_path / "python",
        f"#!/bin/sh\nenv > {tmp_path}/seen\ntr '\\0' ' ' < /proc/$PPID/environ >> {tmp_path}/seen\n",
    )
    await looked(probing(env("python", spy)))
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert "secret" not in seen and "JUPYTERHUB" not in seen and "VAAS" not in seen


@pytest.mark.attack
async def test_an_environment_that_others_write_into_becomes_nobody_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "secrets").mkdir(parents=True)
    (data / "secrets" / "tickets").write_text("master-key\n")
    own = python(data / "environments" / "env" / "bin" / "python")
    # What it can get at comes out as its version.
    spy = (
        f"cat {data}/secrets/tickets",
        f"ls {data}",
        f"test -r /proc/{os.getpid()}/environ && echo environ",
        f"touch {tmp_path}/written && echo written",
        "grep -c eth /proc/net/dev",
    )
    seen = f"$( ({'; '.join(spy)}) 2>/dev/null | tr '\\n' ' ')"
    script(own, f'#!/bin/sh\nprintf \'vaas-probe:{{"kernel": true, "version": "%s"}}\\n\' "{seen}"\n')
    question = {"verb": "look", "kind": "python", "path": str(own)}
    open_to_it = await Probe(sandbox="off").ask("e", question)
    assert {"master-key", "environ", "written"} <= set(open_to_it["version"].split()), "our spy can see"
    (tmp_path / "written").unlink()
    said = await Probe(hidden=(data,), sandbox="required").ask("e", question)
    if said.get("broken") == "no sandbox":
        pytest.skip("There is no sandbox here.")
    assert said["version"].split() == ["environments", "0"]
    assert not (tmp_path / "written").exists()


async def test_where_a_sandbox_is_required_and_cannot_be_nobody_looks(
    probing: Callable[..., Probing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    where = python(tmp_path / "env" / "bin" / "python")
    one = probing(env("python", where))
    one.probe = Probe(sandbox="required")
    (found,) = await looked(one)
    assert found.why == "It is looked at in a sandbox alone, and there is none here."
    one.probe, one.bad = Probe(sandbox="auto"), 0.0
    assert [each.state for each in await looked(one)] == ["ready"]


@pytest.mark.attack
async def test_what_an_environment_says_is_bounded(probing: Callable[..., Probing], tmp_path: Path) -> None:
    said = {
        "kernel": True,
        "version": "<b>3</b>" + "9" * 10_000,
        "packages": {
            "numpy": "2" * 10_000,
            "x" * 500: "1",
            "bad\nname": "1",
            "list": [1],
            **{f"p{n}": "1" for n in range(9000)},
        },
        "modules": ["no", "mapping"],
        "state": "ready",
        "where": "/etc/passwd",
        "why": "/secret/path",
    }
    (tmp_path / "said").write_text("vaas-probe:" + json.dumps(said))
    (found,) = await looked(probing(env("python", script(tmp_path / "python", f"#!/bin/sh\ncat {tmp_path}/said\n"))))
    assert found.state == "ready" and found.where == str(tmp_path / "python") and found.why == ""
    assert len(found.packages) <= 5000 and len(found.packages["numpy"]) == 100 and found.modules == {}
    assert set(found.packages) & {"x" * 500, "bad\nname", "list"} == set()
    assert len(found.version) <= 45 and "<" not in found.version


@pytest.mark.parametrize("way", ["interpreter", "sandbox", "fifo"])
async def test_what_hangs_is_broken_in_time_while_the_portal_goes_on_and_comes_back_by_itself(
    probing: Callable[..., Probing], tmp_path: Path, way: str
) -> None:
    good = python(tmp_path / "good" / "bin" / "python")
    where = tmp_path / "hanging"
    if way == "fifo":
        # Who opens it waits, as on a mount that does not answer.
        where.mkdir()
        os.mkfifo(where / "kernel.json")
        hanging = env("kernelspec", where, "hanging")
    else:
        hanging = env("python", script(where, "#!/bin/sh\nsleep 60\n"), "hanging")
    sandbox = "auto" if way == "sandbox" else "off"
    one = probing(hanging, env("python", good, "good"), seconds=3, bad=0.0, good=1000.0, sandbox=sandbox)
    began, ticks = time.monotonic(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    states = {each.id: each for each in await looked(one)}
    ticking.cancel()
    assert time.monotonic() - began < 12 and ticks > 50
    assert states["good"].state == "ready", "what is well waits for nothing"
    assert (states["hanging"].state, states["hanging"].why) == (
        "broken",
        "It does not answer: the place where it lies may be away.",
    )
    if way != "fifo":
        until(lambda: not _running(where), seconds=5, what="what hung to end")
        where.unlink()
        python(where.parent / "hanging.env" / "bin" / "python").rename(where)
    else:
        (where / "kernel.json").unlink()
        kernel(where, "/bin/true", language="R")
    states = {each.id: each for each in await looked(one)}
    assert (states["hanging"].state, states["hanging"].why) == ("ready", "")


def _running(program: Path) -> list[str]:
    """Return the processes that were started by that name."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(program) in each.read_bytes().decode(errors="replace").split("\0"):
                found.append(each.parent.name)
    return found


async def test_what_cannot_even_be_ended_is_left_alone_until_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a mount that holds a process in the system, where no signal reaches it.
    ended = os.killpg
    left: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _signal: left.append(pid))
    where = script(tmp_path / "python", f"#!/bin/sh\necho . >> {tmp_path}/asked\nsleep 60\n")
    probe, question = Probe(seconds=1.0, sandbox="off"), {"verb": "look", "kind": "python", "path": str(where)}
    for _ in range(3):
        with pytest.raises(Unavailable):
            await probe.ask("e", question)
    assert len(left) == 1 and (tmp_path / "asked").read_text().split() == ["."], "there is one process, and no second"
    monkeypatch.undo()
    ended(left[0], signal.SIGKILL)
    where.write_text("#!/bin/sh\n")
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(Unavailable):
                assert await probe.ask("e", question) == {"broken": "no answer"}
                return
            await asyncio.sleep(0.05)


async def test_of_a_tree_that_hangs_only_the_first_are_waited_for(
    probing: Callable[..., Probing], tmp_path: Path
) -> None:
    for number in range(9):
        script(tmp_path / f"v{number}" / "python", f"#!/bin/sh\necho {number} >> {tmp_path}/asked\nexec sleep 60\n")
    began = time.monotonic()
    found = await looked(probing(env("python", tmp_path / "v*" / "python"), seconds=1.5))
    assert [each.state for each in found] == ["broken"] * 9
    assert (tmp_path / "asked").read_text().split() == ["8", "7"] and time.monotonic() - began < 8


@pytest.mark.attack
async def test_the_portals_own_process_touches_nothing_where_an_environment_lies(
    probing: Callable[..., Probing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "mount"
    python(tree / "a" / "bin" / "python")
    kernel(tree / "spec", str(tree / "a" / "bin" / "python"), "-m", "ipykernel_launcher")
    touched: list[str] = []

    def watched(owner: Any, name: str) -> Callable[..., Any]:
        real: Callable[..., Any] = getattr(owner, name)

        def call(path: Any = ".", *args: Any, **more: Any) -> Any:
            touched.append(f"{name} {path}")
            return real(path, *args, **more)

        return call

    for name in ("stat", "lstat", "access", "open", "scandir", "listdir", "readlink"):
        monkeypatch.setattr(os, name, watched(os, name))
    for owner in (builtins, io):
        monkeypatch.setattr(owner, "open", watched(owner, "open"))
    one = probing(env("python", tree / "*" / "bin" / "python", "a"), env("kernelspec", tree / "spec", "b"))
    found = await looked(one)
    touched_there = [each for each in touched if str(tree) in each]
    Path(tree).exists()  # our eyes are open
    monkeypatch.undo()
    assert [each.state for each in found] == ["ready", "ready"]
    assert touched_there == []
    assert any(each.startswith("stat ") and str(tree) in each for each in touched)


async def test_what_was_found_outlives_the_portal_and_is_looked_at_again_when_it_is_old(
    probing: Callable[..., Probing], tmp_path: Path
) -> None:
    counting = script(
        tmp_path / "python",
        f'#!/bin/sh\necho . >> {tmp_path}/count\nexec {python(tmp_path / "env" / "bin" / "python")} "$@"\n',
    )
    clock = Clock()
    one = probing(env("python", counting), now=clock, good=100.0)

    def looks() -> int:
        return len((tmp_path / "count").read_text().split())

    await looked(one)
    again = probing(env("python", counting), now=clock, good=100.0)
    assert again.core.offering.environments[0].packages == {"scikit-learn": "1.7.2"}, "before anybody has looked"
    clock.time += 99
    await again.look()
    assert looks() == 1
    clock.time += 2
    await again.look()
    assert looks() == 2
    # Another path is another environment, and what cannot be read is nothing.
    assert probing(env("python", tmp_path / "other")).core.offering.environments[0].state == "unknown"
    (tmp_path / "probed.json").write_text('{"a": 1}')
    assert probing(env("python", counting)).core.offering.environments[0].state == "unknown"


async def test_what_goes_away_keeps_what_was_known_of_it(probing: Callable[..., Probing], tmp_path: Path) -> None:
    spec = kernel(
        tmp_path / "tree" / "v1" / "python3", str(python(tmp_path / "env" / "bin" / "python")), "-m", "ipykernel"
    )
    one = probing(env("kernelspec", tmp_path / "tree" / "*" / "python3"), good=0.0, bad=0.0)
    await looked(one)
    (tmp_path / "tree").rename(tmp_path / "away")
    (gone,) = await looked(one)
    assert (gone.id, gone.state, gone.why) == ("e--v1", "broken", "It is not there.")
    assert gone.packages == {"scikit-learn": "1.7.2"} and gone.where == str(spec)
    (tmp_path / "away").rename(tmp_path / "tree")
    (back,) = await looked(one)
    assert (back.state, back.why) == ("ready", "")
    # It stays, and hangs.
    one.probe = Probe(seconds=1.5, sandbox="off")
    script(tmp_path / "env" / "bin" / "python", "#!/bin/sh\nsleep 60\n")
    (hanging,) = await looked(one)
    assert hanging.state == "broken" and hanging.packages == {"scikit-learn": "1.7.2"}


async def test_it_follows_until_it_is_cancelled(probing: Callable[..., Probing], tmp_path: Path) -> None:
    one = probing(env("python", python(tmp_path / "env" / "bin" / "python")))
    following = asyncio.create_task(one.follow())
    async with asyncio.timeout(10):
        while one.core.offering.environments[0].state != "ready":
            await asyncio.sleep(0.02)
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    # Where there is nothing to look at it ends by itself.
    await probing(replace(env("image", "r:1"), state="ready")).follow()


def test_members_take_the_place_of_their_pattern_at_every_facility() -> None:
    apps, lcg = env("python", "/a", "apps"), env("kernelspec", "/v/*", "lcg")
    one, two = replace(lcg, id="lcg--1"), replace(lcg, id="lcg--2")
    two_places = offering(apps, lcg)
    said = replace(
        two_places,
        facilities=(*two_places.facilities, replace(two_places.facilities[0], id="far", environments=("lcg",))),
    )
    found = assembled(said, {"lcg": (one, two)}, {})
    assert [each.environments for each in found.facilities] == [("apps", "lcg--1", "lcg--2"), ("lcg--1", "lcg--2")]
    assert found.environments == (apps, one, two) and found.sizes == said.sizes
    (_, broken) = assembled(said, {}, {"lcg": "It is not there."}).environments
    assert (broken.id, broken.state, broken.why) == ("lcg", "broken", "It is not there.")
